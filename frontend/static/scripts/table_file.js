// Tables with data-csv: a button below downloads what they show as a CSV file, in the order of the page.

import { gettext } from "./shared.js";

const LEFT_OUT = "form, details, button, .unseen, [popover]";
const FORMULA = /^[=+\-@\t\r](?![\d.,]+$)/; // a spreadsheet would run it; a negative number is none

function textOf(cell) {
  if (!cell) return "";
  const moment = cell.querySelector("time");
  if (moment) return moment.dateTime;
  if (cell.dataset.text !== undefined) return cell.dataset.text;
  const shown = cell.cloneNode(true);
  const heading = shown.querySelector(".sort-button");
  if (heading) return heading.textContent.trim();
  shown.querySelectorAll(LEFT_OUT).forEach((node) => node.remove());
  return shown.textContent.trim().replace(/\s+/g, " ");
}

function quoted(text) {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** The table as CSV, without columns that have no heading to see, which hold buttons. */
function csvOf(table) {
  const heads = [...table.tHead.rows[0].cells].map(textOf);
  const columns = heads.flatMap((head, place) => (head ? [place] : []));
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
  const lines = [heads, ...rows.map((row) => [...row.cells].map(textOf))];
  return lines.map((line) => columns.map((place) => quoted(line[place] ?? "")).join(",")).join("\r\n") + "\r\n";
}

function save(table) {
  const address = URL.createObjectURL(new Blob([csvOf(table)], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  const project = location.pathname.split("/")[2] ?? "prefloop";
  Object.assign(link, { href: address, download: `${project}-${table.dataset.csv}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function offer(table) {
  const frame = table.closest(".table-frame");
  if (!frame || frame.nextElementSibling?.classList.contains("table-file")) return;
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "as-link", textContent: gettext("Download CSV") });
  button.addEventListener("click", () => save(table));
  const line = document.createElement("p");
  line.className = "small table-file";
  line.append(button);
  frame.after(line);
}

const offerAll = () => document.querySelectorAll("table[data-csv]").forEach(offer);
offerAll();
document.addEventListener("htmx:afterSettle", offerAll);
