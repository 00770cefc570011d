// The ranking of the responses as it is made. No page here: only ids, tiers, one line, and undo.

export const LINE = "line";
const UNDO_STEPS = 200;
const KEPT_STEPS = 20; // in a draft, so that undo goes on after a reload

export class Order {
  /**
   * `ids`: every answer, in the order shown. `items`: tiers (lists of ids), best first, and at most one LINE.
   * `places`: how many answers need one. Where that is not all of them the others stay unranked, below everything
   * placed; `isChoice` allows a single one and no tie.
   */
  constructor(ids, { places = ids.length, isChoice = false } = {}) {
    this.ids = ids;
    this.places = places;
    this.isChoice = isChoice;
    this.items = [];
    this.past = [];
  }

  get tiers() {
    return this.items.filter((item) => item !== LINE);
  }

  get unplaced() {
    const placed = new Set(this.tiers.flat());
    return this.ids.filter((id) => !placed.has(id));
  }

  get isComplete() {
    return this.missing === 0;
  }

  /** How many answers still need a place. */
  get missing() {
    return Math.max(0, this.places - this.tiers.flat().length);
  }

  get isPartial() {
    return this.places < this.ids.length;
  }

  /** Ids below the line, in the order shown. */
  get unacceptable() {
    const line = this.items.indexOf(LINE);
    if (line < 0) return [];
    const below = new Set([...this.items.slice(line + 1).flat(), ...(this.isPartial ? this.unplaced : [])]);
    return this.ids.filter((id) => below.has(id));
  }

  /** 1 for the best tier; 0 without a place. */
  placeOf(id) {
    return this.tiers.findIndex((tier) => tier.includes(id)) + 1;
  }

  tiedWith(id) {
    return (this.tiers[this.placeOf(id) - 1] ?? []).filter((other) => other !== id);
  }

  // --- changes; each returns whether there was anything to change ---

  /** The next place, below everything placed so far. The last answer that is left follows by itself. */
  place(id) {
    if (this.placeOf(id)) return false;
    return this.#become([...this.items, [id]], { fillLast: true });
  }

  /** An answer without a place joins the lowest tier; one that has a place joins the tier above it. */
  tie(id) {
    const tiers = this.tiers;
    const place = this.placeOf(id);
    const target = place ? tiers[place - 2] : tiers.at(-1);
    if (!target) return false;
    const items = this.items.map((item) => (item === target ? [...item, id] : without(item, id)));
    return this.#become(items, { fillLast: !place });
  }

  /** One step up or down: out of a tie first, then past the neighbouring tier or the line. */
  move(id, step) {
    const at = this.items.findIndex((item) => item !== LINE && item.includes(id));
    if (at < 0) return false;
    const items = [...this.items];
    if (items[at].length > 1) {
      items[at] = without(items[at], id);
      items.splice(step < 0 ? at : at + 1, 0, [id]);
    } else {
      const next = at + step;
      if (next < 0 || next >= items.length) return false;
      [items[at], items[next]] = [items[next], items[at]];
    }
    return this.#become(items);
  }

  takeOut(id) {
    if (!this.placeOf(id)) return false;
    return this.#become(this.items.map((item) => without(item, id)));
  }

  /** As a tier of its own before the item at `position`; `position` counts the items as they are now. */
  insertAt(id, position) {
    const items = this.items.map((item) => without(item, id));
    items.splice(position, 0, [id]);
    return this.#become(items, { fillLast: !this.placeOf(id) });
  }

  /** Into the tier at `position`. */
  joinAt(id, position) {
    const items = this.items.map((item, index) => (index === position ? [...without(item, id), id] : without(item, id)));
    return this.#become(items, { fillLast: !this.placeOf(id) });
  }

