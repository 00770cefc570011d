// Writing a reference answer: from nothing, or from one of the candidates.

/* global htmx */

import { Folding } from "./folding.js";
import { Preview } from "./preview.js";
import { announce, gettext, ngettext } from "./shared.js";
import { Versions } from "./versions.js";

export function mount(section, hooks) {
  return new Reference(section, hooks);
}

class Reference {
  constructor(section, { changed, activeMs }) {
    Object.assign(this, { section, changed, activeMs });
    this.text = section.querySelector("#text");
    this.origin = section.querySelector("#derived_from");
    this.count = section.querySelector("#text-count");
    this.source = section.querySelector("#text-source");
    this.most = Number(this.text.maxLength);
    this.folding = new Folding(section);
    this.preview = new Preview(section, { read: () => this.text.value });
    this.versions = new Versions(section, {
      onRestore: ({ text, derived_from }) => {
        this.#set(text, derived_from ?? "");
        announce(gettext("The earlier version is restored; the text before it is kept among the versions."));
      },
    });
    this.text.addEventListener("input", () => this.#edited());
    section.addEventListener("click", (event) => this.#click(event));
    this.#show();
  }

  get draft() {
    return { text: this.text.value, derived_from: Number(this.origin.value) || null, before: this.before ?? null, versions: this.versions.all };
  }

  restore({ text, derived_from, before, versions }) {
    if (typeof text === "string") this.text.value = text;
    if (derived_from) this.origin.value = derived_from;
    this.before = before ?? null;
    this.versions.restore(versions, this.#now);
    this.#show();
    return Boolean(text);
  }

  get problem() {
    const text = this.text.value.trim();
    if (!text) return gettext("Write a response");
    if (this.#candidate && text === this.#candidate.text.trim()) return gettext("Edit the response before submitting");
    return "";
  }

  get #candidate() {
    const card = this.section.querySelector(`.answer[data-id="${this.origin.value || 0}"]`);
    return card && { number: card.dataset.number, text: JSON.parse(card.querySelector("script").textContent) };
  }

  get #now() {
    return { text: this.text.value, derived_from: Number(this.origin.value) || null };
  }

  stop() {
    this.preview.stop();
    this.folding.stop();
  }

  #edited() {
    this.versions.changed(this.#now);
    this.#show();
    this.changed();
  }

  #click(event) {
    const button = event.target.closest("button[data-do]");
    if (button?.dataset.do === "start-from") this.#startFrom(button.closest(".answer"));
    if (button?.dataset.do === "back") this.#back();
    if (button?.dataset.do === "from-nothing") this.#replace("", "");
    if (button?.dataset.do === "reveal") this.#reveal(button);
  }

  /** The server keeps this text as the first version, and sends the page again with the answers on it. */
  #reveal(button) {
    const draft = JSON.stringify({ ...this.draft, edited_at: Date.now() });
    const values = { draft, active_ms: this.activeMs() };
    htmx.ajax("POST", this.section.dataset.firstVersionUrl, { source: button, target: "#task", swap: "outerHTML", values });
  }

  #startFrom(card) {
    const text = JSON.parse(card.querySelector("script").textContent);
    this.#replace(text, card.dataset.id);
    announce(gettext("Response %(number)s is in the text box. Your earlier text can be restored.", { number: card.dataset.number }));
  }

  /** What stood there is never lost: one step back is always offered. */
  #replace(text, origin) {
    if (this.text.value.trim()) this.before = { text: this.text.value, derived_from: this.origin.value };
    this.#set(text, origin);
  }

  #back() {
    const { text, derived_from } = this.before;
    this.before = { text: this.text.value, derived_from: this.origin.value };
    this.#set(text, derived_from ?? "");
    announce(gettext("Your earlier text is restored."));
  }

  #set(text, origin) {
    this.text.value = text;
    this.origin.value = origin;
    this.#edited();
    this.text.focus();
    this.text.setSelectionRange(text.length, text.length);
  }

  #show() {
    const words = this.text.value.trim().split(/\s+/).filter(Boolean).length;
    const left = this.most - this.text.value.length;
    const { length } = this.text.value.trim();
    this.count.textContent = [
      ngettext("%(count)s word, %(characters)s characters", "%(count)s words, %(characters)s characters", words, { characters: length }),
      ...(left < 1000 ? [ngettext("%(count)s left", "%(count)s left", left)] : []),
    ].join(", ");
    const reveal = this.section.querySelector("[data-do=reveal]");
    if (reveal) reveal.disabled = !length;
    this.preview.refresh();
    this.source.textContent = this.#candidate ? gettext("Started from response %(number)s", { number: this.#candidate.number }) : "";
    this.section.querySelector("[data-do=back]").hidden = !this.before;
    this.section.querySelector("[data-do=from-nothing]").hidden = !this.#candidate;
    this.text.rows = Math.min(24, Math.max(10, this.text.value.split("\n").length + 2));
  }
}
