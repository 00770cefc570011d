// One chart: a figure with a caption, a line that reads values out, and a plot by uPlot in the page's colours. The
// cursor goes by mouse, finger and arrow keys, and along all charts of the same `group`.

import { gettext } from "./shared.js";

/* global uPlot */

const HEIGHT = 170;
const LINES = 5; // colours of lines, --series-1 and on
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3], [4, 2]];
const WHOLE = [1, 2, 5].flatMap((first) => Array.from({ length: 9 }, (_, power) => first * 10 ** power)).sort((a, b) => a - b);
const dark = matchMedia("(prefers-color-scheme: dark)");
const charts = [];

/**
 * Subclasses say what is drawn (`series`, `more`: scales, hooks, labels of the x axis) and what is read out (`read`).
 * `data` is uPlot's: columns. `xLabel` names the x axis, whose ticks are whole numbers where `whole` is set. One that
 * can be zoomed has `selected(from, to)`.
 */
export class Chart {
  constructor(where, { title, unit, xLabel = "", whole = false, group = "" }) {
    Object.assign(this, { title, unit, xLabel, whole, group });
    this.figure = element("figure", { className: "chart" });
    const caption = element("figcaption");
    const tools = element("span", { className: "chart-tools" });
    tools.append(
      this.#tool("CSV", gettext("Save the points of “%(title)s” as CSV", { title }), () => this.saveTable()),
      this.#tool("PNG", gettext("Save “%(title)s” as a picture", { title }), () => this.savePicture()),
      (this.enlarger = this.#tool("", gettext("Show “%(title)s” full screen", { title }), () => this.enlarge())),
    );
    this.enlarger.className = "enlarge";
    caption.append(element("strong", { textContent: title }), tools, element("span", { className: "unit soft small", textContent: unit }));
    this.readout = element("p", { className: "readout num small" });
    this.canvas = element("div", { className: "plot", tabIndex: 0 });
    this.canvas.setAttribute("role", "img");
    this.canvas.addEventListener("keydown", (event) => this.#key(event));
    this.canvas.addEventListener("blur", () => this.plot?.setCursor({ left: -10, top: -10 }));
    this.figure.addEventListener("keydown", (event) => event.key === "Escape" && this.isLarge && this.enlarge());
    this.figure.append(caption, this.readout, this.canvas);
    where.append(this.figure);
    charts.push(this);
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
  }

  get height() {
    return HEIGHT;
  }

  get isLarge() {
    return this.figure.classList.contains("is-large");
  }

  /** Show it over the whole window, or where it was. */
  enlarge() {
    const large = this.figure.classList.toggle("is-large");
    this.enlarger.setAttribute("aria-pressed", large);
    this.#resize();
  }

  show(data) {
    this.data = data;
    if (this.plot) this.plot.setData(data);
    else this.draw();
    this.read(null);
  }

  draw() {
    this.plot?.destroy();
    this.plot = null;
    if (!this.canvas.clientWidth) return; // folded away; drawn when it unfolds
    this.plot = new uPlot(this.#options(), this.data, this.canvas);
    this.plot.over.setAttribute("aria-hidden", "true");
  }

  /** What is on the screen, with its title, as a file. */
  savePicture() {
    if (!this.plot) return;
    const scale = devicePixelRatio;
    const { width, height } = this.plot.ctx.canvas;
    const head = 28 * scale;
    const picture = element("canvas", { width, height: height + head });
    const ink = picture.getContext("2d");
    ink.fillStyle = colour("--card");
    ink.fillRect(0, 0, width, height + head);
    ink.fillStyle = colour("--ink");
    ink.font = `600 ${14 * scale}px ${colour("--sans")}`;
    ink.fillText(`${this.title}  ${this.readout.innerText.replace(/\s+/g, " ")}`, 8 * scale, 19 * scale);
    ink.drawImage(this.plot.ctx.canvas, 0, head);
    picture.toBlob((blob) => this.#save(blob, "png"));
  }

  /** The names of the columns of `data`, for a table; the first is that of the x axis. */
  heads() {
    return [this.xLabel || "x", ...this.data.slice(1).map((_, column) => `${this.title} ${column + 1}`)];
  }

  saveTable() {
    const cell = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
    const rows = this.data[0].map((_, row) => this.data.map((column) => column[row]));
    const text = [this.heads(), ...rows].map((row) => row.map(cell).join(",")).join("\r\n");
    this.#save(new Blob([`${text}\r\n`], { type: "text/csv" }), "csv");
  }

  #save(blob, ending) {
    const address = URL.createObjectURL(blob);
    element("a", { href: address, download: `${document.title} ${this.title}`.replace(/[^\p{L}\p{N}.]+/gu, "-").toLowerCase() + `.${ending}` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  }

  #tool(text, title, act) {
    const button = element("button", { type: "button", textContent: text, title });
    button.setAttribute("aria-label", title);
    button.addEventListener("click", act);
    return button;
  }

  /** Arrows go from point to point, Home and End to the first and last; what is there is said. */
  #key(event) {
    const last = this.data[0].length - 1;
    const at = this.plot?.cursor.idx ?? null;
    const next = { ArrowLeft: at === null ? last : at - 1, ArrowRight: at === null ? 0 : at + 1, Home: 0, End: last }[event.key];
    if (next === undefined || !this.plot) return;
    event.preventDefault();
    const place = Math.min(Math.max(next, 0), last);
    this.plot.setCursor({ left: this.plot.valToPos(this.data[0][place], "x"), top: this.plot.over.clientHeight / 2 }, true, true); // and those of its group
    const said = document.getElementById("announcer");
    if (said) said.textContent = this.readout.textContent;
  }

  #options() {
    const axis = {
      stroke: colour("--ink-soft"),
      font: `12px ${colour("--sans")}`,
      labelFont: `12px ${colour("--sans")}`,
      labelSize: 18,
      labelGap: 0,
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      gap: 6,
    };
    const more = this.more?.() ?? {};
    return {
      width: this.canvas.clientWidth,
      height: this.#height(),
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: Boolean(this.selected), setScale: false },
        points: { size: 7 },
        sync: this.group ? { key: this.group, scales: ["x", null] } : undefined,
      },
      bands: more.bands,
      scales: { x: { time: false }, y: { range: toTicks }, ...more.scales },
      axes: [
        { ...axis, size: 24, label: this.xLabel || undefined, grid: { show: false }, space: 50, incrs: this.whole ? WHOLE : undefined, values: (_, ticks) => ticks.map(more.label ?? short) },
        { ...axis, size: 46, space: 30, values: (_, ticks) => ticks.map(short) },
      ],
      series: [{}, ...this.series()],
      hooks: {
        ...more.hooks,
        setCursor: [(plot) => this.read(plot.cursor.idx ?? null)],
        setSelect: this.selected ? [(plot) => this.#select(plot)] : [],
      },
    };
  }

  #select(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.selected(plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
  }

