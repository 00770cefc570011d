// What every page has: fresh CSRF tokens for htmx, menus that close, folds that stay as they were, local times.

import { markCode } from "./code.js";
import { listenToPageKeys } from "./palette.js";
import { csrfToken } from "./shared.js";

document.addEventListener("htmx:configRequest", (event) => {
  delete event.detail.parameters.csrfmiddlewaretoken;
  event.detail.headers["X-CSRFToken"] = csrfToken();
});

// A part that fetches itself again is answered with the sign-in page where the session is over: sign in for the whole.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, requestConfig } = event.detail;
  if (document.getElementById("task") || requestConfig.verb !== "get") return; // work.js has its own way
  if (!new URL(xhr.responseURL, location).pathname.startsWith("/accounts/login/")) return;
  event.detail.shouldSwap = false;
  location.reload();
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  event.target.closest("[data-close]")?.closest("details, dialog")?.removeAttribute("open");
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = event.target.closest?.("details.menu[open]") ?? document.querySelector("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// --- folds: details with an id keep their state when their part of the page is fetched again; those with
// data-remember keep it in this browser.

const openFolds = new Map();

document.addEventListener(
  "toggle",
  ({ target }) => {
    if (target.id) openFolds.set(target.id, target.open);
    if (target.dataset?.remember) localStorage.setItem(`prefloop.fold.${target.dataset.remember}`, target.open ? "1" : "");
  },
  true,
);

function restoreFolds() {
  for (const fold of document.querySelectorAll("details[id], details[data-remember]")) {
    const stored = fold.dataset.remember && localStorage.getItem(`prefloop.fold.${fold.dataset.remember}`);
    if (typeof stored === "string" && stored !== "") fold.open = true;
    else if (openFolds.has(fold.id)) fold.open = openFolds.get(fold.id);
  }
}

// --- times: the server writes UTC, people read those of their profile's time zone, or else of their machine's.

const { lang, dataset } = document.documentElement;

function formatOfTimes(timeZone) {
  try {
    return new Intl.DateTimeFormat(lang === "en" ? undefined : lang, { dateStyle: "medium", timeStyle: "short", timeZone });
  } catch {
    return formatOfTimes(); // a zone that this browser does not know yet
  }
}

const whole = formatOfTimes(dataset.timeZone);

function localTimes() {
  for (const time of document.querySelectorAll("time[datetime]:not([title])")) {
    time.title = time.textContent;
    time.textContent = whole.format(new Date(time.dateTime));
  }
}

function refresh() {
  restoreFolds();
  localTimes();
  if (!document.querySelector("#task")) markCode(document); // work.js waits for it
}

// Where the tabs are wider than the screen, the one that is open is in sight.
for (const here of document.querySelectorAll(".project-nav [aria-current], .tabs [aria-current]")) {
  const row = here.closest("ul");
  row.scrollLeft += here.getBoundingClientRect().left - row.getBoundingClientRect().left - (row.clientWidth - here.offsetWidth) / 2;
}

listenToPageKeys();
document.addEventListener("htmx:afterSwap", refresh);
refresh();
