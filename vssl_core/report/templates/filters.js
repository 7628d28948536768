// What is chosen stands in the address, as #results?task=vcop&metric=R@5&sort=1.4.descending, so that it can be sent.
const chips = [...document.querySelectorAll("#filters button[data-facet]")];
const boards = [...document.querySelectorAll(".board")];
let sorted = "";

function chosen() {
  const found = new Map();
  for (const { dataset } of chips.filter((chip) => chip.getAttribute("aria-pressed") === "true")) {
    found.set(dataset.facet, [...(found.get(dataset.facet) ?? []), dataset.choice]);
  }
  return found;
}

function applyFilters() {
  const wanted = chosen();
  const fits = (data, ...names) => names.every((name) => !wanted.has(name) || wanted.get(name).includes(data[name]));
  let lines = 0, columns = 0, allLines = 0;
  for (const board of boards) {
    board.hidden = !fits(board.dataset, "protocol");
    const table = board.querySelector("table");
    for (const row of table.tBodies[0].rows) {
      row.hidden = !(row.classList.contains("method") ? fits(row.dataset, "task", "backbone", "pretrain") : fits(row.dataset, "backbone"));
      lines += !row.hidden && !board.hidden;
      allLines += 1;
    }
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      if (!head.classList.contains("score")) return;
      const unasked = head.dataset.more !== undefined && !wanted.has("metric");
      const hide = unasked || !fits(head.dataset, "target", "evaluator", "metric");
      head.hidden = hide;
      columns += !hide && !board.hidden;
      for (const row of table.tBodies[0].rows) row.cells[place].hidden = hide;
      const foot = table.tFoot?.rows[0];
      if (foot) foot.cells[place - foot.cells[0].colSpan + 1].hidden = hide;
    });
    for (const pair of board.querySelectorAll(".pair")) pair.hidden = !fits(pair.dataset, "target", "evaluator", "metric");
  }
  const hidden = document.querySelectorAll("th.score").length - columns;
  document.getElementById("shown").textContent =
    `${lines} of ${allLines} lines, ${columns} of ${columns + hidden} metrics shown; controls stay beside their backbone.`;
  document.getElementById("clear").hidden = wanted.size === 0;
}

function saveState() {
  const query = new URLSearchParams();
  for (const [name, values] of chosen()) for (const value of values) query.append(name, value);
  if (sorted) query.set("sort", sorted);
  history.replaceState(null, "", query.size ? `#results?${query}` : "#results");
}

function loadState(query) {
  for (const chip of chips) {
    chip.setAttribute("aria-pressed", String(query.getAll(chip.dataset.facet).includes(chip.dataset.choice)));
  }
  sorted = query.get("sort") ?? "";
  const [name, column, order] = sorted.split(".");
  const table = document.querySelector(`.board table[data-name="${CSS.escape(name)}"]`);
  if (table?.tHead.rows[0].cells[column] && ["ascending", "descending"].includes(order)) sortTable(table, Number(column), order);
  if (chips.length) applyFilters();
}

for (const chip of chips) {
  chip.addEventListener("click", () => {
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
    applyFilters();
    saveState();
  });
}
document.getElementById("clear")?.addEventListener("click", () => {
  loadState(new URLSearchParams());
  saveState();
  chips[0].focus();
});
for (const table of document.querySelectorAll(".board table")) {
  table.addEventListener("sorted", ({ detail }) => {
    sorted = `${table.dataset.name}.${detail.column}.${detail.order}`;
    saveState();
  });
}
