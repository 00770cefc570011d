// How long the annotator has been at work: the page is in view and was touched within the last minute.

const IDLE_AFTER_MS = 60_000;
const SIGNS = ["pointermove", "pointerdown", "keydown", "wheel", "scroll", "touchmove"];

export class Activity {
  constructor(alreadyMs = 0) {
    this.total = alreadyMs;
    this.lastSign = this.lastTick = performance.now();
    this.#sign = () => {
      this.#count();
      this.lastSign = performance.now();
    };
    for (const name of SIGNS) addEventListener(name, this.#sign, { passive: true, capture: true });
    document.addEventListener("visibilitychange", this.#sign);
    this.timer = setInterval(() => this.#count(), 1000);
  }

  #sign;

  get ms() {
    this.#count();
    return Math.round(this.total);
  }

  get isInUse() {
    return !document.hidden && performance.now() - this.lastSign < IDLE_AFTER_MS;
  }

  #count() {
    const now = performance.now();
    // A closed lid stops the clock: no single step counts for more than the few seconds a timer can be late.
    if (this.isInUse) this.total += Math.min(now - this.lastTick, 5000);
    this.lastTick = now;
  }

  stop() {
    for (const name of SIGNS) removeEventListener(name, this.#sign, { capture: true });
    document.removeEventListener("visibilitychange", this.#sign);
    clearInterval(this.timer);
  }
}
