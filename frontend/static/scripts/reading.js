// How the answers are read: as a stack or as columns, and with the words dimmed that near-equal answers share.

import { Folding } from "./folding.js";
import { likeness, shared, wordsOf } from "./likeness.js";
import { announce, gettext } from "./shared.js";

const ALIKE_FROM = 0.5;

export class Reading {
  /** `cards`: answers by id. `model` gives the id of the answer that others are compared with. */
  constructor(section, { cards, model, onLayout }) {
    Object.assign(this, { section, cards, model, onLayout });
    this.columns = section.querySelector("[data-do=columns]");
    this.dim = section.querySelector("[data-do=dim]");
    this.words = new Map([...cards].map(([id, card]) => [id, wordsOf(card.querySelector(".answer-text"))]));
    this.folding = new Folding(section);
    this.isColumns = this.#remembered("columns") ?? section.classList.contains("graded");
    this.isDimmed = this.#remembered("dim") ?? false;
    this.dim.hidden = !("highlights" in CSS) || !this.#someAreAlike();
    this.columns.onclick = () => this.toggleColumns();
    this.dim.onclick = () => this.toggleDim();
    this.#show();
  }

  #someAreAlike() {
    const all = [...this.words.values()];
    return all.some((one, index) => all.slice(index + 1).some((other) => likeness(one, other) >= ALIKE_FROM));
  }

  toggleColumns() {
    this.isColumns = !this.isColumns;
    this.#remember("columns", this.isColumns);
    this.#show();
    this.onLayout();
    announce(this.isColumns ? gettext("Responses are side by side.") : gettext("Responses are stacked."));
  }

  toggleDim() {
    if (this.dim.hidden) return announce(gettext("No two of these responses are nearly equal."));
    this.isDimmed = !this.isDimmed;
    this.#remember("dim", this.isDimmed);
    this.#show();
    return announce(this.isDimmed ? gettext("Differences are highlighted.") : gettext("Differences are not highlighted."));
  }

  /** After a change of the order: another answer may have become the first. */
  refresh() {
    if (this.isDimmed && this.model() !== this.shownModel) this.#show();
  }

  #show() {
    this.section.classList.toggle("as-columns", this.isColumns);
    this.section.classList.toggle("as-stack", !this.isColumns);
    this.columns.setAttribute("aria-pressed", this.isColumns);
    this.dim.setAttribute("aria-pressed", this.isDimmed);
    if ("highlights" in CSS) this.#highlight();
  }

  #highlight() {
    CSS.highlights.delete("shared");
    if (!this.isDimmed || this.dim.hidden) return;
    const ranges = [];
    this.shownModel = this.model();
    const model = this.words.get(this.shownModel);
    for (const [id, words] of this.words) {
      if (id === this.shownModel || likeness(model, words) < ALIKE_FROM) continue;
      for (const { node, start, end } of shared(model, words)) {
        const range = new StaticRange({ startContainer: node, startOffset: start, endContainer: node, endOffset: end });
        ranges.push(range);
      }
    }
    CSS.highlights.set("shared", new Highlight(...ranges));
  }

  #remembered(name) {
    const kept = localStorage.getItem(this.#key(name));
    return kept === null ? null : kept === "1";
  }

  #remember(name, isOn) {
    localStorage.setItem(this.#key(name), isOn ? "1" : "0");
  }

  #key(name) {
    return `prefloop.${name}.${this.section.className.split(" ")[0]}.${this.section.dataset.project}`;
  }

  stop() {
    this.folding.stop();
    CSS.highlights?.delete("shared");
  }
}
