// One task on the page: its kind's own module, draft, lease, time at work, and submission.

import { Activity } from "./activity.js";
import { markCode } from "./code.js";
import { Draft, STATES } from "./draft.js";
import { Lease } from "./lease.js";
import { announce, gettext } from "./shared.js";

const SIGN_OF_LIFE_MS = 60_000;
const RESTORED = gettext("Your unfinished work on this task is restored.");

class Work {
  constructor(root) {
    this.root = root;
    this.form = root.querySelector("#answer");
    this.button = root.querySelector("#submit");
    this.hint = root.querySelector("#submit-hint");
    this.saveState = root.querySelector("#save-state");
    this.activity = new Activity(Number(root.dataset.activeMs));
    this.draft = new Draft({
      url: root.dataset.draftUrl,
      key: root.dataset.key,
      read: () => this.kind.draft,
      activeMs: () => this.activity.ms,
      onState: (state) => this.#showState(state),
      onReply: ({ expires_at, saved_at }) => this.lease.renew(expires_at, saved_at),
    });
    this.lease = new Lease(root.querySelector("#lease"), {
      onLow: () => announce(gettext("Less than two minutes left. Any change renews your reservation.")),
      onOver: () => announce(gettext("Your reservation has expired. You can still submit.")),
    });
    this.lease.renew(root.dataset.expiresAt, 1000 * root.dataset.now);
    this.timer = setInterval(() => this.#signOfLife(), 5000);
    this.clock = setInterval(() => this.#showSaved(), 1000);
    this.onKey = (event) => this.#key(event);
    document.addEventListener("keydown", this.onKey);
  }

  async start() {
    const section = this.root.querySelector("[data-module]");
    const [{ mount }] = await Promise.all([import(section.dataset.module), markCode(this.root).catch(() => {})]);
    if (this.isStopped) return;
    this.kind = mount(section, {
      changed: () => this.#changed(),
      submit: () => this.#submit(),
      activeMs: () => this.activity.ms,
    });
    const draft = this.draft.newest(JSON.parse(document.getElementById("draft").textContent));
    if (this.kind.restore(draft)) announce(RESTORED);
    this.#showProblem();
    const prompt = this.root.querySelector("#prompt");
    if (prompt) this.#offerWholePrompt(prompt);
    this.root.dataset.ready = "";
  }

  /** A long prompt scrolls inside its frame, in view; or stands there whole and scrolls away with the page. */
  #offerWholePrompt(prompt) {
    const button = this.root.querySelector("#whole-prompt");
    const foot = button.parentElement;
    const look = () => {
      foot.hidden = !prompt.classList.contains("is-whole") && prompt.scrollHeight <= prompt.clientHeight + 4;
    };
    look();
    prompt.addEventListener("toggle", look, true); // earlier messages, opened or closed
    button.onclick = () => {
      const isWhole = prompt.classList.toggle("is-whole");
      button.setAttribute("aria-expanded", isWhole);
      button.textContent = isWhole ? gettext("Keep the prompt in view") : gettext("Show the whole prompt");
    };
  }

  #changed() {
    this.draft.changed();
    this.#showProblem();
  }

