// The curves of a round, one small chart per question, by uPlot. Names and units are those of docs/metrics.md.

/* global uPlot */

const CHARTS = [
  { title: "Accuracy", unit: "share of pairs", names: { "reward/accuracy_eval": "unseen prompts", "reward/accuracy_train": "own prompts" } },
  { title: "Loss", unit: "nats per pair", names: { "reward/loss": "" } },
  { title: "Score", unit: "reward model", names: { "objective/score": "" } },
  { title: "KL to the reference", unit: "nats per completion", names: { "objective/kl": "" } },
  { title: "Policy loss", unit: "", names: { "ppo/policy_loss": "" } },
  { title: "Entropy", unit: "nats per token", names: { "objective/entropy": "" } },
  { title: "Length", unit: "tokens", names: { "response/length": "" } },
  { title: "Ended by themselves", unit: "share of completions", names: { "response/eos_share": "" } },
];
const CHARTED = new Set(CHARTS.flatMap(({ names }) => Object.keys(names)));
const HEIGHT = 150;

const place = document.getElementById("curves");
const dark = matchMedia("(prefers-color-scheme: dark)");
const charts = new Map();

async function look() {
  const response = await fetch(place.dataset.url).catch(() => null);
  if (!response?.ok) return;
  const { runs } = await response.json();
  for (const run of runs) if (Object.keys(run.metrics).length) showRun(run);
}

function showRun(run) {
  let section = place.querySelector(`[data-run="${run.id}"]`);
  if (!section) {
    section = element("section", { className: "run-curves" });
    section.dataset.run = run.id;
    section.append(element("h2", { textContent: run.label }), element("div", { className: "charts" }));
    const more = element("details", { className: "more" });
    more.append(element("summary", { textContent: "More curves" }), element("div", { className: "charts" }));
    section.append(more);
    place.append(section);
  }
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
  if (!chart) charts.set(key, (chart = new Chart(where, { title, unit, labels: present.map((name) => names[name]) })));
  chart.show(data);
}

class Chart {
  constructor(where, { title, unit, labels }) {
    this.labels = labels;
    this.title = title;
    this.figure = element("figure", { className: "chart" });
    const caption = element("figcaption");
    caption.append(element("strong", { textContent: title }), element("span", { className: "soft small", textContent: unit }));
    this.readout = element("span", { className: "readout num" });
    caption.append(this.readout);
    this.canvas = element("div", { className: "plot" });
    this.canvas.setAttribute("role", "img");
    this.figure.append(caption, this.canvas);
    where.append(this.figure);
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
  }

  show(data) {
    this.data = data;
    if (this.plot) this.plot.setData(data);
    else this.draw();
    this.#read(null);
  }

  draw() {
    this.plot?.destroy();
    this.plot = null;
    if (!this.canvas.clientWidth) return; // folded away; drawn when it unfolds
    this.plot = new uPlot(this.#options(), this.data, this.canvas);
  }

  #options() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour("--ink-soft"),
      font: `12px ${colour("--sans")}`,
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      gap: 6,
    };
    return {
      width: this.canvas.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false }, points: { size: 7 } },
      scales: { x: { time: false } },
      axes: [
        { ...axis, size: 26, grid: { show: false }, space: 60 },
        { ...axis, size: 46, space: 32, values: (_, ticks) => ticks.map(short) },
      ],
      series: [
        {},
        ...this.labels.map((_, index) => ({
          stroke: colour(`--series-${index + 1}`),
          width: 2,
          spanGaps: true,
          points: { show: this.data[0].length < 4 || undefined, size: 5 },
        })),
      ],
      hooks: { setCursor: [(plot) => this.#read(plot.cursor.idx)] },
    };
  }

  /** The values under the cursor; without one, the last. */
  #read(index) {
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

  #resize() {
    const width = this.canvas.clientWidth;
    if (!width || !this.data) return;
    if (!this.plot) this.draw();
    else if (this.plot.width !== width) this.plot.setSize({ width, height: HEIGHT });
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

function short(value) {
  if (value === null || value === undefined) return "";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}

dark.addEventListener("change", () => charts.forEach((chart) => chart.draw()));
// The part above fetches itself again while the round goes on; the curves go along.
document.addEventListener("htmx:afterSwap", ({ detail }) => detail.target.id === "progress" && look());
look();
