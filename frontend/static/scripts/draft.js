// Unfinished work: kept in this browser at every change, until the server has it half a second later.

import { csrfToken, gettext } from "./shared.js";

const WAIT_MS = 500;
const RETRY_MS = [2000, 5000, 10_000, 30_000];
const KEEP_DAYS = 30;
const PREFIX = "prefloop.draft.";

export const STATES = {
  saved: gettext("Saved"),
  saving: gettext("Saving…"),
  local: gettext("Not saved – kept in this browser"),
  signedOut: gettext("Signed out – kept in this browser"),
  finished: gettext("Finished elsewhere"),
};

export class Draft {
  /** `read` gives the work as it is; `onState` hears a key of STATES; `onReply` hears what the server said. */
  constructor({ url, key, read, activeMs, onState, onReply }) {
    Object.assign(this, { url, key: PREFIX + key, read, activeMs, onState, onReply });
    this.isPaused = false;
    this.failures = this.revision = 0;
    this.sentAt = performance.now();
    this.retry = () => this.hasUnsent && this.send();
    this.flush = () => document.hidden && this.hasUnsent && this.send();
    addEventListener("online", this.retry);
    document.addEventListener("visibilitychange", this.flush);
    addEventListener("focus", this.retry);
    prune();
  }

  get #now() {
    return { ...this.read(), edited_at: this.editedAt };
  }

  /** The newer of what this browser kept unsent and what the server has. */
  newest(fromServer) {
    const local = readLocal(this.key);
    const isLocal = local?.unsent && local.draft.edited_at > (fromServer.edited_at ?? 0);
    const newest = isLocal ? local.draft : fromServer;
    this.editedAt = newest.edited_at;
    if (isLocal) {
      this.hasUnsent = true;
      this.#later(0);
    }
    return newest;
  }

  changed() {
    this.hasUnsent = true;
    this.revision += 1;
    this.editedAt = Date.now();
    this.#keep();
    this.onState("saving");
    this.#later(WAIT_MS);
  }

  /** Also without a change: a sign of life renews the lease. */
  async send() {
    clearTimeout(this.timer);
    if (this.isPaused) return;
    if (this.isSending) {
      this.again = true;
      return;
    }
    this.isSending = true;
    const sent = this.revision;
    const state = await this.#post();
    this.isSending = false;
    this.sentAt = performance.now();
    if (this.isPaused) return;
    if (state === "saved" && sent === this.revision) {
      this.forget();
    }
    this.failures = state === "saved" ? 0 : this.failures + 1;
    const isBehind = this.hasUnsent || this.again;
    this.again = false;
    if (state === "finished") this.pause();
    this.onState(state === "saved" && isBehind ? "saving" : state);
    if (state === "saved" && isBehind) this.#later(WAIT_MS);
    // Without a network or a session there is nothing to lose by trying again now and then.
    else if (state === "local" || state === "signedOut") this.#later(RETRY_MS[Math.min(this.failures, RETRY_MS.length) - 1]);
  }

  async #post() {
    const body = new URLSearchParams({ draft: JSON.stringify(this.#now), active_ms: this.activeMs() });
    const headers = { "X-CSRFToken": csrfToken() };
    const keepalive = body.toString().length < 60_000;
    this.request = new AbortController();
    try {
      const response = await fetch(this.url, { method: "POST", body, headers, redirect: "manual", keepalive, signal: this.request.signal });
      if (response.type === "opaqueredirect" || [401, 403].includes(response.status)) return "signedOut";
      if (response.status === 409) return "finished";
      if (!response.ok) return "local";
      this.onReply(await response.json());
      return "saved";
    } catch {
      return "local";
    }
  }

  /** While a submit is under way nothing else is sent, and what is on its way is not waited for: it could come second. */
  pause() {
    this.isPaused = true;
    clearTimeout(this.timer);
    this.request?.abort();
  }

  resume() {
    this.isPaused = false;
    if (this.hasUnsent) this.#later(WAIT_MS);
  }

  /** The server has it: nothing is kept for the next person at this machine. */
  forget() {
    this.hasUnsent = false;
    localStorage.removeItem(this.key);
  }

  #keep() {
    try {
      localStorage.setItem(this.key, JSON.stringify({ draft: this.#now, unsent: true, kept_at: Date.now() }));
    } catch {
      // A full or forbidden storage only takes the second copy; the server still gets the first.
    }
  }

  #later(ms) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.send(), ms);
  }

  stop() {
    this.pause();
    removeEventListener("online", this.retry);
    removeEventListener("focus", this.retry);
    document.removeEventListener("visibilitychange", this.flush);
  }
}

function readLocal(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

function prune() {
  const oldest = Date.now() - KEEP_DAYS * 86_400_000;
  for (const key of Object.keys(localStorage)) {
    if (key.startsWith(PREFIX) && !(readLocal(key)?.kept_at > oldest)) localStorage.removeItem(key);
  }
}
