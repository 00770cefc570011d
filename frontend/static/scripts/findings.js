// What a finished run found out, as figures: how accuracy grows with rankings, how far its certainty can be trusted,
// what each step away from the reference brought. The numbers also stand in a table below each figure.

import { Chart, colour, element, short } from "./chart.js";

const shown = new Set();

export function showFindings(where, run) {
  for (const [name, show] of Object.entries({ learning_curve: learningCurve, calibration: reliability, frontier })) {
    const key = `${run.id} ${name}`;
    if (!run.findings[name] || shown.has(key)) continue; // a result never changes
    shown.add(key);
    show(where, run.findings[name]);
  }
}

function learningCurve(where, { points, earlier, length_baseline: length }) {
  const lines = [{ label: "this round", style: "line", points: points.map(accuracyPoint) }];
  if (earlier.length) lines.push({ label: "earlier rounds", style: "points", points: earlier.map(accuracyPoint) });
  const levels = [{ y: 0.5, label: "chance 50 %" }];
  if (length !== null) levels.push({ y: length, label: `length ${percent(length)}` });
  const chart = new PointChart(where, { title: "Learning curve", unit: "accuracy on held-out pairs", xLabel: "rankings", lines, levels, fromZero: true });
  chart.table(
    ["Round", "Rankings", "Accuracy", "95 % interval"],
    [...earlier, ...points.map((point) => ({ round: "this one", ...point }))].map(
      ({ round, rankings, accuracy, ci95 }) => [round, rankings, percent(accuracy), ci95 ? `${(100 * ci95[0]).toFixed(1)}–${percent(ci95[1])}` : "–"],
    ),
  );
}

function accuracyPoint({ round, rankings, accuracy, ci95 }) {
  const [low, high] = ci95 ?? [null, null];
  return { x: rankings, y: accuracy, low, high, text: `${round ? `round ${round}: ` : ""}${percent(accuracy)} with ${rankings}` };
}

function reliability(where, { ece, bins }) {
  const points = bins.map(({ confidence, accuracy, n }) => ({
    x: confidence, y: accuracy, text: `${percent(confidence)} sure, ${percent(accuracy)} right (${n})`,
  }));
  const chart = new PointChart(where, {
    title: "Reliability", unit: "accuracy", xLabel: "confidence", lines: [{ label: "this model", style: "line", points }],
    diagonal: "perfectly calibrated", x: [0.5, 1], note: `Calibration error (ECE) ${short(ece)}.`,
  });
  chart.table(["Confidence", "Right", "Pairs"], bins.map(({ confidence, accuracy, n }) => [percent(confidence), percent(accuracy), n]));
}

function frontier(where, { points, best_of_n: best, selected }) {
  const at = ({ step, kl }, y, name) => ({ x: root(kl), y, chosen: step === selected, text: `step ${step}: ${name} ${short(y)} at √KL ${short(root(kl))}` });
  const lines = [{ label: "score", style: "line", points: points.map((point) => at(point, point.score, "score")) }];
  const judged = points.filter(({ judge }) => judge !== null && judge !== undefined);
  if (judged.length) lines.push({ label: "judge", style: "dashed", points: judged.map((point) => at(point, point.judge, "judge")) });
  if (best.length) {
    lines.push({
      label: "best of n", style: "points",
      points: best.map(({ n, score, kl }) => ({ x: root(kl), y: score, text: `best of ${n}: score ${short(score)} at √KL ${short(root(kl))}` })),
    });
  }
  const chosen = points.some(({ step }) => step === selected);
  const chart = new PointChart(where, {
    title: "Frontier", unit: "score", xLabel: "√KL to the reference, in nats", lines, fromZero: true,
    note: chosen ? `The ring marks the best checkpoint: step ${selected}.` : "",
  });
  chart.table(
    ["Answers of", "KL, nats", "√KL", "Score", "Judge"],
    [
      ...points.map(({ step, kl, score, judge }) => [`step ${step}${step === selected ? " (kept)" : ""}`, short(kl), short(root(kl)), short(score), short(judge) || "–"]),
      ...best.map(({ n, kl, score }) => [`best of ${n}`, short(kl), short(root(kl)), short(score), "–"]),
    ],
  );
}

/** Points of several lines over one axis. uPlot wants columns: each point is a row in which only its line has a value. */
class PointChart extends Chart {
  constructor(where, { title, unit, xLabel, lines, levels = [], diagonal = null, x = null, fromZero = false, note = "" }) {
    super(where, { title, unit, xLabel });
    Object.assign(this, { lines, levels, diagonal, note });
    this.rows = lines.flatMap(({ points }, line) => points.map((point) => ({ ...point, line }))).sort((a, b) => a.x - b.x);
    this.x = x ?? spread(this.rows.map((row) => row.x), { fromZero });
    const lowest = [...this.rows.flatMap(({ y, low, high }) => [y, low ?? y, high ?? y]), ...levels.map(({ y }) => y), ...(diagonal ? this.x : [])];
    this.y = spread(lowest);
    this.key = element("p", { className: "key small" });
    this.key.append(...lines.map(({ label, style }, line) => element("span", { className: `series-${line + 1} ${style}`, textContent: label })));
    if (diagonal || levels.length) this.key.append(element("span", { className: "level", textContent: diagonal ?? levels.map(({ label }) => label).join(", ") }));
    if (note) this.key.append(element("span", { className: "soft", textContent: note }));
    this.figure.append(this.key);
    this.show([this.rows.map((row) => row.x), ...lines.map((_, line) => this.rows.map((row) => (row.line === line ? row.y : null)))]);
  }

