// The ranking screen: cards that are read and ordered in the same place, by keys, by dragging and by buttons.

import { LINE, Order } from "./order.js";
import { makeDraggable } from "./ranking-drag.js";
import { listenToKeys } from "./ranking-keys.js";
import { Ratings } from "./ratings.js";
import { Reading } from "./reading.js";
import { announce, gettext, listed, ngettext, NOTHING_TO_UNDO, ordinal } from "./shared.js";

export function mount(section, hooks) {
  return new Ranking(section, hooks);
}

class Ranking {
  constructor(section, { changed }) {
    Object.assign(this, { section, changed });
    this.cards = new Map();
    for (const card of section.querySelectorAll(".answer")) this.cards.set(Number(card.dataset.id), card);
    const { mode, places } = section.dataset;
    this.order = new Order([...this.cards.keys()], { places: Number(places), isChoice: mode === "best" });
    this.waiting = section.querySelector("#waiting");
    this.placed = section.querySelector("#placed");
    this.rationale = section.querySelector("#rationale");
    this.fields = { tiers: section.querySelector("#tiers"), unacceptable: section.querySelector("#unacceptable") };
    this.rationale?.addEventListener("input", changed);
    this.ratings = new Ratings(section, { changed });
    this.reading = new Reading(section, {
      cards: this.cards,
      model: () => this.order.tiers[0]?.[0] ?? this.order.ids[0],
      onLayout: () => this.render(),
    });
    section.addEventListener("click", (event) => this.#click(event));
    this.drag = makeDraggable(this);
    this.keys = listenToKeys(this);
  }

  // --- what the page asks of every kind ---

  get draft() {
    return { ...this.order.draft, rationale: this.rationale?.value ?? "", ratings: this.ratings.all };
  }

  restore(draft) {
    this.order.restore(draft);
    this.wasComplete = this.order.isComplete;
    if (this.rationale && typeof draft.rationale === "string") this.rationale.value = draft.rationale;
    this.ratings.restore(draft.ratings);
    this.render();
    return this.order.tiers.length > 0 || Boolean(draft.rationale);
  }

  get problem() {
    return this.#missingPlaces || this.#missingWords;
  }

  get #missingPlaces() {
    const { missing, isChoice, isPartial, places } = this.order;
    if (!missing) return "";
    if (isChoice) return gettext("Choose the best response");
    if (isPartial) return missing === places ? gettext("Rank the top %(places)s", { places }) : ngettext("%(count)s more to rank", "%(count)s more to rank", missing);
    if (missing === this.cards.size) return gettext("Rank all responses");
    return ngettext("%(count)s response not ranked yet", "%(count)s responses not ranked yet", missing);
  }