  /** What keeps the work from being submitted, in words, beside a button that says so. */
  #showProblem() {
    const problem = this.kind.problem;
    this.button.disabled = this.isSending || Boolean(problem);
    this.hint.textContent = problem;
  }

  #showState(state) {
    this.saved = state === "saved" ? performance.now() : null;
    this.saveState.textContent = STATES[state];
    this.saveState.dataset.state = state;
    if (state === "signedOut") this.explain("signed-out");
    else if (state === "finished") this.explain("finished-elsewhere");
    else if (state === "saved" && ["signed-out", "offline"].includes(this.explained)) this.explain("back");
  }

  #showSaved() {
    if (!this.saved) return;
    const seconds = Math.round((performance.now() - this.saved) / 1000);
    this.saveState.textContent = seconds < 60 ? gettext("Saved %(number)s s ago", { number: seconds }) : gettext("Saved %(number)s min ago", { number: Math.floor(seconds / 60) });
  }

  /** Show one of the notes that the page holds ready; null hides them. */
  explain(name) {
    this.explained = name;
    for (const note of this.root.querySelectorAll("[data-problem]")) note.hidden = note.dataset.problem !== name;
  }

  #signOfLife() {
    const isDue = performance.now() - this.draft.sentAt > SIGN_OF_LIFE_MS;
    if (isDue && this.kind && this.activity.isInUse) this.draft.send();
  }

  #key(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    if (this.kind) this.#submit();
  }

  #submit() {
    if (this.kind.problem) announce(this.kind.problem);
    else if (!this.button.disabled) this.form.requestSubmit(this.button);
  }

  // --- submitting, or skipping ---

  sending(isSending) {
    this.isSending = isSending;
    if (isSending) this.draft.pause();
    else this.draft.resume();
    for (const button of this.root.querySelectorAll("button[type=submit]")) button.disabled = isSending;
    if (isSending) return;
    this.#showProblem();
    if (document.activeElement === document.body) this.button.focus({ preventScroll: true });
  }

  /** Nothing came of it: keep everything here, and try to reach the server from time to time. */
  notSent(problem, why = "") {
    this.draft.changed();
    this.root.querySelector("[data-why]").textContent = why;
    this.explain(problem);
  }

  stop() {
    this.isStopped = true;
    this.draft.stop();
    this.lease.stop();
    this.activity.stop();
    this.kind?.stop?.();
    clearInterval(this.timer);
    clearInterval(this.clock);
    document.removeEventListener("keydown", this.onKey);
  }
}

let work = null;

function open() {
  work?.stop();
  const root = document.querySelector("#task[data-draft-url]");
  work = root && new Work(root);
  work?.start();
}

// A refusal for a person is plain text: a full disk, a busy server, a text that is too long.
const reasonIn = (xhr) => (xhr.getResponseHeader("Content-Type")?.startsWith("text/plain") ? xhr.responseText : "");

// A flag goes beside the work and leaves it as it is.
const isOurs = ({ detail }) => work?.root.contains(detail.elt) && !detail.elt.closest(".flag-form");

document.addEventListener("htmx:configRequest", (event) => {
  if (isOurs(event)) event.detail.parameters.active_ms = work.activity.ms;
});

document.addEventListener("htmx:beforeRequest", (event) => {
  if (!isOurs(event)) return;
  work.explain(null);
  work.sending(true);
});

// A session that is over answers with the sign-in page. It must not take the place of the annotator's work.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, requestConfig, target } = event.detail;
  if (target.id !== "task" || requestConfig.verb !== "post" || !work) return;
  const asked = new URL(requestConfig.path, location).pathname;
  if (xhr.status < 400 && new URL(xhr.responseURL).pathname !== asked) {
    event.detail.shouldSwap = false;
    work.isSignedOut = true;
  } else if (xhr.status < 400 && !requestConfig.elt.closest(".undo")) {
    work.draft.forget(); // an undo leaves this task unfinished
  }
});

document.addEventListener("htmx:afterRequest", (event) => {
  if (!isOurs(event)) return;
  const { xhr } = event.detail;
  const isSignedOut = work.isSignedOut || [401, 403].includes(xhr.status);
  work.isSignedOut = false;
  work.sending(false);
  if (!xhr.status) work.notSent("offline");
  else if (isSignedOut) work.notSent("signed-out");
  else if (xhr.status >= 400) work.notSent("server", reasonIn(xhr));
});

document.addEventListener("htmx:afterRequest", ({ detail }) => {
  const form = detail.elt.closest(".flag-form");
  if (form && ![200, 422].includes(detail.xhr.status)) {
    form.querySelector("[role=status]").textContent = gettext("This could not be sent. Try again in a moment.");
  }
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "task") return;
  open();
  const problem = document.querySelector("#task .note.error[tabindex]");
  const place = problem ?? document.querySelector("#task h1");
  if (!problem) scrollTo({ top: 0, behavior: "instant" });
  place?.focus({ preventScroll: !problem });
});

// What sticks to the edges must not cover what has the focus.
const edges = new ResizeObserver(() => {
  const height = (selector) => {
    const box = document.querySelector(selector);
    return box && getComputedStyle(box).position === "sticky" ? box.offsetHeight : 0;
  };
  document.documentElement.style.setProperty("--stuck-top", `${height("#prompt")}px`);
  document.documentElement.style.setProperty("--stuck-bottom", `${height("#actions")}px`);
});
edges.observe(document.querySelector("main"));

open();
