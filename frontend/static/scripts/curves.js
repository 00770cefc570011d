// The curves of a round, or of several over one another: one small chart per question, by uPlot. Names and units are
// those of docs/metrics.md.

import { Chart, element, lineStyle, short } from "./chart.js";
import { showFindings } from "./findings.js";
import { gettext } from "./shared.js";

const CHARTS = [
  { title: gettext("Accuracy"), unit: gettext("share of pairs"), names: { "reward/accuracy_eval": gettext("held-out prompts"), "reward/accuracy_train": gettext("training prompts") } },
  { title: gettext("Loss"), unit: gettext("nats per pair"), names: { "reward/loss": "" } },
  { title: gettext("Accuracy"), unit: gettext("share of pairs"), names: { "dpo/accuracy": "" } },
  { title: gettext("Loss"), unit: "", names: { "dpo/loss": "" } },
  { title: gettext("Log-probability"), unit: gettext("nats per response"), names: { "dpo/logprob_chosen": gettext("chosen"), "dpo/logprob_rejected": gettext("rejected") } },
  { title: gettext("Loss"), unit: "", names: { "kto/loss": "" } },
  { title: gettext("Gain over the reference"), unit: gettext("β × nats per response"), names: { "kto/gain_good": gettext("good"), "kto/gain_bad": gettext("bad") } },
  { title: gettext("KL on responses to other prompts"), unit: gettext("nats per response"), names: { "kto/kl": "" } },
  { title: gettext("Loss"), unit: gettext("nats per token"), names: { "sft/loss": "" } },
  { title: gettext("Accuracy"), unit: gettext("share of tokens"), names: { "sft/token_accuracy": "" } },
  { title: gettext("Score"), unit: gettext("reward model"), names: { "objective/score": "" } },
  { title: gettext("KL to the reference"), unit: gettext("nats per response"), names: { "objective/kl": "" } },
  { title: gettext("KL to the start of the round"), unit: gettext("nats per response"), names: { "objective/kl_round_start": "" } },
  { title: gettext("KL coefficient"), unit: "", names: { "objective/kl_coef": "" } },
  { title: gettext("Policy loss"), unit: "", names: { "ppo/loss/policy": "" } },
  { title: gettext("Clip fraction"), unit: gettext("share of tokens"), names: { "ppo/policy/clipfrac": "" } },
  { title: gettext("Value model"), unit: gettext("share of variance explained"), names: { "ppo/val/var_explained": "" } },
  { title: gettext("Policy loss"), unit: "", names: { "rloo/loss": "" } },
  { title: gettext("Policy loss"), unit: "", names: { "grpo/loss": "" } },
  { title: gettext("Entropy"), unit: gettext("nats per token"), names: { "ppo/policy/entropy": "" } },
  { title: gettext("Entropy"), unit: gettext("nats per token"), names: { "rloo/policy/entropy": "" } },
  { title: gettext("Entropy"), unit: gettext("nats per token"), names: { "grpo/policy/entropy": "" } },
  { title: gettext("Length"), unit: gettext("tokens"), names: { "response/length": "" } },
  { title: gettext("Finished (EOS)"), unit: gettext("share of responses"), names: { "response/eos_share": "" } },
];
const CHARTED = new Set(CHARTS.flatMap(({ names }) => Object.keys(names)));
const KL = "objective/kl";
const KL_OF_ROUND = "objective/kl_round_start"; // the same in a round that starts with the reference policy
const BRIEFLY_SHOWN = 3; // charts
const SMOOTHING = "prefloop.smoothing";

const place = document.getElementById("curves");
const choice = document.getElementById("compare");
const smoother = document.getElementById("smoothing");
const brief = place?.dataset.brief !== undefined;
const compared = JSON.parse(document.getElementById("compared-rounds")?.textContent ?? "null"); // [{name, url}], or one round
const charts = new Map();
const zooms = new Map(); // group → [first, last] step on the screen
let sources = compared ?? [{ name: "", url: place?.dataset.url }];
let smoothing = brief ? 0 : Number(localStorage.getItem(SMOOTHING) ?? 0);

async function fetched({ name, url }, query = "") {
  const response = await fetch(url + query).catch(() => null);
  const { runs } = response?.ok ? await response.json() : { runs: [] };
  return runs.map((run) => ({ name, run }));
}