  /**
   * While responses are unranked: add the cutoff below what is ranked, or remove it. With everything placed: lift
   * it tier by tier, from above the last one to above the first, then take it away.
   */
  toggleLine() {
    const line = this.items.indexOf(LINE);
    const rest = this.items.filter((item) => item !== LINE);
    if (this.unplaced.length) return this.#become(line < 0 ? [...rest, LINE] : rest);
    const above = line < 0 ? rest.length - 1 : line - 1;
    return this.#become(above < 0 ? rest : [...rest.slice(0, above), LINE, ...rest.slice(above)]);
  }

  moveLine(step) {
    const at = this.items.indexOf(LINE);
    const next = at + step;
    if (at < 0 || next < 0 || next >= this.items.length) return false;
    const items = [...this.items];
    [items[at], items[next]] = [items[next], items[at]];
    return this.#become(items);
  }

  removeLine() {
    return this.items.includes(LINE) && this.#become(this.items.filter((item) => item !== LINE));
  }

  undo() {
    if (!this.past.length) return false;
    this.items = this.past.pop();
    return true;
  }

  // --- drafts ---

  get draft() {
    const line = this.items.indexOf(LINE);
    return { tiers: this.tiers, unacceptable: this.unacceptable, line: line < 0 ? null : line, past: this.past.slice(-KEPT_STEPS) };
  }

  /** Takes what is usable of a draft, which may be of an earlier version of the page or made by another client. */
  restore({ tiers, unacceptable, line, past }) {
    if (!Array.isArray(tiers)) return;
    const known = new Set(this.ids);
    const take = (id) => known.delete(id);
    const items = tiers.map((tier) => (Array.isArray(tier) ? tier.filter(take) : [])).filter((tier) => tier.length);
    const below = new Set(unacceptable ?? []);
    const first = items.findIndex((tier) => tier.every((id) => below.has(id)));
    const at = Number.isInteger(line) && line >= 0 && line <= items.length ? line : first;
    if (at >= 0) items.splice(at, 0, LINE);
    this.items = this.#withinPlaces(items, []); // the form may ask for fewer than it did when the draft was made
    this.past = Array.isArray(past) ? past.filter((step) => this.#isUsable(step)) : [];
  }

  /** Whether a kept step is a list of tiers of this task's answers, with one line at most. */
  #isUsable(step) {
    if (!Array.isArray(step) || step.filter((item) => item === LINE).length > 1) return false;
    const ids = step.flatMap((item) => (item === LINE ? [] : item));
    return new Set(ids).size === ids.length && ids.every((id) => this.ids.includes(id)) && step.every((item) => item === LINE || (Array.isArray(item) && item.length));
  }

  #become(items, { fillLast = false } = {}) {
    const before = this.items;
    this.items = this.#withinPlaces(items.filter((item) => item === LINE || item.length), before);
    const left = this.unplaced;
    if (fillLast && !this.isPartial && left.length === 1) this.items.push([left[0]]);
    if (JSON.stringify(before) === JSON.stringify(this.items)) return false;
    this.past = [...this.past, before].slice(-UNDO_STEPS);
    return true;
  }

  /** Of a choice the newest; of the first k places those that are needed, so that what comes before pushes out the last. */
  #withinPlaces(items, before) {
    const isTier = (item) => item !== LINE;
    if (this.isChoice) {
      const old = new Set(before.filter(isTier).flat());
      const ids = items.filter(isTier).flat();
      const chosen = ids.length ? [[ids.find((id) => !old.has(id)) ?? ids[0]]] : [];
      if (!items.includes(LINE)) return chosen;
      return items[0] === LINE ? [LINE, ...chosen] : [...chosen, LINE];
    }
    const kept = [...items];
    for (;;) {
      const last = kept.findLastIndex(isTier);
      if (last < 0 || kept.slice(0, last).filter(isTier).flat().length < this.places) return kept;
      kept.splice(last, 1);
    }
  }
}

function without(item, id) {
  return item === LINE ? item : item.filter((other) => other !== id);
}
