// Starting a round: only the settings of the methods that the plan has are shown, each with what the preset gives it.

const form = document.querySelector("form.start");

function showGroups() {
  const chosen = form.querySelector("input[name=plan]:checked")?.value ?? "";
  const own = form.querySelector(".own-order");
  own.hidden = chosen !== "own";
  const plan = own.hidden ? chosen.split(",") : Array.from(own.querySelectorAll("select"), (stage) => stage.value);
  for (const group of form.querySelectorAll(".group")) group.hidden = !plan.includes(group.dataset.method);
}

function showPreset(presets) {
  const settings = presets[form.querySelector("input[name=preset]:checked")?.value] ?? {};
  for (const field of form.querySelectorAll("input[placeholder]")) {
    field.dataset.default ??= field.placeholder;
    const [method, setting] = field.name.split(".");
    field.placeholder = settings[method]?.[setting] ?? field.dataset.default;
  }
}

if (form) {
  const presets = JSON.parse(document.querySelector("#presets").textContent);
  const show = () => {
    showGroups();
    showPreset(presets);
  };
  form.addEventListener("change", show);
  show();
  document.querySelector("#forecast")?.focus();
}
