// Go to any page by typing a part of its name: Ctrl K, ⌘ K, or the button in the header. "?" lists the keys of a page.

import { gettext } from "./shared.js";

const SWITCH = "prefloop.keys-off";

class Palette {
  constructor() {
    this.dialog = document.createElement("dialog");
    this.dialog.className = "palette";
    this.dialog.setAttribute("aria-label", gettext("Go to a page"));
    this.dialog.innerHTML = `
      <input type="text" role="combobox" aria-label="${gettext("Page or project")}" aria-expanded="true" aria-controls="palette-list" autocomplete="off" spellcheck="false" placeholder="${gettext("Page or project")}">
      <ul id="palette-list" role="listbox" aria-label="${gettext("Pages")}"></ul>
      <p class="soft small" role="status"></p>`;
    document.body.append(this.dialog);
    this.input = this.dialog.querySelector("input");
    this.list = this.dialog.querySelector("ul");
    this.status = this.dialog.querySelector("p");
    this.input.addEventListener("input", () => this.#show());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.dialog.addEventListener("click", ({ target }) => target === this.dialog && this.dialog.close());
  }

  async open() {
    if (document.querySelector("dialog[open]")) return;
    this.input.value = "";
    this.dialog.showModal();
    this.input.focus();
    if (!this.entries) await this.#fetch();
    this.#show();
  }

  async #fetch() {
    this.status.textContent = gettext("Loading…");
    const project = location.pathname.match(/^\/projects\/([\w-]+)\//)?.[1] ?? "";
    try {
      const found = await fetch(`/palette/?project=${project}`, { headers: { Accept: "application/json" }, redirect: "manual" });
      this.entries = (await found.json()).entries;
    } catch {
      this.status.textContent = gettext("The list of pages could not be loaded.");
    }
  }

  #show() {
    if (!this.entries) return;
    const words = this.input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = this.entries.filter(({ label, group }) => words.every((word) => `${group} ${label}`.toLowerCase().includes(word))).slice(0, 12);
    this.list.replaceChildren(...found.map((entry, at) => this.#option(entry, at)));
    this.status.textContent = found.length ? "" : gettext("No page matches.");
    this.#choose(0);
  }

  #option({ label, group, url }, at) {
    const option = document.createElement("li");
    option.id = `palette-${at}`;
    option.role = "option";
    option.dataset.url = url;
    option.textContent = label;
    const where = document.createElement("span");
    where.className = "soft small";
    where.textContent = group;
    option.append(" ", where);
    option.onclick = () => location.assign(url);
    return option;
  }

  #choose(at) {
    const options = [...this.list.children];
    this.at = options.length ? (at + options.length) % options.length : 0;
    options.forEach((option, number) => option.setAttribute("aria-selected", number === this.at));
    if (options.length) this.input.setAttribute("aria-activedescendant", options[this.at].id);
    else this.input.removeAttribute("aria-activedescendant");
    options[this.at]?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    if (event.key === "ArrowDown") this.#choose(this.at + 1);
    else if (event.key === "ArrowUp") this.#choose(this.at - 1);
    else if (event.key === "Enter" && this.list.children[this.at]) location.assign(this.list.children[this.at].dataset.url);
    else return;
    event.preventDefault();
  }
}

function keysDialog() {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "page-keys-title");
  dialog.innerHTML = `
    <h2 id="page-keys-title">${gettext("Keyboard shortcuts")}</h2>
    <dl class="key-list">
      <div><dt><kbd>Ctrl</kbd> <kbd>K</kbd>, <kbd>⌘</kbd> <kbd>K</kbd></dt><dd>${gettext("go to a page or project")}</dd></div>
      <div><dt><kbd>?</kbd></dt><dd>${gettext("this list; on a task, the shortcuts of the task")}</dd></div>
      <div><dt><kbd>Tab</kbd></dt><dd>${gettext("the first press on a page offers “Skip to content”")}</dd></div>
      <div><dt><kbd>Esc</kbd></dt><dd>${gettext("close a menu or a dialog")}</dd></div>
    </dl>
    <button class="button" type="button">${gettext("Close")}</button>`;
  dialog.querySelector("button").onclick = () => dialog.close();
  document.body.append(dialog);
  return dialog;
}

/** Listen to the keys that every page has. */
export function listenToPageKeys() {
  const opener = document.querySelector("[data-palette]");
  if (!opener) return; // nobody is signed in
  let palette = null;
  let keys = null;
  const open = () => (palette ??= new Palette()).open();
  opener.onclick = open;
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      open();
    } else if (event.key === "?" && !isTyped(event) && !localStorage.getItem(SWITCH)) {
      if (document.getElementById("keys-help") || document.querySelector("dialog[open]")) return; // a task has its own
      (keys ??= keysDialog()).showModal();
    }
  });
}

function isTyped({ target, ctrlKey, metaKey, altKey }) {
  return ctrlKey || metaKey || altKey || Boolean(target.closest?.("textarea, input, select, [contenteditable]"));
}
