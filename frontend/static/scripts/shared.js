// Small helpers of several modules.

/** Signing in again, in another tab, makes a new token: the one in the cookie is always the right one. */
export function csrfToken() {
  return document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] ?? "";
}

const words = JSON.parse(document.getElementById("script-words")?.textContent ?? "{}");
const order = ["zero", "one", "two", "few", "many", "other"];
const rules = new Intl.PluralRules(document.documentElement.lang || "en");
const forms = rules.resolvedOptions().pluralCategories.slice().sort((a, b) => order.indexOf(a) - order.indexOf(b));

function filled(text, values) {
  return text.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);
}

/** A text in the page's language, with its %(values)s; the texts are those of django.po. */
export function gettext(text, values = {}) {
  return filled(words[text] ?? text, values);
}

/** The same for one or many: `values.count` decides, as the plural forms of the language have it. */
export function ngettext(one, many, count, values = {}) {
  const found = words[one];
  const text = found ? found[Math.min(forms.indexOf(rules.select(count)), found.length - 1)] : count === 1 ? one : many;
  return filled(text, { count, ...values });
}

/** Undo is of steps in this task; what was submitted before is reopened by the button alone. */
export const NOTHING_TO_UNDO = gettext("Nothing to undo in this task.");

/** Several things in one sentence, as the language joins them. */
export function listed(parts) {
  return new Intl.ListFormat(document.documentElement.lang || "en", { type: "conjunction" }).format(parts);
}

/** A rank in words; there are nine at most. */
export function ordinal(number) {
  return ORDINALS[number - 1] ?? String(number);
}

const ORDINALS = [
  gettext("1st"), gettext("2nd"), gettext("3rd"), gettext("4th"), gettext("5th"),
  gettext("6th"), gettext("7th"), gettext("8th"), gettext("9th"),
];

/** Say something to those who do not see it happen. */
export function announce(text) {
  const place = document.getElementById("announcer");
  // The same words twice are only announced twice if the text changes in between.
  place.textContent = place.textContent === text ? `${text}\u00a0` : text;
}
