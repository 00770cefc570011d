// The upload of files or a folder: says which files are sent, and sends of a folder only those that may hold data.

import { gettext } from "./shared.js";

const SHOWN = 20;
const place = document.querySelector("#chosen-files");
const [files, folder] = ["file", "folder"].map((name) => document.querySelector(`input[type=file][name=${name}]`));

/** Whether a file of a folder may hold data: by its ending, and not below a hidden folder. */
function isData(file) {
  const path = file.webkitRelativePath || file.name;
  const isHidden = path.split("/").some((part) => part.startsWith("."));
  return !isHidden && place.dataset.suffixes.split(" ").some((suffix) => path.toLowerCase().endsWith(suffix));
}

function namesOf(list) {
  const names = list.slice(0, SHOWN).map((file) => file.webkitRelativePath || file.name);
  return names.join(", ") + (list.length > SHOWN ? ", …" : "");
}

function show() {
  const all = [...folder.files];
  const left = all.filter((file) => !isData(file));
  if (left.length) {
    const kept = new DataTransfer();
    for (const file of all) if (isData(file)) kept.items.add(file);
    folder.files = kept.files;
  }
  const sent = [...files.files, ...folder.files];
  const said = [];
  if (sent.length) said.push(gettext("To be read: %(names)s.", { names: namesOf(sent) }));
  if (left.length) said.push(gettext("Left out: %(names)s.", { names: namesOf(left) }));
  place.textContent = said.join(" ");
  place.hidden = said.length === 0;
}

for (const input of [files, folder]) input?.addEventListener("change", show);
