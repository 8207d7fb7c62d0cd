"use strict";
/* Sorting, filters, columns, paging and CSV of the big tables, on DataTables. Without a script, tables of few rows are
   whole and in order. Every value becomes text: DataTables takes cells as HTML, so all of them are escaped. */
(() => {
  DataTable.ext.errMode = "throw";
  const PAGE = 50;
  const ABSENT = "–";

  /* Numbers as simulator/report/formatting.py writes them. */
  const grouped = (text) => text.replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+(?!\d))/g, ","));
  const number = (x) => {
    if (!Number.isFinite(x)) return x > 0 ? "∞" : "-∞";
    if (x === 0) return "0";
    if (Math.abs(x) < 1e-4) return x.toExponential(2).replace(/e([-+])(\d)$/, "e$10$2");
    const rounded = Math.abs(Number(x.toPrecision(3)));
    return grouped(x.toFixed(Math.max(0, 2 - Math.floor(Math.log10(rounded)))));
  };
  const written = {
    text: String,
    number,
    times: (x) => (x >= 0.1 && x < 100 ? x.toFixed(2) : number(x)) + "×",
    db: (x) => (Number.isFinite(x) ? x.toFixed(1) : "∞"),
    whole: (x) => grouped(String(x)),
    plain: (x) => (Number.isInteger(x) ? String(x) : String(Number(x.toPrecision(6)))),
  };
  const infinite = { inf: Infinity, "-inf": -Infinity };

  /* A table's columns: name, whether its cells are numbers, the values, and how each is written. */
  const fromData = (data) => data.columns.map((column) => {
    const numeric = column.kind !== "text";
    const plain = column.of ? column.at.map((place) => column.of[place]) : column.values;
    const values = numeric ? plain.map((v) => (typeof v === "string" ? infinite[v] : v)) : plain;
    const text = (v) => (v === null ? ABSENT : written[column.kind](v));
    return { name: column.name, kind: column.kind, numeric, shown: column.shown, values, text: (row) => text(values[row]) };
  });
  const fromPage = (table) => Array.from(table.tHead.rows[0].cells, (head, place) => {
    const cells = Array.from(table.tBodies[0].rows, (row) => row.cells[place]);
    const numeric = head.classList.contains("number");
    const key = (cell) => (cell.dataset.key === "" ? null : Number(infinite[cell.dataset.key] ?? cell.dataset.key));
    const texts = cells.map((cell) => cell.textContent);
    return {
      name: head.textContent, numeric, shown: true, text: (row) => texts[row],
      values: numeric ? cells.map(key) : texts,
    };
  });

  const escaped = (text) => text.replace(/[&<>"']/g, (letter) => `&#${letter.charCodeAt(0)};`);
  const element = (tag, text, set = {}) => Object.assign(document.createElement(tag), { textContent: text }, set);
  const labelled = (text, input) => { const label = element("label", text); label.append(input); return label; };

  /* A filter for one column: a list of what is in it, or two ends of a range. Null where it would choose nothing. */
  const filterOf = (column, changed) => {
    const known = [...new Set(column.values)].filter((v) => v !== null && v !== "");
    if (new Set(column.values).size < 2 || known.length < (column.numeric ? 2 : 1)) return null;
    const box = element("fieldset", "");
    box.append(element("legend", column.name));
    let passes;
    if (column.numeric) {
      const [low, high] = known.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
      const ends = [["from", low], ["to", high]].map(([name, end]) => {
        const input = element("input", "", { type: "number", step: "any", placeholder: written[column.kind ?? "number"](end) });
        input.setAttribute("aria-label", `${column.name} ${name}`);
        return input;
      });
      box.append(...ends);
      passes = () => {
        const [from, to] = ends.map((input) => (input.value === "" ? null : Number(input.value)));
        if (from === null && to === null) return null;
        return (row) => {
          const value = column.values[row];
          return value !== null && (from === null || value >= from) && (to === null || value <= to);
        };
      };
    } else {
      if (known.length > 60) return null;
      const choice = element("select", "");
      choice.setAttribute("aria-label", column.name);
      choice.append(element("option", "all", { value: "" }));
      known.forEach((text, place) => choice.append(element("option", text, { value: String(place + 1) })));
      box.append(choice);
      passes = () => (choice.value === "" ? null : (row) => column.values[row] === known[Number(choice.value) - 1]);
    }
    box.addEventListener("input", changed);
    return { box, passes, clear: () => box.querySelectorAll("input, select").forEach((input) => { input.value = ""; }) };
  };

  /* Rows as CSV; a text that a spreadsheet would take for a formula gets a quote before it. */
  const csvOf = (columns, rows) => {
    const cell = (value, numeric) => {
      const text = value === null ? "" : numeric ? String(value) : String(value).replace(/^(?=[=+\-@\t\r])/, "'");
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const lines = rows.map((row) => columns.map((c) => cell(c.values[row], c.numeric)));
    return [columns.map((c) => cell(c.name, false)), ...lines].map((line) => line.join(",") + "\r\n").join("");
  };
  const download = (text, name) => {
    const link = element("a", "", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };

  const start = (grid) => {
    const table = grid.querySelector("table");
    const data = grid.querySelector("script[type='application/json']");
    const columns = data ? fromData(JSON.parse(data.textContent)) : fromPage(table);
    const count = columns[0].values.length;
    if (data) {
      const head = element("tr", "");
      columns.forEach((c) => head.append(element("th", c.name, { scope: "col", className: c.numeric ? "number" : "" })));
      table.createTHead().replaceChildren(head);
    } else table.tBodies[0].replaceChildren();
    const key = (value) => (value === null ? -Infinity : value);
    const shown = new DataTable(table, {
      data: Array.from({ length: count }, (_, row) => [row]),
      columns: columns.map((column) => ({
        data: 0, visible: column.shown, className: column.numeric ? "number" : "", searchable: !column.numeric,
        type: column.numeric ? "num" : "string",
        render: (row, type) => (type === "sort" || type === "type"
          ? (column.numeric ? key(column.values[row]) : column.values[row] ?? "") : escaped(column.text(row))),
        createdCell: (cell, row) => {
          if (column.name === "Exact") cell.classList.add({ yes: "good", NO: "bad" }[column.text(row)] ?? "plain");
        },
      })),
      autoWidth: false, order: [], pageLength: PAGE, paging: count > PAGE && Boolean(data), deferRender: true,
      layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: data ? "paging" : null },
    });
    const scroll = grid.querySelector(".scroll");
    const paging = grid.querySelector(".dt-paging");
    if (paging) scroll.after(paging);

    const [find, csv, reset] = ["input[type=search]", ".csv", ".reset"].map((what) => grid.querySelector(what));
    const output = grid.querySelector("output");
    const inOrder = () => shown.rows({ search: "applied", order: "applied" }).data().toArray().map(([row]) => row);
    const visible = () => columns.filter((_, place) => shown.column(place).visible());
    const said = () => {
      const found = shown.rows({ search: "applied" }).count();
      output.textContent = `${found.toLocaleString("en")} of ${count.toLocaleString("en")} ${grid.dataset.noun}`;
    };
    let active = [];
    const filters = [];
    const changed = () => {
      active = filters.filter((f) => f && !f.box.hidden).map((f) => f.passes()).filter(Boolean);
      shown.search(find.value).draw();
    };
    shown.search.fixed("columns", (_, [row]) => active.every((passes) => passes(row)));
    filters.push(...columns.map((column) => filterOf(column, changed)));
    const boxes = columns.map((column, place) => {
      const box = element("input", "", { type: "checkbox", checked: column.shown });
      box.addEventListener("change", () => {
        shown.column(place).visible(box.checked);
        if (filters[place]) { filters[place].box.hidden = !box.checked; changed(); }
      });
      return box;
    });
    filters.forEach((f, place) => { if (f) { f.box.hidden = !columns[place].shown; } });
    grid.querySelector(".filters .fields").append(...filters.filter(Boolean).map((f) => f.box));
    grid.querySelector(".columns .fields").append(...columns.map((c, place) => labelled(c.name, boxes[place])));
    shown.on("draw", said);
    find.addEventListener("input", changed);
    csv.addEventListener("click", () => download(csvOf(visible(), inOrder()), `${grid.dataset.name}.csv`));
    reset.addEventListener("click", () => {
      find.value = "";
      filters.forEach((f) => f?.clear());
      shown.order([]);
      changed();
    });
    grid.querySelector(".controls").hidden = false;
    said();
  };

  document.querySelectorAll(".grid").forEach(start);
})();
