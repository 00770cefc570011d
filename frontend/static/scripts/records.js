// Selecting records of a list: the whole page at once, and how many are ticked.

import { gettext, ngettext } from "./shared.js";

const form = document.getElementById("bulk");

if (form) {
  const boxes = [...form.querySelectorAll("input[name=ids]")];
  const all = form.querySelector("[data-all]");
  const everything = form.querySelector("input[name=everything]");
  const count = form.querySelector("[data-count]");

  function show() {
    const ticked = boxes.filter((box) => box.checked).length;
    all.checked = ticked === boxes.length;
    all.indeterminate = ticked > 0 && ticked < boxes.length;
    for (const box of boxes) box.disabled = everything.checked;
    if (everything.checked) count.textContent = gettext("All that match");
    else if (ticked) count.textContent = ngettext("%(count)s selected", "%(count)s selected", ticked);
    else count.textContent = gettext("Nothing selected");
  }

  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  form.addEventListener("change", show);
  addEventListener("pageshow", show); // a browser that goes back keeps what was ticked
  show();
}
