// The quality page's charts: agreement by policy version, and with known orders week by week.

import { Chart, colour, short } from "./chart.js";
import { gettext } from "./shared.js";

const place = document.getElementById("quality-charts");
const plots = JSON.parse(document.getElementById("quality-plots")?.textContent ?? "{}");

class Shares extends Chart {
  constructor(where, { labels, ...caption }) {
    super(where, caption);
    this.labels = labels;
  }

  series() {
    const faint = { stroke: colour("--line-strong"), width: 1, dash: [4, 4], points: { show: false }, spanGaps: true };
    return [{ stroke: colour("--series-1"), width: 2, points: { show: true, size: 6 } }, faint, faint];
  }

  more() {
    return { scales: { y: { range: [0, 1] } }, label: (tick) => this.labels[tick] ?? "" };
  }

  /** The value under the cursor; without one, the last. */
  read(index) {
    const at = index ?? this.labels.length - 1;
    this.readout.textContent = `${this.labels[at]}: ${short(100 * this.data[1][at])}%`;
    if (index === null) {
      const all = this.labels.map((label, number) => `${label} ${short(100 * this.data[1][number])}%`);
      this.canvas.setAttribute("aria-label", `${this.title}: ${all.join(", ")}`);
    }
  }
}

function show(title, unit, rows, label, figure) {
  const known = rows.filter((row) => figure(row).value !== null);
  if (known.length < 2) return; // a single point is no curve; the table has it
  const chart = new Shares(place, { title, unit, labels: known.map(label) });
  const end = (which) => known.map((row) => figure(row).ci95?.[which] ?? null);
  chart.show([known.map((_, number) => number), known.map((row) => figure(row).value), end(0), end(1)]);
}

if (place) {
  show(gettext("Agreement"), gettext("by policy version, with its 95% interval"), plots.by_policy, (row) => `v${row.policy}`, (row) => row.pairwise);
  show(gettext("Gold accuracy"), gettext("by week; a decline is annotator drift"), plots.gold_by_week, (row) => row.week.slice(5), (row) => row);
}
