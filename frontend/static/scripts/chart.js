// One chart: a figure with a caption, a line that reads values out, and a plot by uPlot in the page's colours.

/* global uPlot */

const HEIGHT = 150;
const dark = matchMedia("(prefers-color-scheme: dark)");
const charts = [];

/** Subclasses say what is drawn (`series`, `more`: scales, hooks, labels of the x axis) and what is read out (`read`). `data` is uPlot's: columns. One that can be zoomed has `selected(from, to)`. */
export class Chart {
  constructor(where, { title, unit }) {
    this.title = title;
    this.figure = element("figure", { className: "chart" });
    const caption = element("figcaption");
    caption.append(element("strong", { textContent: title }), element("span", { className: "soft small", textContent: unit }));
    this.readout = element("span", { className: "readout num" });
    const save = element("button", { type: "button", className: "save-picture small", textContent: "PNG", title: `Save “${title}” as a picture` });
    save.addEventListener("click", () => this.savePicture());
    caption.append(this.readout, save);
    this.canvas = element("div", { className: "plot" });
    this.canvas.setAttribute("role", "img");
    this.figure.append(caption, this.canvas);
    where.append(this.figure);
    charts.push(this);
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
  }

  get height() {
    return HEIGHT;
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
    picture.toBlob((blob) => {
      const address = URL.createObjectURL(blob);
      element("a", { href: address, download: `${document.title} ${this.title}.png`.replace(/[^\w.]+/g, "-").toLowerCase() }).click();
      setTimeout(() => URL.revokeObjectURL(address), 1000);
    });
  }

  #options() {
    const axis = {
      stroke: colour("--ink-soft"),
      font: `12px ${colour("--sans")}`,
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      gap: 6,
    };
    const more = this.more?.() ?? {};
    return {
      width: this.canvas.clientWidth,
      height: this.height,
      legend: { show: false },
      cursor: { y: false, drag: { x: Boolean(this.selected), setScale: false }, points: { size: 7 } },
      bands: more.bands,
      scales: { x: { time: false }, y: { range: steady }, ...more.scales },
      axes: [
        { ...axis, size: 26, grid: { show: false }, space: 60, values: (_, ticks) => ticks.map(more.label ?? short) },
        { ...axis, size: 46, space: 32, values: (_, ticks) => ticks.map(short) },
      ],
      series: [{}, ...this.series()],
      hooks: {
        ...more.hooks,
        setCursor: [(plot) => this.read(plot.cursor.idx)],
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

  #resize() {
    const width = this.canvas.clientWidth;
    if (!width || !this.data) return;
    if (!this.plot) this.draw();
    else if (this.plot.width !== width) this.plot.setSize({ width, height: this.height });
  }
}

/** A line that is level but for rounding gets an axis of its own size; finer steps than numbers have would never end. */
function steady(plot, least, most) {
  const size = Math.max(Math.abs(least), Math.abs(most));
  if (most - least > size * 1e-6) return uPlot.rangeNum(least, most, 0.1, true);
  return size ? [least - size / 10, most + size / 10] : [-1, 1];
}

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function short(value) {
  if (value === null || value === undefined) return "";
  if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

dark.addEventListener("change", () => charts.forEach((chart) => chart.data && chart.draw()));
