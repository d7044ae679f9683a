// The range of days: two inputs and presets counted from the data's last day.

import { $, debounce } from "./dom.js";
import { addDays, range } from "./format.js";
import { t } from "./words.js";

let known = null; // { first, last } of the data

/** The last `days` days of the data, or all of them. */
export function lastDays(days, { first, last } = known) {
  const from = days === "all" ? first : addDays(last, 1 - days);
  return { from: from < first ? first : from, to: last };
}

function problem(from, to) {
  if (!from || !to) return t("dates.missing");
  if (from > to) return t("dates.order");
  // Half a year typed (0002) is a valid date: the data's own range tells it from a meant one.
  if (known && (to < known.first || from > known.last || from < known.first || to > known.last)) {
    return t("dates.outside", { period: range(known.first, known.last) });
  }
  return "";
}

function complain(text) {
  $("date-error").textContent = text;
  for (const id of ["from", "to"]) {
    if (text) $(id).setAttribute("aria-invalid", "true");
    else $(id).removeAttribute("aria-invalid");
  }
}

/** The days that the dataset has. */
export function setDates(dates) {
  known = dates;
  for (const id of ["from", "to"]) {
    $(id).min = dates.first;
    $(id).max = dates.last;
  }
}

/** Shows a range. */
export function showDates({ from, to }) {
  $("from").value = from;
  $("to").value = to;
  complain("");
  for (const button of $("date-presets").children) {
    const preset = lastDays(days(button));
    button.setAttribute("aria-pressed", String(preset.from === from && preset.to === to));
  }
}

const days = ({ dataset }) => (dataset.days === "all" ? "all" : Number(dataset.days));

/** Wires the inputs; `change` is called with each new range. */
export function setUpDates(change) {
  const commit = debounce(() => {
    const from = $("from").value;
    const to = $("to").value;
    const text = problem(from, to);
    complain(text);
    if (!text) change({ from, to });
  }, 400);
  for (const id of ["from", "to"]) {
    $(id).addEventListener("change", commit);
    $(id).addEventListener("blur", commit.flush);
  }
  $("date-presets").addEventListener("click", ({ target }) => {
    if (!target.dataset.days || !known) return;
    commit.cancel();
    change(lastDays(days(target)));
  });
}
