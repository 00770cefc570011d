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
  { title: "Policy loss", unit: "", names: { "ppo/policy_loss": "" } },
  { title: "Policy loss", unit: "", names: { "rloo/loss": "" } },
  { title: "Entropy", unit: "nats per token", names: { "objective/entropy": "" } },
  { title: "Length", unit: "tokens", names: { "response/length": "" } },
  { title: "Ended by themselves", unit: "share of completions", names: { "response/eos_share": "" } },
];
const CHARTED = new Set(CHARTS.flatMap(({ names }) => Object.keys(names)));

const place = document.getElementById("curves");
const charts = new Map();

async function look() {
  const response = await fetch(place.dataset.url).catch(() => null);
  if (!response?.ok) return;
  const { runs } = await response.json();
  for (const run of runs) {
    // A single point is no curve; its figure stands among the run's results.
    run.metrics = Object.fromEntries(Object.entries(run.metrics).filter(([, { steps }]) => steps.length > 1));
    if (Object.keys(run.metrics).length || Object.keys(run.findings).length) showRun(run);
  }
}

function showRun(run) {
  let section = place.querySelector(`[data-run="${run.id}"]`);
  if (!section) {
    section = element("section", { className: "run-curves" });
    section.dataset.run = run.id;
    section.append(element("h2", { textContent: run.label }), element("div", { className: "findings" }), element("div", { className: "charts" }));
    const more = element("details", { className: "more" });
    more.append(element("summary", { textContent: "More curves" }), element("div", { className: "charts" }));
    section.append(more);
    place.append(section);
  }
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
  const data = joined(present.map((name) => run.metrics[name]));
  const key = `${run.id} ${title}`;
  let chart = charts.get(key);
  if (!chart) charts.set(key, (chart = new Curves(where, { title, unit, labels: present.map((name) => names[name]) })));
  chart.show(data);
}

class Curves extends Chart {
  constructor(where, { labels, ...caption }) {
    super(where, caption);
    this.labels = labels;
  }

  series() {
    return this.labels.map((_, index) => ({
      stroke: colour(`--series-${index + 1}`),
      width: 2,
      spanGaps: true,
      points: { show: this.data[0].length < 4 || undefined, size: 5 },
    }));
  }

  /** The values under the cursor; without one, the last. */
  read(index) {
    const [steps, ...lines] = this.data;
    this.readout.replaceChildren(
      ...lines.map((values, line) => {
        const known = values.map((value, at) => (value === null || (index !== null && at > index) ? -1 : at));
        const at = Math.max(...known);
        const text = at < 0 ? "" : `${this.labels[line] ? `${this.labels[line]} ` : ""}${short(values[at])}`;
        return element("span", { className: `series-${line + 1}`, textContent: text });
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

// The part above fetches itself again while the round goes on; the curves go along.
document.addEventListener("htmx:afterSwap", ({ detail }) => detail.target.id === "progress" && look());
look();
