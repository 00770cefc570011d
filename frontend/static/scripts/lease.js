// How long the seat is held, as the server sees it. Any saved change, and any minute of use, renews it.

import { gettext, ngettext } from "./shared.js";

const WARN_BELOW_MS = 2 * 60_000;

export class Lease {
  /** `onLow` is called once per lease when it runs low, `onOver` when it has run out. */
  constructor(place, { onLow, onOver }) {
    this.place = place;
    this.calls = { onLow, onOver };
    this.endsAt = null;
    this.timer = setInterval(() => this.#show(), 1000);
  }

  /** Both times are the server's, so that a wrong clock on this side does not matter. */
  renew(expiresAt, serverNow) {
    const left = expiresAt ? new Date(expiresAt) - new Date(serverNow) : null;
    this.endsAt = left === null ? null : performance.now() + left;
    this.told = {};
    this.#show();
  }

  #show() {
    const left = this.endsAt === null ? 0 : this.endsAt - performance.now();
    const isOver = left <= 0;
    const isLow = !isOver && left < WARN_BELOW_MS;
    this.place.classList.toggle("warn", isOver || isLow);
    this.#write(isOver ? gettext("Reservation expired – you can still submit") : gettext("Reserved for %(time)s", { time: isLow ? clock(left) : minutes(left) }));
    if (isOver) this.#tellOnce("onOver");
    else if (isLow) this.#tellOnce("onLow");
  }

  #write(text) {
    if (this.place.textContent !== text) this.place.textContent = text;
  }

  #tellOnce(name) {
    if (this.told?.[name]) return;
    this.told = { ...this.told, [name]: true };
    this.calls[name]();
  }

  stop() {
    clearInterval(this.timer);
  }
}

function minutes(ms) {
  const whole = Math.round(ms / 60_000);
  if (whole >= 48 * 60) return ngettext("%(count)s day", "%(count)s days", Math.round(whole / 1440)); // one that was sent back for correction
  return whole >= 120 ? gettext("%(number)s h", { number: Math.round(whole / 60) }) : gettext("%(number)s min", { number: whole });
}

function clock(ms) {
  const seconds = Math.ceil(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
