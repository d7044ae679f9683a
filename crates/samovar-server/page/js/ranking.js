// The ranking of the chosen stores.

import { changeNode } from "./change.js";
import { $, el } from "./dom.js";
import { change, count, format, measureName } from "./format.js";
import { SortedTable } from "./table.js";
import { t } from "./words.js";

const FIRST = 20;

let table = null;
let shown = null; // { measures, answer }
let all = false;

/** The measure that the rows are sorted by; the column of changes follows it. */
function sortedMeasure(measures) {
  return measures.find(({ name }) => name === table.sort.key) ?? current(measures);
}

let last = null;
function current(measures) {
  return measures.find(({ name }) => name === last) ?? measures[0];
}

function columns(measures, rows, onPick) {
  const measure = sortedMeasure(measures);
  last = measure?.name;
  const top = Math.max(0, ...rows.map((row) => row.measures[last]?.value ?? 0));
  const changed = (row) => change(measure, row.measures[last]?.value, row.measures[last]?.previous);
  const store = {
    key: "store",
    label: t("ranking.store"),
    value: (row) => row.name ?? row.store_id,
    cell: (row) => {
      const name = row.name ?? row.store_id;
      const only = t("ranking.only", { store: name });
      return el("button", {
        type: "button", class: "link", title: only, "aria-label": only,
        "data-store-id": row.store_id, onclick: () => onPick(row.store_id),
      }, name);
    },
  };
  const figures = measures.map((each) => ({
    key: each.name,
    label: measureName(each),
    numeric: true,
    value: (row) => row.measures[each.name]?.value ?? null,
    cell: (row) => format(each, row.measures[each.name]?.value, "cell"),
    bar: each === measure && top > 0 ? (row) => (row.measures[each.name]?.value ?? 0) / top : undefined,
  }));
  const delta = measure && {
    key: "change",
    label: t("ranking.changeOf", { measure: measureName(measure) }),
    numeric: true,
    value: (row) => changed(row).amount,
    cell: (row) => changeNode(changed(row)),
  };
  const rank = { key: "rank", label: t("ranking.rank"), numeric: true, cell: (_, index) => count(index + 1) };
  return delta ? [rank, store, ...figures, delta] : [rank, store];
}

function draw(onPick) {
  const { measures, answer } = shown;
  const rows = answer.ranking.map((row) => ({ ...row, id: row.store_id }));
  table.columns(columns(measures, rows, onPick));
  table.show(rows, all ? Infinity : FIRST);
  const more = $("ranking-all");
  more.hidden = rows.length <= FIRST;
  more.textContent = all ? t("ranking.showLess", { n: FIRST }) : t("ranking.showAll", { n: rows.length });
  more.setAttribute("aria-expanded", String(all));
}

/** Shows the stores of an answer; `onPick` is called with the id of a store chosen in it. */
export function showRanking(measures, answer, onPick) {
  table ??= new SortedTable($("ranking-table"), { key: "sales", descending: true }, () => draw(onPick));
  shown = { measures, answer };
  $("ranking-all").onclick = () => {
    all = !all;
    draw(onPick);
  };
  draw(onPick);
}
