// Two answers, and by how much one is better: five choices, from "A is much better" to "B is much better".

import { listen } from "./keys.js";
import { Ratings } from "./ratings.js";
import { Reading } from "./reading.js";
import { announce, gettext, NOTHING_TO_UNDO } from "./shared.js";

export function mount(section, hooks) {
  return new Graded(section, hooks);
}

class Graded {
  constructor(section, { changed }) {
    Object.assign(this, { section, changed });
    this.cards = new Map([...section.querySelectorAll(".answer")].map((card) => [Number(card.dataset.id), card]));
    this.ids = [...this.cards.keys()];
    this.grades = [...section.querySelectorAll("input[name=grade]")];
    this.tiers = section.querySelector("#tiers");
    this.strength = section.querySelector("#strength");
    this.rationale = section.querySelector("#rationale");
    this.past = [];
    this.rationale?.addEventListener("input", changed);
    this.ratings = new Ratings(section, { changed });
    this.reading = new Reading(section, { cards: this.cards, model: () => this.ids[0], onLayout: () => {} });
    section.addEventListener("change", ({ target }) => target.name === "grade" && this.choose(target.value));
    section.querySelector("[data-do=undo]").onclick = () => this.undo();
    this.keys = listen({ act: (event) => this.#act(event) });
    this.#show(null);
  }

  get draft() {
    return { grade: this.chosen, rationale: this.rationale?.value ?? "", ratings: this.ratings.all };
  }

  restore({ grade, rationale, ratings }) {
    this.#show(grade ?? null);
    if (this.rationale && typeof rationale === "string") this.rationale.value = rationale;
    this.ratings.restore(ratings);
    return Boolean(grade || rationale);
  }

  get problem() {
    if (!this.chosen) return gettext("Choose the better response, or equally good");
    if (this.ratings.missing) return gettext("Ratings still missing: %(count)s", { count: this.ratings.missing });
    return this.rationale?.required && !this.rationale.value.trim() ? gettext("Rationale required") : "";
  }

  stop() {
    this.keys.stop();
    this.reading.stop();
  }

  #act({ key }) {
    if (/^[1-5]$/.test(key)) this.choose(key);
    else if (key === "u") this.undo();
    else if (key === "c") this.reading.toggleColumns();
    else if (key === "d") this.reading.toggleDim();
    else if (key === "m") this.reading.folding.toggleAll();
    else return false;
    return true;
  }

  choose(grade) {
    if (grade === this.chosen) return;
    this.past.push(this.chosen);
    this.#show(grade);
    announce(this.grades.find((input) => input.value === grade).closest("label").querySelector(".words").textContent);
    this.changed();
  }

  undo() {
    if (!this.past.length) return announce(NOTHING_TO_UNDO);
    this.#show(this.past.pop());
    announce(gettext("Undone."));
    return this.changed();
  }

  #show(grade) {
    const input = this.grades.find(({ value }) => value === String(grade));
    this.chosen = input?.value ?? null;
    for (const other of this.grades) other.checked = other === input;
    this.section.querySelector("[data-do=undo]").disabled = !this.past.length;
    this.strength.value = input?.dataset.strength ?? "";
    if (!input) this.tiers.value = "";
    else if (input.dataset.first === "") this.tiers.value = JSON.stringify([this.ids]);
    else this.tiers.value = JSON.stringify([[this.ids[input.dataset.first]], [this.ids[1 - input.dataset.first]]]);
  }
}
