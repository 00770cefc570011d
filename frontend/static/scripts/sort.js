// Tables with data-sort: a button in each heading sorts the rows by that column, up, down and as they came.
// A cell is compared by its data-value, the moment of its <time>, its number, or its text or data-text; cells without a value come last.

const FIRST_NUMBER = /^[^\d]*?([-−]?\d[\d,]*(?:\.\d+)?)/;
const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

function valueOf(cell, isNumber) {
  if (!cell) return null;
  if (cell.dataset.value !== undefined) return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  const moment = cell.querySelector("time");
  if (moment && !isNumber) return Date.parse(moment.dateTime);
  const text = (cell.dataset.text ?? cell.textContent).trim();
  if (!text || text.startsWith("–")) return null;
  if (!isNumber) return text;
  const found = FIRST_NUMBER.exec(text);
  return found ? Number(found[1].replaceAll(",", "").replace("−", "-")) : null;
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), document.documentElement.lang, { numeric: true });
}

function sort(table, column, direction) {
  const body = table.tBodies[0];
  const heading = table.tHead.rows[0].cells[column];
  const isNumber = heading.classList.contains("number");
  const rows = [...body.rows].map((row) => ({ row, place: Number(row.dataset.place), value: valueOf(row.cells[column], isNumber) }));
  const sign = direction === "descending" ? -1 : 1;
  rows.sort((one, other) => {
    if (direction === "none") return one.place - other.place;
    if (one.value === null || other.value === null) return (one.value === null) - (other.value === null) || one.place - other.place;
    return sign * compare(one.value, other.value) || one.place - other.place;
  });
  body.append(...rows.map(({ row }) => row));
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  if (direction !== "none") heading.setAttribute("aria-sort", direction);
}

function prepare(table) {
  if (table.dataset.sort === "ready" || table.tBodies[0].rows.length < 2) return;
  table.dataset.sort = "ready";
  [...table.tBodies[0].rows].forEach((row, place) => { row.dataset.place = place; });
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    if (!heading.textContent.trim() || heading.querySelector(".unseen")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort-button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(table, column, NEXT[heading.getAttribute("aria-sort") ?? "none"]));
    heading.append(button);
  });
}

function prepareAll() {
  document.querySelectorAll("table[data-sort]").forEach(prepare);
}

prepareAll();
document.addEventListener("htmx:afterSettle", prepareAll);
