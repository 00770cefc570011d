// Earlier versions of a text: whenever it has changed by more than a little, the earlier text is kept.

import { ngettext } from "./shared.js";

const KEEP_FROM = 80; // characters that changed
const MOST = 12;
const MOST_CHARACTERS = 60_000; // a draft has room for this beside its text

export class Versions {
  constructor(section, { onRestore }) {
    this.fold = section.querySelector("#versions");
    this.list = this.fold.querySelector("ol");
    this.part = section.querySelector("#version-part");
    this.all = [];
    this.before = { text: "", derived_from: null };
    this.list.addEventListener("click", ({ target }) => {
      if (target.dataset.do === "restore") onRestore(this.all[Number(target.closest("li").dataset.index)]);
    });
  }

  restore(versions, now) {
    const isVersion = (version) => typeof version?.text === "string" && Number.isFinite(version.at);
    this.all = Array.isArray(versions) ? versions.filter(isVersion) : [];
    this.before = now;
    this.#show();
  }

  /** Typing keeps a version every KEEP_FROM characters; a large cut or paste keeps what it took away. */
  changed(now) {
    const last = this.all.at(-1)?.text ?? "";
    const { before } = this;
    this.before = now;
    if (!before.text.trim() || before.text === last) return;
    if (Math.max(changedCharacters(last, before.text), changedCharacters(before.text, now.text)) < KEEP_FROM) return;
    this.all = [...this.all.filter(({ text }) => text !== before.text), { ...before, at: Date.now() }].slice(-MOST);
    while (this.all.reduce((sum, { text }) => sum + text.length, 0) > MOST_CHARACTERS) this.all.shift();
    this.#show();
  }

  #show() {
    this.fold.hidden = !this.all.length;
    this.fold.querySelector("#version-count").textContent = this.all.length;
    const rows = this.all.map(({ text, at }, index) => {
      const row = this.part.content.firstElementChild.cloneNode(true);
      row.dataset.index = index;
      row.querySelector(".version-when").textContent = new Date(at).toLocaleTimeString(document.documentElement.lang === "en" ? [] : document.documentElement.lang, { timeStyle: "short", timeZone: document.documentElement.dataset.timeZone });
      row.querySelector(".version-start").textContent = ngettext("%(count)s word: %(start)s", "%(count)s words: %(start)s", text.trim().split(/\s+/).length, { start: text.trim().slice(0, 80) });
      return row;
    });
    this.list.replaceChildren(...rows.reverse());
  }
}

/** What lies between the common beginning and the common end, on the longer side. */
function changedCharacters(one, other) {
  const least = Math.min(one.length, other.length);
  let start = 0;
  while (start < least && one[start] === other[start]) start += 1;
  let end = 0;
  while (end < least - start && one.at(-1 - end) === other.at(-1 - end)) end += 1;
  return Math.max(one.length, other.length) - start - end;
}
