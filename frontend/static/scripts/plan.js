// Starting a round: only the settings of the methods that the plan has are shown, each with the value that it has when
// it is left empty; those that differ are marked and can be reset. The estimate beside the button follows.

const form = document.querySelector("form.start");
const ESTIMATE_AFTER_MS = 600;

function showGroups() {
  const chosen = form.querySelector("input[name=plan]:checked")?.value ?? "";
  const own = form.querySelector(".own-order");
  own.hidden = chosen !== "own";
  const plan = own.hidden ? chosen.split(",") : Array.from(own.querySelectorAll("select"), (stage) => stage.value);
  for (const group of form.querySelectorAll(".group")) group.hidden = !plan.includes(group.dataset.method);
  form.querySelector("#enough").hidden = !form.querySelector(".group[data-gated]:not([hidden])");
}

/** What an empty field means: the preset's value, the round's own, the project's or the method's. */
function showDefaults(presets) {
  const settings = presets[form.querySelector("input[name=preset]:checked")?.value] ?? {};
  const ofRound = new Map(Array.from(form.querySelectorAll("[data-source]"), (field) => [field.dataset.source, field.value]));
  for (const field of form.querySelectorAll(".setting input[placeholder]")) {
    field.dataset.default ??= field.placeholder;
    const [method, setting] = field.name.split(".");
    field.placeholder = settings[method]?.[setting] ?? (ofRound.get(field.dataset.inherits) || field.dataset.default);
  }
}

function markChanges() {
  for (const group of form.querySelectorAll(".group")) {
    let changed = 0;
    for (const setting of group.querySelectorAll(".setting")) {
      const field = setting.querySelector("input, select");
      const differs = field.value !== "" && field.value !== field.placeholder;
      setting.classList.toggle("is-changed", differs);
      setting.querySelector(".changed-mark").hidden = !differs;
      changed += differs;
    }
    const count = group.querySelector(".changed-count");
    count.hidden = !changed;
    count.querySelector(".num").textContent = changed;
  }
}

if (form) {
  const presets = JSON.parse(document.querySelector("#presets").textContent);
  let soon = null;
  const show = () => {
    showGroups();
    showDefaults(presets);
    markChanges();
    clearTimeout(soon);
    soon = setTimeout(() => form.querySelector("#estimate")?.dispatchEvent(new CustomEvent("look-again")), ESTIMATE_AFTER_MS);
  };
  form.addEventListener("change", show);
  form.addEventListener("click", ({ target }) => {
    if (!target.matches(".changed-mark button")) return;
    const field = target.closest(".setting").querySelector("input, select");
    field.value = "";
    show();
    field.focus();
  });
  show();
  document.querySelector("#forecast")?.focus();
}
