// The columns of the breakdown: its dimensions, then its measures.

import { day, format, measureName } from "./format.js";
import { el } from "./dom.js";
import { named, t } from "./words.js";

/** What tells a row from every other. */
export const rowId = (row, by) => by.map((name) => row[name] ?? "").join("|");

/** A name of the data, or that there is none. */
const name = (text) => (text === null ? t("breakdown.without") : el("span", { "data-name": true }, text));

function link(text, only, attributes, onclick) {
  return el("button", { type: "button", class: "link", title: only, "aria-label": only, onclick, ...attributes }, text);
}

/** A store, which leads to that store alone. */
function store(row, narrow) {
  const { store_id: id, store_name: called } = row;
  const text = called ?? id;
  return link(text, t("ranking.only", { store: text }), { "data-store-id": id }, () => narrow({ stores: [id] }));
}

/** A day, which leads to that day alone, of the store beside it if there is one. */
function date(row, narrow) {
  const { date: iso, store_id: id } = row;
  const part = { from: iso, to: iso, ...(id === undefined ? {} : { stores: [id] }) };
  return link(day(iso), t("breakdown.onlyDay", { day: day(iso) }), { "data-date": iso }, () => narrow(part));
}

/** The columns of what was asked, `{ data, measures, shape }`; `narrow` is called with the part of the selection chosen. */
export function breakdownColumns({ data, measures, shape }, narrow) {
  // A day without products is broken down to nothing less.
  const cells = { store_id: store, date: data.products ? date : (row) => day(row.date) };
  const texts = shape.by.map((key) => ({
    key,
    label: named("dimension", key, key),
    value: (row) => row[key],
    cell: (row) => (cells[key] ? cells[key](row, narrow) : name(row[key])),
  }));
  const figures = measures.filter((each) => shape.measures.includes(each.name)).map((each) => ({
    key: each.name,
    label: measureName(each),
    numeric: true,
    value: (row) => row[each.name],
    cell: (row) => format(each, row[each.name], "cell"),
  }));
  return [...texts, ...figures];
}