/** Runs that are drawn over one another: those of the same method, or each of the page's round with that of the other. */
async function groups(query = "") {
  const [own, ...others] = await Promise.all(sources.map((source) => fetched(source, query)));
  const rest = others.flat();
  if (!compared) return own.map((part) => ({ id: String(part.run.id), label: part.run.label, parts: [part, ...rest.filter(({ run }) => run.method === part.run.method)] }));
  const all = [...own, ...rest];
  const methods = [...new Set(all.map(({ run }) => run.method))];
  return methods.map((method) => {
    const parts = all.filter(({ run }) => run.method === method);
    return { id: method, label: parts[0].run.label, parts };
  });
}

async function look() {
  const found = await groups();
  if (brief) showBrief(found);
  else found.filter(({ id }) => !zooms.has(id)).forEach(show); // what is looked at closely stays as it is
}

/** The summary shows the first charts of the stage that runs, or else of the last one that has curves. */
function showBrief(found) {
  const withCurves = found.filter((group) => CHARTS.some((chart) => present(group, chart).length));
  const group = withCurves.find(({ parts }) => parts[0].run.status === "running") ?? withCurves.at(-1);
  if (!group) return;
  let section = place.querySelector(`[data-group="${group.id}"]`);
  if (!section) {
    section = element("section", { className: "run-curves" }, element("h2", { textContent: group.label }), element("div", { className: "charts" }));
    section.dataset.group = group.id;
    place.replaceChildren(section);
  }
  const shown = CHARTS.filter((chart) => present(group, chart).length).slice(0, BRIEFLY_SHOWN);
  for (const chart of shown) showChart(section.querySelector(".charts"), group, chart);
}

function show(group) {
  for (const { run } of group.parts) {
    // A single point of a finished run is no curve; its figure stands among the run's results.
    const least = run.status === "running" ? 1 : 2;
    run.metrics = Object.fromEntries(Object.entries(run.metrics).filter(([, { steps }]) => steps.length >= least));
    if (same(run.metrics[KL], run.metrics[KL_OF_ROUND])) delete run.metrics[KL_OF_ROUND];
  }
  if (group.parts.some(({ run }) => Object.keys(run.metrics).length || Object.keys(run.findings).length)) showGroup(group);
}

function same(one, other) {
  return one && other && one.values.length === other.values.length && one.values.every((value, at) => value === other.values[at]);
}

function showGroup(group) {
  let section = place.querySelector(`[data-group="${group.id}"]`);
  if (!section) {
    section = element("section", { className: "run-curves" });
    section.dataset.group = group.id;
    const back = element("button", { type: "button", className: "button small", textContent: gettext("All steps"), hidden: true });
    back.addEventListener("click", () => zoom(group.id, null));
    const head = element("div", { className: "card-head" }, element("h2", { textContent: group.label }), back);
    section.append(head, element("div", { className: "charts" }));
    const more = element("details", { className: "more" });
    more.append(element("summary", { textContent: gettext("More curves") }), element("div", { className: "charts" }));
    section.append(more, element("div", { className: "findings" }));
    place.append(section);
  }
  section.querySelector(".card-head button").hidden = !zooms.has(group.id);
  if (!compared) showFindings(section.querySelector(".findings"), group.parts[0].run);
  const [main, more] = section.querySelectorAll(".charts");
  const others = [...new Set(group.parts.flatMap(({ run }) => Object.keys(run.metrics)))].filter((name) => !CHARTED.has(name)).sort();
  for (const chart of CHARTS) showChart(main, group, chart);
  for (const name of others) showChart(more, group, { title: name, unit: "", names: { [name]: "" } });
  more.parentElement.hidden = !others.length;
}

function present({ parts }, { names }) {
  return Object.keys(names).filter((name) => parts.some(({ run }) => run.metrics[name]));
}

function showChart(where, group, { title, unit, names }) {
  const lines = present(group, { names }).flatMap((name) =>
    group.parts
      .filter(({ run }) => run.metrics[name])
      .map((part) => ({ ...part.run.metrics[name], label: [names[name], part.name].filter(Boolean).join(", ") })),
  );
  if (!lines.length) return;
  const key = `${group.id} ${title} ${Object.keys(names)[0]}`;
  let chart = charts.get(key);
  if (!chart) {
    charts.set(key, (chart = new Curves(where, { title, unit, xLabel: gettext("step"), whole: true, group: `steps ${group.id}` })));
    if (!brief) {
      chart.selected = (first, last) => zoom(group.id, [Math.ceil(first), Math.floor(last)]);
      chart.canvas.addEventListener("dblclick", () => zoom(group.id, null));
    }
  }
  chart.showLines(lines);
}