  get #missingWords() {
    if (this.ratings.missing) return gettext("Ratings still missing: %(count)s", { count: this.ratings.missing });
    return this.rationale?.required && !this.rationale.value.trim() ? gettext("Rationale required") : "";
  }

  stop() {
    this.reading.stop();
    this.drag.stop();
    this.keys.stop();
  }

  // --- changes ---

  /** Show a change, say what came of it, and have it kept. */
  apply(didChange, text) {
    if (!didChange) return false;
    this.followed = null;
    this.isLast = this.order.isComplete && !this.wasComplete;
    this.wasComplete = this.order.isComplete;
    this.render();
    announce(text() + (this.isLast && !this.order.isPartial ? ` ${gettext("All responses ranked.")}` : ""));
    this.changed();
    return true;
  }

  place(id) {
    return this.apply(this.order.place(id), () => this.#sayPlaced(id));
  }

  tie(id) {
    return this.apply(this.order.tie(id), () => this.#sayPlaced(id));
  }

  move(id, step) {
    return this.apply(this.order.move(id, step), () => this.describe(id));
  }

  takeOut(id) {
    return this.apply(this.order.takeOut(id), () => this.describe(id));
  }

  dropped(didChange, id) {
    if (!this.apply(didChange, () => (this.order.placeOf(id) ? this.#sayPlaced(id) : this.describe(id)))) this.render();
    this.cards.get(id).scrollIntoView({ block: "nearest" });
  }

  toggleLine() {
    return this.apply(this.order.toggleLine(), () => this.#sayLine());
  }

  undo() {
    if (!this.apply(this.order.undo(), () => gettext("Undone."))) announce(NOTHING_TO_UNDO);
  }

  // --- words ---

  describe(id) {
    const place = this.order.placeOf(id);
    const tied = this.order.tiedWith(id).map((other) => this.cards.get(other).dataset.number);
    const values = { number: this.cards.get(id).dataset.number, place: ordinal(place), others: listed(tied) };
    if (!place) return gettext("Response %(number)s is not ranked.", values);
    if (this.order.unacceptable.includes(id)) {
      if (tied.length) return gettext("Response %(number)s: %(place)s, tied with %(others)s, unacceptable.", values);
      return gettext("Response %(number)s: %(place)s, unacceptable.", values);
    }
    if (tied.length) return gettext("Response %(number)s: %(place)s, tied with %(others)s.", values);
    return gettext("Response %(number)s: %(place)s.", values);
  }

  #sayPlaced(id) {
    const last = this.order.tiers.at(-1);
    const followed = this.isLast && !last.includes(id) && last.length === 1;
    if (!followed) return this.describe(id);
    this.followed = last[0]; // placed by itself, as the last one
    return `${this.describe(id)} ${this.describe(this.followed)}`;
  }

  #sayLine() {
    const line = this.order.items.indexOf(LINE);
    if (line < 0) return gettext("No cutoff: all responses are acceptable.");
    if (line === 0) return gettext("Cutoff at the top: no response is acceptable.");
    const place = ordinal(line);
    const below = this.order.unacceptable.length;
    if (!below) return gettext("Cutoff below %(place)s: nothing below it yet.", { place });
    return ngettext("Cutoff below %(place)s: %(count)s unacceptable response.", "Cutoff below %(place)s: %(count)s unacceptable responses.", below, { place });
  }

  // --- the page ---

  #click(event) {
    const button = event.target.closest("button[data-do]");
    if (!button) return;
    const id = Number(button.closest(".answer")?.dataset.id);
    const act = {
      place: () => this.place(id),
      tie: () => this.tie(id),
      up: () => this.move(id, -1),
      down: () => this.move(id, 1),
      out: () => this.takeOut(id),
      line: () => this.toggleLine(),
      "line-up": () => this.apply(this.order.moveLine(-1), () => this.#sayLine()),
      "line-down": () => this.apply(this.order.moveLine(1), () => this.#sayLine()),
      "line-away": () => this.apply(this.order.removeLine(), () => this.#sayLine()),
      undo: () => this.undo(),
    }[button.dataset.do];
    if (!act) return;
    act();
    this.#keepFocus(button, id);
  }

  /** A button that went away with its step hands the focus on: to the next answer to place, or back to its card. */
  #keepFocus(button, id) {
    if (button.isConnected && button.offsetParent && !button.disabled) return button.focus({ preventScroll: true });
    const next = this.waiting.querySelector(".answer button[data-do=place]");
    if (button.dataset.do === "place" && next) return next.focus({ preventScroll: true });
    return (this.cards.get(id) ?? this.placed).focus({ preventScroll: true });
  }

  render() {
    const focused = document.activeElement;
    const { order } = this;
    const rows = [];
    let place = 0;
    const below = new Set(order.unacceptable);
    order.items.forEach((item, position) => {
      rows.push(this.#gap(position));
      if (item === LINE) rows.push(this.#part("line-part"));
      else rows.push(this.#tier(item, position, (place += 1), below.has(item[0])));
    });
    rows.push(this.#gap(order.items.length));
    const old = [...this.placed.children];
    // As columns the answers stay where they are, and the order is a row of their numbers.
    for (const id of this.reading.isColumns ? order.ids : order.unplaced) this.waiting.append(this.cards.get(id));
    this.placed.append(...rows);
    for (const row of old) row.remove();
    this.cards.forEach((card, id) => this.#dress(card, id, below.has(id)));
    this.#showState();
    this.#showStrip();
    this.fields.tiers.value = order.tiers.length ? JSON.stringify(order.tiers) : "";
    this.fields.unacceptable.value = JSON.stringify(order.unacceptable);
    this.drag.refresh();
    this.reading.refresh();
    if (this.section.contains(focused) && focused !== document.activeElement) focused.focus({ preventScroll: true });
  }

  #part(id) {
    return document.getElementById(id).content.firstElementChild.cloneNode(true);
  }

  #gap(position) {
    const gap = this.#part("gap-part");
    gap.dataset.position = position;
    return gap;
  }

  #tier(ids, position, place, isBelow) {
    const row = this.#part("tier-part");
    row.querySelector(".place").textContent = this.order.isChoice ? gettext("Best") : ordinal(place);
    row.querySelector(".tied").hidden = ids.length < 2;
    row.classList.toggle("below", isBelow);
    const list = row.querySelector(".tier-answers");
    list.dataset.position = position;
    list.append(...ids.map((id) => (this.reading.isColumns ? this.#chip(id) : this.cards.get(id))));
    return row;
  }

  #chip(id) {
    const chip = this.#part("chip-part");
    chip.textContent = this.cards.get(id).dataset.number;
    chip.setAttribute("aria-label", gettext("Go to response %(number)s", { number: chip.textContent }));
    chip.onclick = () => this.cards.get(id).focus();
    return chip;
  }

  /** The ranking so far in one line of the action bar, which is always in sight. */
  #showStrip() {
    const strip = document.getElementById("order-strip");
    const parts = [];
    let place = 0;
    for (const item of this.order.items) {
      if (item === LINE) {
        parts.push(textIn("strip-line", gettext("unacceptable:")));
        continue;
      }
      place += 1;
      parts.push(textIn("strip-place", this.order.isChoice ? gettext("Best") : ordinal(place)));
      item.forEach((id, at) => parts.push(...(at ? [textIn("strip-tie", "=")] : []), this.#chip(id)));
    }
    strip.replaceChildren(...parts);
    strip.hidden = !parts.length;
  }

  #dress(card, id, isBelow) {
    const place = this.order.placeOf(id);
    card.classList.toggle("below", isBelow);
    card.setAttribute("aria-label", this.describe(id).replace(/[.。]$/, ""));
    card.querySelector(".when-waiting").hidden = Boolean(place);
    card.querySelector(".when-placed").hidden = !place;
    const { isChoice, isPartial, isComplete } = this.order;
    card.querySelector(".place-mark").textContent = place ? (isChoice ? gettext("Best") : ordinal(place)) : "";
    const next = card.querySelector("[data-do=place]");
    next.textContent = isChoice ? gettext("Choose") : gettext("Rank %(place)s", { place: ordinal(this.order.tiers.length + 1) });
    next.hidden = isPartial && isComplete && !isChoice;
    const lowest = isChoice ? 0 : this.order.tiers.length;
    const tie = card.querySelector(".when-waiting [data-do=tie]");
    tie.hidden = !lowest;
    tie.textContent = gettext("Tie for %(place)s", { place: ordinal(lowest) });
    for (const button of card.querySelectorAll(".when-placed :is(.up, .down, .tie)")) button.hidden = isChoice;
    const at = this.order.items.findIndex((item) => item !== LINE && item.includes(id));
    const isAlone = place && this.order.items[at].length === 1;
    card.querySelector("[data-do=up]").disabled = isAlone && at === 0;
    card.querySelector("[data-do=down]").disabled = isAlone && at === this.order.items.length - 1;
    card.querySelector(".when-placed [data-do=tie]").disabled = place <= 1;
  }

  #showState() {
    const { order, section } = this;
    section.classList.toggle("is-started", order.items.length > 0);
    section.classList.toggle("is-complete", !order.unplaced.length);
    section.querySelector("#waiting-count").textContent = order.missing ? ngettext("%(count)s to rank", "%(count)s to rank", order.missing) : "";
    section.querySelector("#waiting-title").textContent = order.isComplete && order.unplaced.length ? gettext("Not ranked") : gettext("Responses");
    section.querySelector("#all-placed").hidden = !order.isComplete;
    section.querySelector("#how-to").hidden = order.items.length > 0;
    section.querySelector("#draw-line").hidden = !order.items.length || order.items.includes(LINE);
    for (const button of document.querySelectorAll("[data-do=undo]")) button.disabled = !order.past.length;
    const line = order.items.indexOf(LINE);
    if (line < 0) return;
    section.querySelector("[data-do=line-up]").disabled = line === 0;
    section.querySelector("[data-do=line-down]").disabled = line === order.items.length - 1;
  }
}

function textIn(css, text) {
  const part = document.createElement("span");
  part.className = css;
  part.textContent = text;
  return part;
}
