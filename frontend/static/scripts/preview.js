// What the written text will look like. The server renders it, as it renders every answer; only while the preview is open.

import { csrfToken, gettext } from "./shared.js";

const WAIT_MS = 400;

export class Preview {
  constructor(section, { read }) {
    this.url = section.dataset.previewUrl;
    this.read = read;
    this.fold = section.querySelector("#preview-fold");
    this.place = section.querySelector("#preview");
    this.fold.addEventListener("toggle", () => this.refresh());
  }

  refresh() {
    if (!this.fold.open || this.isAsking || this.read() === this.shown) return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#ask(), this.shown === undefined ? 0 : WAIT_MS);
  }

  /** One question at a time; what was typed meanwhile is asked about afterwards. */
  async #ask() {
    this.isAsking = true;
    const text = this.read();
    const isShown = await this.#show(text);
    this.isAsking = false;
    if (isShown) this.refresh();
  }

  async #show(text) {
    const body = new URLSearchParams({ text });
    try {
      const answer = await fetch(this.url, { method: "POST", body, headers: { "X-CSRFToken": csrfToken() }, redirect: "manual" });
      if (!answer.ok) throw new Error(answer.status);
      this.place.innerHTML = await answer.text(); // sanitised by the server
      this.shown = text;
      return true;
    } catch {
      this.place.textContent = gettext("No preview: the server cannot be reached. Your text is kept.");
      return false;
    }
  }

  stop() {
    clearTimeout(this.timer);
  }
}
