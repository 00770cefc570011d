// One response, good or bad: one key for each, and the same key again submits it. A reason is optional.

import { Folding } from "./folding.js";
import { listen } from "./keys.js";
import { announce, gettext, NOTHING_TO_UNDO } from "./shared.js";

const VERDICTS = { g: "true", 1: "true", b: "false", 2: "false" };
const FIRST_REASON_KEY = 3;

export function mount(section, hooks) {
  return new Unary(section, hooks);
}

class Unary {
  constructor(section, { changed }) {
    Object.assign(this, { section, changed });
    this.verdicts = [...section.querySelectorAll("input[name=good]")];
    [this.noReason, ...this.reasons] = section.querySelectorAll("input[name=reason]");
    this.comment = section.querySelector("#comment");
    this.comment.addEventListener("input", changed);
    this.folding = new Folding(section);
    section.addEventListener("change", ({ target }) => target.type === "radio" && this.#picked(target));
    this.keys = listen({ act: (event) => this.#act(event) });
    // With the focus on a choice its keys belong to it, not to the list of radio buttons.
    this.onKey = (event) => event.target.type === "radio" && !hasModifier(event) && this.#act(event) && event.preventDefault();
    section.addEventListener("keydown", this.onKey);
  }

  get draft() {
    return { good: this.#chosen?.value ?? null, reason: this.#reason.value, comment: this.comment.value };
  }

  restore({ good, reason, comment }) {
    for (const input of this.verdicts) input.checked = input.value === good;
    (this.reasons.find(({ value }) => value === reason) ?? this.noReason).checked = true;
    if (typeof comment === "string") this.comment.value = comment;
    return Boolean(good || comment);
  }

  get problem() {
    return this.#chosen ? "" : gettext("Choose good or bad");
  }

  stop() {
    this.keys.stop();
    this.folding.stop();
    this.section.removeEventListener("keydown", this.onKey);
  }

  get #chosen() {
    return this.verdicts.find(({ checked }) => checked);
  }

  get #reason() {
    return this.reasons.find(({ checked }) => checked) ?? this.noReason;
  }

  #act({ key, repeat, target }) {
    const reason = /^[1-9]$/.test(key) && this.reasons[key - FIRST_REASON_KEY];
    // A key that is held down must not judge the responses that come after this one.
    if (repeat && (key in VERDICTS || reason || key === "Enter")) return true;
    if (key in VERDICTS) this.#press(VERDICTS[key], this.noReason);
    else if (reason) this.#press("false", reason);
    else if (key === "Enter" && !target.closest?.("button, a, summary")) this.#submit();
    else if (key === "u") this.#undo();
    else if (key === "m") this.folding.toggleAll();
    else return false;
    return true;
  }

  /** A verdict that is chosen already is submitted, with the reason that may stand beside it. */
  #press(verdict, reason) {
    const isSame = this.#chosen?.value === verdict && (reason === this.noReason || reason === this.#reason);
    if (isSame) return this.#submit();
    this.verdicts.find(({ value }) => value === verdict).checked = true;
    reason.checked = true;
    announce(wordsOf(reason === this.noReason ? this.#chosen : reason));
    return this.#changed();
  }

  #undo() {
    if (!this.#chosen) return announce(NOTHING_TO_UNDO);
    this.#chosen.checked = false;
    this.noReason.checked = true;
    announce(gettext("Nothing is selected."));
    return this.changed();
  }

  /** With a pointer; the reasons may lie below the edge of a phone. */
  #picked(input) {
    if (this.reasons.includes(input)) this.verdicts.find(({ value }) => value === "false").checked = true;
    this.#changed();
    if (this.#chosen?.value === "false") this.noReason.closest("fieldset").scrollIntoView({ block: "nearest" });
  }

  #changed() {
    if (this.#chosen?.value === "true") this.noReason.checked = true;
    this.changed();
  }

  #submit() {
    const button = document.getElementById("submit");
    if (this.problem) announce(this.problem);
    else if (!button.disabled) button.click();
  }
}

function wordsOf(input) {
  return input.closest("label").querySelector(".words").textContent;
}

function hasModifier({ ctrlKey, metaKey, altKey }) {
  return ctrlKey || metaKey || altKey;
}
