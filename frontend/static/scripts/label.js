// A text and its label: one key for each, and the same key again submits it.

import { listen } from "./keys.js";
import { announce, gettext, NOTHING_TO_UNDO } from "./shared.js";

export function mount(section, hooks) {
  return new Labelling(section, hooks);
}

class Labelling {
  constructor(section, { changed }) {
    Object.assign(this, { section, changed });
    this.labels = [...section.querySelectorAll("input[name=label]")];
    this.comment = section.querySelector("#comment");
    this.comment.addEventListener("input", changed);
    section.addEventListener("change", ({ target }) => target.name === "label" && changed());
    this.keys = listen({ act: (event) => this.#act(event) });
    // With the focus on a label its keys belong to it, not to the list of radio buttons.
    this.onKey = (event) => event.target.name === "label" && this.#act(event) && event.preventDefault();
    section.addEventListener("keydown", this.onKey);
  }

  get draft() {
    return { label: this.#chosen?.value ?? null, comment: this.comment.value };
  }

  restore({ label, comment }) {
    for (const input of this.labels) input.checked = input.value === label;
    if (typeof comment === "string") this.comment.value = comment;
    return Boolean(label || comment);
  }

  get problem() {
    return this.#chosen ? "" : gettext("Choose a label");
  }

  stop() {
    this.keys.stop();
    this.section.removeEventListener("keydown", this.onKey);
  }

  get #chosen() {
    return this.labels.find(({ checked }) => checked);
  }

  #act({ key, target }) {
    const input = /^[1-9]$/.test(key) && this.labels[key - 1];
    if (input) this.#press(input);
    else if (key === "Enter" && !target.closest?.("button, a, summary")) this.#submit();
    else if (key === "u") this.#undo();
    else return false;
    return true;
  }

  #press(input) {
    if (input.checked) return this.#submit();
    input.checked = true;
    announce(input.value);
    return this.changed();
  }

  #undo() {
    if (!this.#chosen) return announce(NOTHING_TO_UNDO);
    this.#chosen.checked = false;
    announce(gettext("No label is selected."));
    return this.changed();
  }

  #submit() {
    const button = document.getElementById("submit");
    if (this.problem) announce(this.problem);
    else if (!button.disabled) button.click();
  }
}
