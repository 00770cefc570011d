// The curves of a round, one small chart per question, by uPlot. Names and units are those of docs/metrics.md.

import { Chart, colour, element, short } from "./chart.js";
import { showFindings } from "./findings.js";

const CHARTS = [
  { title: "Accuracy", unit: "share of pairs", names: { "reward/accuracy_eval": "unseen prompts", "reward/accuracy_train": "own prompts" } },
  { title: "Loss", unit: "nats per pair", names: { "reward/loss": "" } },
  { title: "Accuracy", unit: "share of pairs", names: { "dpo/accuracy": "" } },
  { title: "Loss", unit: "", names: { "dpo/loss": "" } },
  { title: "Log-probability", unit: "nats per completion", names: { "dpo/logprob_chosen": "chosen", "dpo/logprob_rejected": "rejected" } },
  { title: "Loss", unit: "nats per token", names: { "sft/loss": "" } },
  { title: "Accuracy", unit: "share of tokens", names: { "sft/token_accuracy": "" } },
  { title: "Score", unit: "reward model", names: { "objective/score": "" } },
  { title: "KL to the reference", unit: "nats per completion", names: { "objective/kl": "" } },
  { title: "KL to the round's start", unit: "nats per completion", names: { "objective/kl_round_start": "" } },
  { title: "KL coefficient", unit: "", names: { "objective/kl_coef": "" } },
  { title: "Policy loss", unit: "", names: { "ppo/loss/policy": "" } },
  { title: "Clipped", unit: "share of tokens", names: { "ppo/policy/clipfrac": "" } },
  { title: "Value model", unit: "share of variance explained", names: { "ppo/val/var_explained": "" } },
  { title: "Policy loss", unit: "", names: { "rloo/loss": "" } },
  { title: "Entropy", unit: "nats per token", names: { "ppo/policy/entropy": "" } },
  { title: "Entropy", unit: "nats per token", names: { "rloo/policy/entropy": "" } },
  { title: "Length", unit: "tokens", names: { "response/length": "" } },
  { title: "Finished (EOS)", unit: "share of completions", names: { "response/eos_share": "" } },
];
const CHARTED = new Set(CHARTS.flatMap(({ names }) => Object.keys(names)));

const place = document.getElementById("curves");
const brief = place?.dataset.brief !== undefined;
const BRIEFLY_SHOWN = 3; // charts
const compare = document.getElementById("compare");
const charts = new Map();
const zooms = new Map(); // run → [first, last] step on the screen
let other = null; // the round that is laid beside: its runs, and what it is called

async function fetched(address) {
  const response = await fetch(address).catch(() => null);
  return response?.ok ? (await response.json()).runs : [];
}

async function look() {
  if (brief) {
    showBrief(await fetched(place.dataset.url));
    return;
  }
  for (const run of await fetched(place.dataset.url)) {
    if (zooms.has(run.id)) continue; // what is looked at closely stays as it is
    show(run);
  }
}

/** The summary shows the first charts of the stage that runs, or else of the last one that has curves. */
function showBrief(runs) {
  const withCurves = runs.filter(({ metrics }) => CHARTS.some(({ names }) => Object.keys(names).some((name) => metrics[name])));
  const run = withCurves.find(({ status }) => status === "running") ?? withCurves.at(-1);
  if (!run) return;
  let section = place.querySelector(`[data-run="${run.id}"]`);
  if (!section) {
    section = element("section", { className: "run-curves" }, element("h2", { textContent: run.label }), element("div", { className: "charts" }));
    section.dataset.run = run.id;
    place.replaceChildren(section);
  }
  const present = CHARTS.filter(({ names }) => Object.keys(names).some((name) => run.metrics[name]));
  for (const chart of present.slice(0, BRIEFLY_SHOWN)) showChart(section.querySelector(".charts"), run, chart);
}

function show(run) {
  // A single point of a finished run is no curve; its figure stands among the run's results.
  const least = run.status === "running" ? 1 : 2;
  run.metrics = Object.fromEntries(Object.entries(run.metrics).filter(([, { steps }]) => steps.length >= least));
  if (Object.keys(run.metrics).length || Object.keys(run.findings).length) showRun(run);
}

function showRun(run) {
  let section = place.querySelector(`[data-run="${run.id}"]`);
  if (!section) {
    section = element("section", { className: "run-curves" });
    section.dataset.run = run.id;
    const back = element("button", { type: "button", className: "button small", textContent: "All steps", hidden: true });
    back.addEventListener("click", () => zoom(run.id, null));
    const head = element("div", { className: "card-head" }, element("h2", { textContent: run.label }), back);
    section.append(head, element("div", { className: "findings" }), element("div", { className: "charts" }));
    const more = element("details", { className: "more" });
    more.append(element("summary", { textContent: "More curves" }), element("div", { className: "charts" }));
    section.append(more);
    place.append(section);
  }
  section.querySelector(".card-head button").hidden = !zooms.has(run.id);
  showFindings(section.querySelector(".findings"), run);
  const [main, more] = section.querySelectorAll(".charts");
  const others = Object.keys(run.metrics).filter((name) => !CHARTED.has(name)).sort();
  for (const chart of CHARTS) showChart(main, run, chart);
  for (const name of others) showChart(more, run, { title: name, unit: "", names: { [name]: "" } });
  more.parentElement.hidden = !others.length;
}

