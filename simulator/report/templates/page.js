"use strict";
/* Sorting and filtering of the per-op table. Without a script the table is simply whole and in order. */
(() => {
  const table = document.getElementById("ops");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const count = document.getElementById("ops-count");
  const text = document.getElementById("ops-text");
  const choices = Array.from(document.querySelectorAll("select[data-column]"));
  const found = rows.map((row) => row.textContent.toLowerCase());

  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      const chosen = choices.every((c) => !c.value || row.cells[Number(c.dataset.column)].textContent === c.value);
      row.hidden = !(chosen && words.every((word) => found[i].includes(word)));
      shown += row.hidden ? 0 : 1;
    });
    count.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} ops`;
  };

  const compare = (column, numeric) => (a, b) => {
    const x = a.cells[column], y = b.cells[column];
    if (!numeric) return x.textContent.localeCompare(y.textContent, "en", { numeric: true });
    const [p, q] = [Number(x.dataset.key), Number(y.dataset.key)];
    return p < q ? -1 : p > q ? 1 : 0;
  };

  const sort = (head) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const order = rows.slice().sort(compare(head.cellIndex, head.classList.contains("number")));
    body.append(...(down ? order.reverse() : order));
  };

  for (const head of table.tHead.rows[0].cells) {
    const button = head.querySelector("button");
    button.disabled = false;
    button.addEventListener("click", () => sort(head));
  }
  text.addEventListener("input", filter);
  choices.forEach((choice) => choice.addEventListener("change", filter));
  document.getElementById("ops-controls").hidden = false;
  filter();
})();
