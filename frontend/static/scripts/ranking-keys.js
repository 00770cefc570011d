// Ranking by keyboard alone. Keys never act while somebody types, and can be turned off (WCAG 2.1.4).

import { announce } from "./shared.js";

const SWITCH = "prefloop.keys-off";

export function listenToKeys(ranking) {
  const help = document.getElementById("keys-help");
  const onOff = help.querySelector("#keys-on");
  let tieNext = false;

  onOff.checked = !localStorage.getItem(SWITCH);
  onOff.onchange = () => (onOff.checked ? localStorage.removeItem(SWITCH) : localStorage.setItem(SWITCH, "1"));

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest?.("textarea, input, select, [contenteditable]") || document.querySelector("dialog[open]")) return;
    if (moveFocused(event)) return event.preventDefault();
    if (!onOff.checked) return;
    if (act(event)) event.preventDefault();
  }

  function moveFocused({ key, shiftKey, target }) {
    if (key !== "ArrowUp" && key !== "ArrowDown") return false;
    const id = Number(target.closest?.(".placed .answer")?.dataset.id);
    if (!id) return false;
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
    switch (event.key) {
      case "=":
        expectTie(!tieNext);
        return true;
      case "x":
        ranking.toggleLine();
        return true;
      case "u":
        ranking.undo();
        return true;
      case "?":
        help.showModal();
        return true;
      case "Escape":
        expectTie(false);
        return false;
      default:
        return false;
    }
  }

  function byNumber(number, isTie) {
    const id = ranking.order.ids[number - 1];
    if (id === undefined) return announce(`There is no answer ${number}.`);
    if (isTie) return ranking.tie(id) || ranking.place(id) || announce(ranking.describe(id));
    if (ranking.place(id)) return true;
    // Whoever types all the numbers need not be told that the last one was placed already.
    if (id === ranking.followed) return announce(ranking.describe(id));
    // It has a place: now the arrow keys move it.
    ranking.cards.get(id).focus();
    return announce(`${ranking.describe(id)} Arrow keys move it.`);
  }

  function expectTie(isExpected) {
    if (isExpected && !tieNext) announce("Tie: now the number of the answer.");
    tieNext = isExpected;
    document.getElementById("tie-hint").hidden = !isExpected;
  }

  document.addEventListener("keydown", onKey);
  document.getElementById("show-keys").onclick = () => help.showModal();
  return { stop: () => document.removeEventListener("keydown", onKey) };
}

/** With Shift the key gives "!" or "§" instead of its digit; which one depends on the keyboard. */
function digitOf({ key, code, shiftKey }) {
  if (/^[1-9]$/.test(key)) return Number(key);
  if (shiftKey && key !== "=" && key !== "?") return Number(code.match(/^Digit([1-9])$/)?.[1] ?? 0);
  return 0;
}
