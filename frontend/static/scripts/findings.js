// What a finished run found out, as figures: how accuracy grows with rankings, how well it is calibrated,
// what each step away from the reference brought. The numbers also stand in a table below each figure.

import { Chart, colour, element, short } from "./chart.js";
import { gettext } from "./shared.js";

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
  const lines = [{ label: gettext("this round"), style: "line", points: points.map(accuracyPoint) }];
  if (earlier.length) lines.push({ label: gettext("earlier rounds"), style: "points", points: earlier.map(accuracyPoint) });
  const levels = [{ y: 0.5, label: gettext("chance 50%") }];
  if (length !== null) levels.push({ y: length, label: gettext("length only %(share)s", { share: percent(length) }) });
  const chart = new PointChart(where, { title: gettext("Learning curve"), unit: gettext("accuracy on held-out pairs"), xLabel: gettext("rankings"), lines, levels, fromZero: true });
  chart.table(
    [gettext("Round"), gettext("Rankings"), gettext("Accuracy"), gettext("95% CI")],
    [...earlier, ...points.map((point) => ({ round: gettext("this one"), ...point }))].map(
      ({ round, rankings, accuracy, ci95 }) => [round, rankings, percent(accuracy), ci95 ? `${(100 * ci95[0]).toFixed(1)}–${percent(ci95[1])}` : "–"],
    ),
  );
}

function accuracyPoint({ round, rankings, accuracy, ci95 }) {
  const [low, high] = ci95 ?? [null, null];
  return { x: rankings, y: accuracy, low, high, text: round ? gettext("round %(round)s: %(share)s with %(rankings)s", { round, share: percent(accuracy), rankings }) : gettext("%(share)s with %(rankings)s", { share: percent(accuracy), rankings }) };
}

function reliability(where, { ece, bins }) {
  const points = bins.map(({ confidence, accuracy, n }) => ({
    x: confidence, y: accuracy, text: gettext("confidence %(confidence)s, accuracy %(accuracy)s (%(pairs)s pairs)", { confidence: percent(confidence), accuracy: percent(accuracy), pairs: n }),
  }));
  const chart = new PointChart(where, {
    title: gettext("Reliability"), unit: gettext("accuracy"), xLabel: gettext("confidence"), lines: [{ label: gettext("this model"), style: "line", points }],
    diagonal: gettext("perfectly calibrated"), x: [0.5, 1], note: gettext("Expected calibration error (ECE) %(number)s.", { number: short(ece) }),
  });
  chart.table([gettext("Confidence"), gettext("Accuracy"), gettext("Pairs")], bins.map(({ confidence, accuracy, n }) => [percent(confidence), percent(accuracy), n]));
}

function frontier(where, { points, best_of_n: best, selected }) {
  const at = ({ step, kl }, y, name) => ({ x: root(kl), y, chosen: step === selected, text: gettext("step %(step)s: %(name)s %(value)s at √KL %(kl)s", { step, name, value: short(y), kl: short(root(kl)) }) });
  const lines = [{ label: gettext("score"), style: "line", points: points.map((point) => at(point, point.score, gettext("score"))) }];
  const judged = points.filter(({ judge }) => judge !== null && judge !== undefined);
  if (judged.length) lines.push({ label: gettext("judge"), style: "dashed", points: judged.map((point) => at(point, point.judge, gettext("judge"))) });
  if (best.length) {
    lines.push({
      label: gettext("best of n"), style: "points",
      points: best.map(({ n, score, kl }) => ({ x: root(kl), y: score, text: gettext("best of %(n)s: score %(value)s at √KL %(kl)s", { n, value: short(score), kl: short(root(kl)) }) })),
    });
  }
  const chosen = points.some(({ step }) => step === selected);
  const chart = new PointChart(where, {
    title: gettext("Frontier"), unit: gettext("score"), xLabel: gettext("√KL to the reference, in nats"), lines, fromZero: true,
    note: chosen ? gettext("The ring marks the best checkpoint: step %(step)s.", { step: selected }) : "",
  });
  chart.table(
    [gettext("Responses of"), gettext("KL, nats"), "√KL", gettext("Score"), gettext("Judge")],
    [
      ...points.map(({ step, kl, score, judge }) => [step === selected ? gettext("step %(number)s (kept)", { number: step }) : gettext("step %(number)s", { number: step }), short(kl), short(root(kl)), short(score), short(judge) || "–"]),
      ...best.map(({ n, kl, score }) => [gettext("best of %(n)s", { n }), short(kl), short(root(kl)), short(score), "–"]),
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
    if (index === null) this.canvas.setAttribute("aria-label", gettext("%(title)s: %(points)s points. %(last)s. %(note)s", { title: this.title, points: this.rows.length, last: this.readout.textContent, note: this.note }).trim());
  }

  /** The same numbers for those who read them, under a fold. */
  table(heads, rows) {
    const cells = (name, values, properties) => values.map((value) => element(name, { textContent: value, ...properties }));
    const body = rows.map(([first, ...rest]) => element("tr", {}, element("th", { scope: "row", textContent: first }), ...cells("td", rest, { className: "number" })));
    const [first, ...others] = heads;
    const head = element("tr", {}, element("th", { scope: "col", textContent: first }), ...cells("th", others, { scope: "col", className: "number" }));
    const table = element("table", { className: "small" }, element("caption", { className: "unseen", textContent: this.title }), element("thead", {}, head), element("tbody", {}, ...body));
    this.figure.append(element("details", {}, element("summary", { className: "small soft", textContent: gettext("As a table") }), element("div", { className: "numbers" }, table)));
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
  return `${(100 * share).toFixed(1)}%`;
}

/** A KL estimated near zero may come out just below it. */
function root(kl) {
  return Math.sqrt(Math.max(0, kl));
}
