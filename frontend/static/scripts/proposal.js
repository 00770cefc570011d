// Reviewing a proposed task: one key accepts it, two reject it, and its texts can be changed.

import { listen } from "./keys.js";
import { announce, gettext, listed } from "./shared.js";

export function mount(section, hooks) {
  return new Review(section, hooks);
}

class Review {
  constructor(section, { changed, submit }) {
    Object.assign(this, { section, changed, submit });
    this.verdict = section.querySelector("#verdict");
    this.reason = section.querySelector("#reason");
    this.texts = [...section.querySelectorAll("textarea")];
    this.proposed = this.texts.map((text) => text.value);
    this.reasons = section.querySelector("#reasons");
    this.chosen = this.verdict.value; // what the last attempt to submit it said
    section.addEventListener("click", (event) => this.#click(event));
    section.addEventListener("input", () => this.#edited());
    section.addEventListener("keydown", (event) => event.key === "Escape" && this.#leave(event));
    this.keys = listen({ act: (event) => this.#act(event) });
    this.#show();
  }

  get draft() {
    const texts = Object.fromEntries(this.texts.map((text) => [text.name, text.value]));
    return { verdict: this.chosen, reason: this.reason.value, ...(this.chosen === "edit" ? texts : {}) };
  }

  restore({ verdict, reason, ...texts }) {
    this.chosen = verdict ?? "";
    this.reason.value = reason ?? "";
    if (verdict === "edit") for (const text of this.texts) text.value = texts[text.name] ?? text.value;
    this.#show();
    return Boolean(verdict);
  }

  get problem() {
    if (!this.chosen) return gettext("Accept, edit or reject the task");
    if (this.chosen === "reject") return this.reason.value ? "" : gettext("Choose a reason for the rejection");
    if (this.chosen === "accept") return "";
    const empty = this.texts.find((text) => text.name !== "input" && !text.value.trim());
    if (empty) return gettext("%(name)s is empty", { name: this.section.querySelector(`#${empty.name}-title`).textContent });
    return this.texts.every((text, at) => text.value.trim() === this.proposed[at].trim()) ? gettext("Nothing is changed yet") : "";
  }

  stop() {
    this.keys.stop();
  }

  #click(event) {
    const button = event.target.closest("button");
    if (!button) return;
    const { verdict, reason } = button.dataset;
    if (verdict) this.#choose(verdict);
    else if (reason) this.#reject(reason);
    else if (button.dataset.do === "as-it-was") this.#putBack();
  }

  /** A key that is held down must not judge the tasks that come after this one. */
  #act({ key, repeat }) {
    if (repeat) return true;
    const verdict = { a: "accept", e: "edit", r: "reject" }[key];
    if (verdict) this.#choose(verdict);
    else if (key === "Escape" && this.chosen) this.#set("");
    else if (this.chosen === "reject" && /^[1-9]$/.test(key)) this.#reject(this.reasons.children[key - 1]?.dataset.reason);
    else return false;
    return true;
  }

  #choose(verdict) {
    this.#set(verdict);
    if (verdict === "accept") this.submit();
    else if (verdict === "edit") this.#begin();
    else announce(gettext("Reason for the rejection: %(reasons)s", { reasons: listed([...this.reasons.children].map((button) => button.textContent.trim())) }));
  }

  #reject(reason) {
    if (!reason) return announce(gettext("There is no such reason."));
    this.#set("reject", reason);
    return this.submit();
  }

  #begin() {
    const [first] = this.texts;
    first.focus();
    first.setSelectionRange(first.value.length, first.value.length);
    announce(gettext("The texts can be edited now."));
  }

  #set(verdict, reason = "") {
    this.chosen = verdict;
    this.reason.value = reason;
    this.#show();
    this.changed();
  }

  #edited() {
    this.#show();
    this.changed();
  }

  #putBack() {
    this.texts.forEach((text, at) => { text.value = this.proposed[at]; });
    this.#set("");
    announce(gettext("Reverted to the original."));
  }

  /** Out of the text box, so that single keys work again; what was written stays. */
  #leave(event) {
    if (!event.target.matches("textarea")) return;
    event.stopPropagation();
    this.section.querySelector("[data-verdict=edit]").focus();
  }

  #show() {
    const isEdit = this.chosen === "edit";
    this.verdict.value = this.chosen;
    for (const button of this.section.querySelectorAll("[data-verdict]")) button.setAttribute("aria-pressed", button.dataset.verdict === this.chosen);
    for (const button of this.reasons.children) button.setAttribute("aria-pressed", button.dataset.reason === this.reason.value);
    this.reasons.hidden = this.chosen !== "reject";
    this.section.querySelector("[data-verdict=reject]").setAttribute("aria-expanded", this.chosen === "reject");
    for (const edit of this.section.querySelectorAll(".part-edit")) edit.hidden = !isEdit;
    for (const text of this.section.querySelectorAll(".part-text")) text.hidden = isEdit;
    this.section.querySelector("[data-do=as-it-was]").hidden = !isEdit;
    if (isEdit) for (const text of this.texts) text.rows = Math.min(24, Math.max(2, text.value.split("\n").length + 1));
  }
}