  get height() {
    return 220;
  }

  heads() {
    return [this.xLabel, ...this.lines.map(({ label }) => label)];
  }

  series() {
    return this.lines.map(({ style }, line) => ({
      stroke: colour(`--series-${line + 1}`),
      width: style === "points" ? 0 : 2,
      dash: style === "dashed" ? [6, 4] : undefined,
      spanGaps: true,
      points: { show: true, size: 7, width: 2, stroke: colour(`--series-${line + 1}`), fill: style === "line" ? colour(`--series-${line + 1}`) : colour("--card") },
    }));
  }

  more() {
    return {
      scales: { x: { time: false, range: () => this.x }, y: { range: () => this.y } },
      hooks: { drawAxes: [(plot) => this.#under(plot)], draw: [(plot) => this.#over(plot)] },
    };
  }

  /** Below the lines: levels, the diagonal, intervals. */
  #under(plot) {
    const { ctx } = plot;
    const to = (x, y) => [plot.valToPos(x, "x", true), plot.valToPos(y, "y", true)];
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    ctx.strokeStyle = colour("--line-strong");
    ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
    const straight = (...ends) => {
      ctx.beginPath();
      for (const end of ends) ctx.lineTo(...to(...end));
      ctx.stroke();
    };
    for (const { y } of this.levels) straight([this.x[0], y], [this.x[1], y]);
    if (this.diagonal) straight([this.x[0], this.x[0]], [this.x[1], this.x[1]]);
    ctx.setLineDash([]);
    for (const [line, { points, style }] of this.lines.entries()) {
      const measured = points.filter(({ low }) => typeof low === "number").sort((a, b) => a.x - b.x);
      ctx.strokeStyle = ctx.fillStyle = colour(`--series-${line + 1}`);
      if (style === "line" && measured.length > 1) {
        ctx.globalAlpha = 0.15;
        ctx.beginPath();
        for (const { x, high } of measured) ctx.lineTo(...to(x, high));
        for (const { x, low } of measured.reverse()) ctx.lineTo(...to(x, low));
        ctx.fill();
        ctx.globalAlpha = 1;
      } else {
        for (const { x, low, high } of measured) straight([x, low], [x, high]);
      }
    }
    ctx.restore();
  }

  /** Above them: a ring around what was kept. */
  #over(plot) {
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = colour("--ink");
    ctx.lineWidth = 2 * devicePixelRatio;
    for (const { x, y, chosen } of this.rows) {
      if (!chosen) continue;
      ctx.beginPath();
      ctx.arc(plot.valToPos(x, "x", true), plot.valToPos(y, "y", true), 8 * devicePixelRatio, 0, 2 * Math.PI);
      ctx.stroke();
    }
    ctx.restore();
  }

  /** The point under the cursor; without one, the last of the first line. */
  read(index) {
    const row = index === null || index === undefined ? this.lines[0].points.at(-1) : this.rows[index];
    this.readout.textContent = row?.text ?? "";
    if (index === null) this.canvas.setAttribute("aria-label", `${this.title}: ${this.rows.length} points. ${this.readout.textContent}. ${this.note}`.trim());
  }

  /** The same numbers for those who read them, under a fold. */
  table(heads, rows) {
    const cells = (name, values, properties) => values.map((value) => element(name, { textContent: value, ...properties }));
    const body = rows.map(([first, ...rest]) => element("tr", {}, element("th", { scope: "row", textContent: first }), ...cells("td", rest, { className: "number" })));
    const [first, ...others] = heads;
    const head = element("tr", {}, element("th", { scope: "col", textContent: first }), ...cells("th", others, { scope: "col", className: "number" }));
    const table = element("table", { className: "small" }, element("caption", { className: "unseen", textContent: this.title }), element("thead", {}, head), element("tbody", {}, ...body));
    this.figure.append(element("details", {}, element("summary", { className: "small soft", textContent: "As a table" }), element("div", { className: "numbers" }, table)));
  }
}

/** A little more than from the least to the greatest. */
function spread(values, { fromZero = false } = {}) {
  const low = fromZero ? Math.min(0, ...values) : Math.min(...values);
  const high = Math.max(...values);
  const margin = (high - low || Math.abs(high) || 1) * 0.08;
  return [fromZero && low === 0 ? 0 : low - margin, high + margin];
}

function percent(share) {
  return `${(100 * share).toFixed(1)}\u00a0%`;
}

/** A KL estimated near zero may come out just below it. */
function root(kl) {
  return Math.sqrt(Math.max(0, kl));
}