/** A part of a run's steps: fetched anew, because there the server thins the curves less. */
async function zoom(group, part) {
  if (part && part[1] <= part[0]) return;
  if (part) zooms.set(group, part);
  else zooms.delete(group);
  const found = await groups(part ? `?first=${Math.max(part[0], 0)}&last=${part[1]}` : "");
  found.filter(({ id }) => id === group).forEach(show);
}

class Curves extends Chart {
  /** A line has steps, values and a label; one that was thinned also the least and the greatest around each value. */
  showLines(lines) {
    this.lines = lines;
    this.showSmoothed();
  }

  /** Raw values stay behind the smoothed line, or else the least and greatest around it where values were thinned. */
  showSmoothed() {
    this.columns = this.lines.flatMap((line, place) => {
      const { label, steps, values, low, high } = line;
      const drawn = { label, steps, values: smoothing ? smoothed(values, smoothing) : values, place, kind: "line" };
      if (smoothing) return [drawn, { label, steps, values, place, kind: "raw" }];
      return low ? [drawn, { label, steps, values: low, place, kind: "low" }, { label, steps, values: high, place, kind: "high" }] : [drawn];
    });
    const shape = this.columns.map(({ label, kind }) => `${label}|${kind}`).join();
    this.data = joined(this.columns);
    if (this.plot && shape !== this.shape) this.draw();
    this.shape = shape;
    this.show(this.data);
  }

  heads() {
    const names = { line: smoothing ? "smoothed" : "", raw: "", low: "least", high: "greatest" };
    return [this.xLabel, ...this.columns.map(({ label, kind }) => [this.title, label, names[kind]].filter(Boolean).join(" "))];
  }

  series() {
    return this.columns.map(({ place, kind }) => {
      const { stroke, dash } = lineStyle(place);
      if (kind === "raw") return { stroke, alpha: 0.3, width: 1, spanGaps: true, points: { show: false } };
      if (kind !== "line") return { stroke: "transparent", spanGaps: true, points: { show: false } };
      return { stroke, dash, width: 2, spanGaps: true, points: { show: this.data[0].length < 4 || undefined, size: 5 } };
    });
  }

  more() {
    const bands = this.columns.flatMap(({ kind, place }, column) =>
      kind === "low" ? [{ series: [column + 2, column + 1], fill: `color-mix(in srgb, ${lineStyle(place).stroke} 20%, transparent)` }] : [],
    );
    return { bands };
  }

  /** The values under the cursor; without one, the last. */
  read(index) {
    const steps = this.data[0];
    const at = index ?? steps.length - 1;
    const parts = this.columns.flatMap(({ label, place, kind }, column) => {
      if (kind !== "line") return [];
      const values = this.data[column + 1];
      let there = at;
      while (there >= 0 && values[there] === null) there -= 1;
      const text = there < 0 ? "" : `${label ? `${label} ` : ""}${short(values[there])}`;
      return [element("span", { className: `series-${1 + (place % 5)} dash-${place % 5}`, textContent: text })];
    });
    this.readout.replaceChildren(element("span", { className: "soft at-step", textContent: gettext("step %(number)s", { number: steps[at] }) }), ...parts);
    if (index !== null) return;
    const last = parts.map((part) => part.textContent).join(", ");
    this.canvas.setAttribute("aria-label", gettext("%(title)s over %(points)s points up to step %(step)s. Last: %(last)s", { title: this.title, points: steps.length, step: steps.at(-1), last }));
  }
}

/** An exponential moving average without the pull of its start, as in TensorBoard. */
function smoothed(values, weight) {
  let sum = 0;
  let total = 0;
  return values.map((value) => {
    sum = sum * weight + value * (1 - weight);
    total = total * weight + (1 - weight);
    return sum / total;
  });
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

choice?.addEventListener("change", () => {
  const chosen = choice.selectedOptions[0];
  sources = [sources[0], ...(chosen.value ? [{ name: chosen.textContent.trim().toLowerCase(), url: chosen.value }] : [])];
  zooms.clear();
  look();
});

if (smoother) {
  smoother.value = smoothing;
  smoother.addEventListener("input", () => {
    smoothing = Number(smoother.value);
    localStorage.setItem(SMOOTHING, smoothing);
    for (const chart of charts.values()) chart.showSmoothed();
  });
}

// The state of the round fetches itself again while it goes on; the curves go along.
if (place) {
  document.addEventListener("htmx:afterSwap", ({ detail }) => detail.target.id === "progress" && look());
  look();
}
