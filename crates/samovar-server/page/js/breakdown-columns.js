// The columns of the breakdown: its dimensions, then its measures.

import { day, format, measureName } from "./format.js";
import { el } from "./dom.js";
import { named, t } from "./words.js";

/** What tells a row from every other. */
export const rowId = (row, by) => by.map((name) => row[name] ?? "").join("|");

const CELLS = {
  store_id: (row) => el("span", { "data-store-id": row.store_id }, row.store_name ?? row.store_id),
  date: (row) => day(row.date),
};

/** A name of the data, or that there is none. */
const name = (text) => (text === null ? t("breakdown.without") : el("span", { "data-name": true }, text));

/** The columns of a resolved shape for a table. */
export function breakdownColumns({ by, measures: chosen }, measures) {
  const texts = by.map((key) => ({
    key,
    label: named("dimension", key, key),
    value: (row) => row[key],
    cell: CELLS[key] ?? ((row) => name(row[key])),
  }));
  const figures = measures.filter((each) => chosen.includes(each.name)).map((each) => ({
    key: each.name,
    label: measureName(each),
    numeric: true,
    value: (row) => row[each.name],
    cell: (row) => format(each, row[each.name], "cell"),
  }));
  return [...texts, ...figures];
}