  #height() {
    return this.isLarge ? Math.max(this.height, innerHeight - 160) : this.height;
  }

  #resize() {
    const width = this.canvas.clientWidth;
    if (!width || !this.data) return;
    if (!this.plot) this.draw();
    else if (this.plot.width !== width || this.plot.height !== this.#height()) this.plot.setSize({ width, height: this.#height() });
  }
}

/** Colour and dash of a chart's line, by its place. */
export function lineStyle(place) {
  return { stroke: colour(`--series-${1 + (place % LINES)}`), dash: DASHES[place % DASHES.length] };
}

/** From a round number below the least value to one above the greatest, so that the first and last tick are the ends. */
function toTicks(plot, least, most) {
  if (least === null || most === null) return [0, 1];
  const size = Math.max(Math.abs(least), Math.abs(most));
  // A line that is level but for rounding: finer steps than numbers have would never end.
  if (most - least <= size * 1e-6) return size ? [least - size / 10, most + size / 10] : [-1, 1];
  const power = 10 ** Math.floor(Math.log10((most - least) / 3));
  const step = [1, 2, 2.5, 5, 10].map((first) => first * power).find((each) => each * 3 >= most - least);
  return [Math.floor(least / step + 1e-9) * step, Math.ceil(most / step - 1e-9) * step];
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function short(value) {
  if (value === null || value === undefined) return "";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1).replace("-", "\u2212");
  return String(Number(value.toPrecision(3))).replace("-", "\u2212");
}

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

dark.addEventListener("change", () => charts.forEach((chart) => chart.data && chart.draw()));
addEventListener("resize", () => charts.forEach((chart) => chart.isLarge && chart.plot?.setSize({ width: chart.canvas.clientWidth, height: innerHeight - 160 })));
