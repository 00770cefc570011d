// Buttons that copy the text of a field. They are shown only where the browser lets a page do so.

import { announce, gettext } from "./shared.js";

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  field.select();
  await navigator.clipboard.writeText(field.value);
  announce(gettext("Copied."));
  button.firstChild.textContent = gettext("Copied");
});

if (navigator.clipboard) for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
