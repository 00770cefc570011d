// Long responses are collapsed: a button, or a key for all of them, shows them in full.

import { announce, gettext } from "./shared.js";

export class Folding {
  constructor(root) {
    this.texts = [...root.querySelectorAll(".answer-text")];
    this.sizes = new ResizeObserver(() => this.#refresh());
    for (const text of this.texts) {
      text.after(this.#button(text));
      this.sizes.observe(text);
      // What is looked for or tabbed to inside the collapsed part shows it.
      text.addEventListener("scroll", () => this.#reveal(text));
      text.addEventListener("focusin", ({ target }) => isBelowTheEdge(text, target) && this.#show(text, true));
    }
    this.#refresh();
  }

  #button(text) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "more button compact";
    button.hidden = true;
    button.onclick = () => {
      const isOpen = !text.classList.contains("is-open");
      this.#show(text, isOpen);
      if (!isOpen) text.closest(".answer").scrollIntoView({ block: "nearest" });
    };
    return button;
  }

  #reveal(text) {
    if (!text.scrollTop || text.classList.contains("is-open")) return;
    text.scrollTop = 0;
    this.#show(text, true);
  }

  #show(text, isOpen) {
    text.classList.toggle("is-open", isOpen);
    this.#refresh();
  }

  #refresh() {
    for (const text of this.texts) {
      const isOpen = text.classList.contains("is-open");
      const isLong = isOpen || text.scrollHeight > text.clientHeight + 8;
      const button = text.nextElementSibling;
      button.hidden = !isLong;
      button.textContent = isOpen ? gettext("Show less") : gettext("Show more");
      button.setAttribute("aria-expanded", isOpen);
      text.classList.toggle("is-cut", isLong && !isOpen);
    }
  }

  /** Show every long response in full; where all are, collapse them. */
  toggleAll() {
    const long = this.texts.filter((text) => !text.nextElementSibling.hidden);
    if (!long.length) return announce(gettext("No response is long enough to be collapsed."));
    const isOpen = long.some((text) => !text.classList.contains("is-open"));
    for (const text of long) text.classList.toggle("is-open", isOpen);
    this.#refresh();
    return announce(isOpen ? gettext("All responses are expanded.") : gettext("Long responses are collapsed."));
  }

  stop() {
    this.sizes.disconnect();
  }
}

function isBelowTheEdge(text, target) {
  return target !== text && target.getBoundingClientRect().bottom > text.getBoundingClientRect().bottom;
}
