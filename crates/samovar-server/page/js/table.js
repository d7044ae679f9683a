// A table that is sorted by a click on a column's head: here, or where its rows come from.

import { el } from "./dom.js";
import { byText } from "./format.js";
import { t } from "./words.js";

/**
 * `columns`: `{ key, label, numeric, value(row), cell(row), bar }`. `value` is what is sorted by,
 * `cell` what is shown (text or a node); a numeric column sorts from the largest down first. The
 * first column that is not numeric heads the row. Rows without a value always stand last. Rows that come `ordered`
 * stay as they come: who fetches them follows `onSort`.
 */
export class SortedTable {
  #table;
  #columns = [];
  #shape = null;
  #heads = new Map();
  #body = el("tbody");
  #rows = [];
  #limit = Infinity;
  #sort;
  #onSort;
  #ordered;

  constructor(table, sort, onSort = () => {}, { ordered = false } = {}) {
    this.#table = table;
    this.#sort = sort;
    this.#onSort = onSort;
    this.#ordered = ordered;
  }

  /** The column sorted by, `{ key, descending }`. */
  get sort() {
    return this.#sort;
  }

  set sort(sort) {
    this.#sort = sort;
  }

  /** Sets the columns; heads that stay keep the focus they have. */
  columns(columns) {
    // The words of the buttons are of one language: another makes other heads.
    const shape = columns.map(({ key, label }) => `${key} ${t("table.sort", { column: label })}`).join("\n");
    this.#columns = columns;
    if (shape === this.#shape) return;
    this.#shape = shape;
    const focused = this.#table.contains(document.activeElement) ? document.activeElement.dataset.sort : null;
    this.#heads.clear();
    const row = el("tr");
    for (const column of columns) {
      const head = el("th", { scope: "col", class: column.numeric && "num", "data-column": column.key });
      if (column.value) {
        head.append(
          el("button", {
            type: "button",
            class: "sort",
            "data-sort": column.key,
            title: t("table.sort", { column: column.label }),
            onclick: () => this.#sortBy(column),
          }, column.label),
        );
      } else head.append(column.label);
      this.#heads.set(column.key, head);
      row.append(head);
    }
    this.#table.replaceChildren(el("thead", {}, row), this.#body);
    if (focused) row.querySelector(`[data-sort="${CSS.escape(focused)}"]`)?.focus();
  }

  /** Shows these rows, at most `limit` of them. */
  show(rows, limit = Infinity) {
    this.#rows = rows;
    this.#limit = limit;
    this.#draw();
  }

  #sortBy({ key, numeric }) {
    const again = this.#sort.key === key;
    this.#sort = { key, descending: again ? !this.#sort.descending : Boolean(numeric) };
    this.#onSort(this.#sort);
    if (!this.#ordered) this.#draw();
  }

  #sorted() {
    const column = this.#columns.find(({ key }) => key === this.#sort.key);
    if (!column || this.#ordered) return this.#rows;
    const sign = this.#sort.descending ? -1 : 1;
    const absent = (value) => value === null || value === undefined;
    return this.#rows
      .map((row) => ({ row, value: column.value(row) }))
      .sort((a, b) => {
        if (absent(a.value) || absent(b.value)) return absent(a.value) - absent(b.value);
        return sign * (typeof a.value === "number" ? a.value - b.value : byText(a.value, b.value));
      })
      .map(({ row }) => row);
  }

  #draw() {
    for (const [key, head] of this.#heads) {
      if (key === this.#sort.key) {
        head.setAttribute("aria-sort", this.#sort.descending ? "descending" : "ascending");
      } else head.removeAttribute("aria-sort");
    }
    const rows = this.#sorted().slice(0, this.#limit);
    const heading = this.#columns.find(({ numeric }) => !numeric)?.key;
    this.#body.replaceChildren(
      ...rows.map((row, index) =>
        el("tr", { "data-row": row.id }, ...this.#columns.map((column) => this.#cell(column, row, index, heading))),
      ),
    );
    if (rows.length === 0) {
      const cell = el("td", { class: "empty", colspan: this.#columns.length }, t("table.empty"));
      this.#body.append(el("tr", {}, cell));
    }
  }

  #cell(column, row, index, heading) {
    const content = column.cell(row, index);
    const head = column.key === heading;
    const cell = el(head ? "th" : "td", { scope: head && "row", class: column.numeric && "num" }, content);
    const share = column.bar?.(row);
    if (typeof share === "number") {
      cell.classList.add("bar");
      cell.style.setProperty("--share", Math.min(1, Math.max(0, share)));
    }
    return cell;
  }
}
