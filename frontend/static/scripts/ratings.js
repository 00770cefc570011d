// Ratings of every answer by criterion, from 1 to 5. By mouse and finger, by arrow keys, or by typing the number.

export class Ratings {
  constructor(section, { changed }) {
    this.section = section;
    this.field = section.querySelector("#ratings");
    this.isRequired = this.field?.dataset.required !== undefined;
    section.addEventListener("change", ({ target }) => {
      if (!target.closest(".rating")) return;
      this.#write();
      changed();
    });
    section.addEventListener("keydown", (event) => this.#key(event));
  }

  get all() {
    const all = {};
    for (const input of this.section.querySelectorAll(".rating input:checked")) {
      const id = input.closest(".answer").dataset.id;
      all[id] = { ...all[id], [input.closest(".rating").dataset.criterion]: Number(input.value) };
    }
    return all;
  }

  get missing() {
    if (!this.isRequired) return 0;
    return [...this.section.querySelectorAll(".rating")].filter((rating) => !rating.querySelector(":checked")).length;
  }

  restore(ratings) {
    for (const rating of this.section.querySelectorAll(".rating")) {
      const value = ratings?.[rating.closest(".answer").dataset.id]?.[rating.dataset.criterion];
      for (const input of rating.querySelectorAll("input")) input.checked = Number(input.value) === value;
    }
    this.#write();
  }

  #write() {
    if (this.field) this.field.value = JSON.stringify(this.all);
  }

  /** With a rating in focus the keys 1 to 5 rate; the next criterion takes the focus. */
  #key(event) {
    const rating = event.target.closest?.(".rating");
    if (!rating || event.ctrlKey || event.metaKey || event.altKey) return;
    const input = /^[1-5]$/.test(event.key) && rating.querySelector(`input[value="${event.key}"]`);
    if (!input) return;
    event.preventDefault();
    input.checked = true;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    const next = rating.nextElementSibling ?? rating;
    (next.querySelector(":checked") ?? next.querySelector("input")).focus();
  }
}