function showChart(where, run, { title, unit, names }) {
  const present = Object.keys(names).filter((name) => run.metrics[name]);
  if (!present.length) return;
  const lines = present.map((name) => ({ ...run.metrics[name], label: names[name] }));
  const beside = other?.runs.find((its) => its.method === run.method)?.metrics ?? {};
  for (const name of present) {
    if (beside[name]?.steps.length > 1) lines.push({ ...beside[name], label: `${names[name]} ${other.name}`.trim(), dashed: true });
  }
  const key = `${run.id} ${title}`;
  let chart = charts.get(key);
  if (!chart) {
    charts.set(key, (chart = new Curves(where, { title, unit })));
    chart.selected = (first, last) => zoom(run.id, [Math.ceil(first), Math.floor(last)]);
    chart.canvas.addEventListener("dblclick", () => zoom(run.id, null));
  }
  chart.showLines(lines);
}

/** A part of a run's steps: fetched anew, because there the server thins the curves less. */
async function zoom(run, part) {
  if (part && part[1] <= part[0]) return;
  if (part) zooms.set(run, part);
  else zooms.delete(run);
  const narrowed = part ? `?first=${Math.max(part[0], 0)}&last=${part[1]}` : "";
  const runs = await fetched(place.dataset.url + narrowed);
  runs.filter(({ id }) => id === run).forEach(show);
}

class Curves extends Chart {
  /** A line has steps, values and a label; one that was thinned also the least and the greatest around each value. */
  showLines(lines) {
    const shape = lines.map(({ label, low }) => `${label}|${Boolean(low)}`).join();
    this.lines = lines;
    const columns = lines.flatMap((line) => [line, ...(line.low ? [{ ...line, values: line.low }, { ...line, values: line.high }] : [])]);
    this.data = joined(columns);
    if (this.plot && shape !== this.shape) this.draw();
    this.shape = shape;
    this.show(this.data);
  }

  series() {
    return this.lines.flatMap(({ low, dashed }, line) => {
      const common = { spanGaps: true, points: { show: this.data[0].length < 4 || undefined, size: 5 } };
      const stroke = colour(`--series-${1 + (line % 3)}`);
      const edge = { stroke: "transparent", spanGaps: true, points: { show: false } };
      return [{ ...common, stroke, width: 2, dash: dashed ? [5, 4] : undefined }, ...(low ? [edge, edge] : [])];
    });
  }

  more() {
    const bands = [];
    let column = 1;
    this.lines.forEach(({ low }, line) => {
      if (low) bands.push({ series: [column + 2, column + 1], fill: `color-mix(in srgb, ${colour(`--series-${1 + (line % 3)}`)} 20%, transparent)` });
      column += low ? 3 : 1;
    });
    return { bands };
  }

  /** The values under the cursor; without one, the last. */
  read(index) {
    const steps = this.data[0];
    let column = 1;
    this.readout.replaceChildren(
      ...this.lines.map(({ label, low }, line) => {
        const values = this.data[column];
        column += low ? 3 : 1;
        let at = index ?? steps.length - 1;
        while (at >= 0 && values[at] === null) at -= 1;
        const text = at < 0 ? "" : `${label ? `${label} ` : ""}${short(values[at])}`;
        return element("span", { className: `series-${1 + (line % 3)}`, textContent: text });
      }),
    );
    if (index !== null) return;
    this.canvas.setAttribute("aria-label", `${this.title} over ${steps.length} points up to step ${steps.at(-1)}. Last: ${this.readout.textContent}`);
  }
}

/** Curves with steps of their own on one axis; null where one has no value. */
function joined(curves) {
  const steps = [...new Set(curves.flatMap((curve) => curve.steps))].sort((a, b) => a - b);
  return [
    steps,
    ...curves.map((curve) => {
      const at = new Map(curve.steps.map((step, index) => [step, curve.values[index]]));
      return steps.map((step) => at.get(step) ?? null);
    }),
  ];
}

compare?.addEventListener("change", async () => {
  const chosen = compare.selectedOptions[0];
  other = chosen.value ? { name: chosen.textContent.trim().toLowerCase(), runs: await fetched(chosen.value) } : null;
  zooms.clear();
  look();
});

// The part above fetches itself again while the round goes on; the curves go along.
if (place) {
  document.addEventListener("htmx:afterSwap", ({ detail }) => detail.target.id === "progress" && look());
  look();
}
