// Ranking by keyboard alone.

import { listen } from "./keys.js";
import { announce, gettext } from "./shared.js";

export function listenToKeys(ranking) {
  let tieNext = false;

  function moveFocused({ key, shiftKey, target }) {
    if (key !== "ArrowUp" && key !== "ArrowDown") return false;
    const id = Number(target.closest?.(".answer")?.dataset.id);
    if (!ranking.order.placeOf(id)) return false;
    const step = key === "ArrowUp" ? -1 : 1;
    const did = shiftKey ? step < 0 && ranking.tie(id) : ranking.move(id, step);
    if (!did) announce(ranking.describe(id));
    ranking.cards.get(id).focus();
    return true;
  }

  function act(event) {
    const digit = digitOf(event);
    if (digit) {
      byNumber(digit, tieNext || (event.shiftKey && event.code.startsWith("Digit")));
      expectTie(false);
      return true;
    }
    const does = {
      "=": () => expectTie(!tieNext),
      x: () => ranking.toggleLine(),
      u: () => ranking.undo(),
      c: () => ranking.reading.toggleColumns(),
      d: () => ranking.reading.toggleDim(),
      m: () => ranking.reading.folding.toggleAll(),
    }[event.key];
    if (event.key === "Escape") expectTie(false);
    does?.();
    return Boolean(does);
  }

  function byNumber(number, isTie) {
    const id = ranking.order.ids[number - 1];
    if (id === undefined) return announce(gettext("There is no response %(number)s.", { number }));
    if (isTie) return ranking.tie(id) || ranking.place(id) || announce(ranking.describe(id));
    if (ranking.place(id)) return true;
    // With all numbers typed in turn, the last one was placed already: that is no mistake.
    if (id === ranking.followed) return announce(ranking.describe(id));
    if (!ranking.order.placeOf(id)) return announce(gettext("All ranks are assigned. Unrank a response first."));
    // It has a place: now the arrow keys move it.
    ranking.cards.get(id).focus();
    return announce(`${ranking.describe(id)} ${gettext("Arrow keys move it.")}`);
  }

  function expectTie(isExpected) {
    const canTie = isExpected && !ranking.order.isChoice;
    if (canTie && !tieNext) announce(gettext("Tie: now the number of the response."));
    tieNext = canTie;
    document.getElementById("tie-hint").hidden = !canTie;
  }

  return listen({ move: moveFocused, act });
}

/** With Shift the key gives "!" or "§" instead of its digit; which one depends on the keyboard. */
function digitOf({ key, code, shiftKey }) {
  if (/^[1-9]$/.test(key)) return Number(key);
  if (shiftKey && key !== "=" && key !== "?") return Number(code.match(/^Digit([1-9])$/)?.[1] ?? 0);
  return 0;
}
