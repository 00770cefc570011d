// Starting a round: only the settings of the methods that the plan has are shown.

const form = document.querySelector("form.start");

function showGroups() {
  const plan = form.querySelector("input[name=plan]:checked")?.value.split(",") ?? [];
  for (const group of form.querySelectorAll(".group")) group.hidden = !plan.includes(group.dataset.method);
}

if (form) {
  form.addEventListener("change", showGroups);
  showGroups();
}
