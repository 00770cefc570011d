// Small helpers of several modules.

/** Signing in again, in another tab, makes a new token: the one in the cookie is always the right one. */
export function csrfToken() {
  return document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? "";
}

/** Undo is of steps in this task; what was submitted before is reopened by the button alone. */
export const NOTHING_TO_UNDO = "Nothing to undo in this task.";

/** Say something to those who do not see it happen. */
export function announce(text) {
  const place = document.getElementById("announcer");
  // The same words twice are only announced twice if the text changes in between.
  place.textContent = place.textContent === text ? `${text}\u00a0` : text;
}
