// The form of a project: fields appear when they matter, and a kind of project fills in what it sets.

const form = document.querySelector("#project-form");
const presets = JSON.parse(document.querySelector("#presets")?.textContent ?? "{}");
const before = new Map(); // what a field had before a kind of project changed it

function valueOf(name) {
  const field = form.elements[name];
  if (field?.type === "checkbox") return field.checked ? "on" : "";
  return field?.value.trim() ?? "";
}

/** Whether "name=value", "name>number" or "name" (filled in or ticked) holds. */
function holds(condition) {
  const [, name, sign, wanted] = condition.match(/^(\w+)(?:([=>])(.*))?$/);
  if (sign === "=") return valueOf(name) === wanted;
  return sign === ">" ? Number(valueOf(name)) > Number(wanted) : valueOf(name) !== "";
}

function showFields() {
  for (const field of form.querySelectorAll("[data-when]")) {
    const isRefused = field.querySelector(".errorlist"); // an error is always seen
    field.hidden = !holds(field.dataset.when) && !isRefused;
  }
}

function usePreset() {
  for (const [name, value] of before) form.elements[name].value = value;
  before.clear();
  for (const [name, value] of Object.entries(presets[valueOf("preset")] ?? {})) {
    const field = form.elements[name];
    before.set(name, field.value);
    field.value = field.classList.contains("percent") ? value * 100 : value;
  }
}

form.addEventListener("change", ({ target }) => {
  if (target.name === "preset") usePreset();
  showFields();
});
form.addEventListener("input", showFields);
showFields();
