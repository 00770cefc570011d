// Single keys. They never act while a person types, and can be turned off (WCAG 2.1.4).

const SWITCH = "prefloop.keys-off";

/** `move` hears every key that is not typed somewhere; `act` only where single keys are on. Both say whether it was theirs. */
export function listen({ move = () => false, act }) {
  const help = document.getElementById("keys-help");
  const onOff = help.querySelector("#keys-on");
  onOff.checked = !localStorage.getItem(SWITCH);
  onOff.onchange = () => (onOff.checked ? localStorage.removeItem(SWITCH) : localStorage.setItem(SWITCH, "1"));
  document.getElementById("show-keys").onclick = () => help.showModal();

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest?.("textarea, input:not([name=grade]), select, [contenteditable]")) return;
    if (document.querySelector("dialog[open]")) return;
    if (move(event)) return event.preventDefault();
    if (!onOff.checked) return;
    if (event.key === "?") help.showModal();
    else if (!act(event)) return;
    event.preventDefault();
  }

  document.addEventListener("keydown", onKey);
  return { stop: () => document.removeEventListener("keydown", onKey) };
}
