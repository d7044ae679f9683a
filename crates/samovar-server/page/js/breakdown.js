// The breakdown: a table of any measures by any dimensions, ordered and cut into pages by the server.

import { Problem, query } from "./api.js";
import { breakdownColumns, rowId } from "./breakdown-columns.js";
import { saveCsv, TooMany } from "./csv.js";
import { $, el } from "./dom.js";
import { measureName } from "./format.js";
import { showProof, stateOf } from "./proof.js";
import { dimensions, orderText } from "./shape.js";
import { problemWords } from "./status.js";
import { SortedTable } from "./table.js";
import { focusTrail } from "./trail.js";
import { named, t } from "./words.js";

const PAGE = 100; // rows
const CSV_PAGE = 10_000;
const AGAIN = [1000, 2000, 4000, 8000, 16_000]; // ms after which what is not fresh is asked again

let table = null;
let asked = null; // what the table is to show: { data, measures, selection, shape, incomplete, stamp }
let shown = null; // what it shows: { asked, rows, next, total, answer, at }
let request = null; // the AbortController of the request under way
let later = 0; // the timer of the next quiet question
let tries = 0; // quiet questions in a row
let saving = null; // that of the download
let say = () => ""; // the words of the note, in the language of the moment
let complain = () => []; // those of the problem
let onShape = () => {};
let onNarrow = () => {};

const place = () => $("breakdown");

function question({ selection, shape, incomplete }) {
  const { by, measures, order } = shape;
  return { selection, by, measures, order: orderText(order), incomplete, limit: PAGE };
}

/** Two that are equal have the same answer. */
const key = (it) => JSON.stringify([question(it), it.stamp]);

function note(words) {
  say = words;
  $("breakdown-note").textContent = say();
}

function trouble(words) {
  complain = words;
  $("breakdown-trouble").replaceChildren(...complain());
}

// ── The choice ──────────────────────────────────────────────────────────────────────────────

/** A button for each name, pressed if it is chosen; a press puts it in or takes it out. */
function toggles(group, names, chosen, label, change, least) {
  const focused = group.contains(document.activeElement) ? document.activeElement.value : null;
  group.replaceChildren(...names.map((name) => {
    const on = chosen.includes(name);
    const fixed = on && chosen.length <= least;
    const press = () => {
      if (!fixed) change(names.filter((each) => (each === name ? !on : chosen.includes(each))));
    };
    return el("button", {
      type: "button", value: name, "aria-pressed": String(on), "aria-disabled": fixed && "true", onclick: press,
    }, label(name));
  }));
  if (focused !== null) [...group.children].find(({ value }) => value === focused)?.focus();
}

function drawChoice() {
  const { data, measures, shape } = asked;
  const called = (name) => measureName(measures.find((each) => each.name === name));
  const dimension = (name) => named("dimension", name, name);
  toggles($("breakdown-by"), dimensions(data), shape.by, dimension, (by) => onShape({ by }), 0);
  toggles($("breakdown-measures"), measures.map(({ name }) => name), shape.measures, called,
    (chosen) => onShape({ measures: chosen }), 1);
}

// ── The table ───────────────────────────────────────────────────────────────────────────────

function draw() {
  const { answer, rows, total, next } = shown;
  const { measures, shape } = shown.asked;
  table.sort = shape.order;
  table.columns(breakdownColumns(shown.asked, narrow));
  table.show(rows.map((row) => ({ ...row, id: rowId(row, shape.by) })));
  showProof(answer, measures, (Date.now() - shown.at) / 1000, $("breakdown-proof"));
  $("breakdown-more").hidden = !next;
  $("breakdown-count").textContent = next
    ? t("breakdown.some", { shown: rows.length, n: total })
    : t("breakdown.rows", { n: total });
  Object.assign(place().dataset, { state: stateOf(answer), rows: rows.length, total });
}

/** What was chosen goes away with its row: the focus goes where it led. */
function narrow(part) {
  onNarrow(part);
  focusTrail();
}

function busy(on) {
  place().setAttribute("aria-busy", String(on));
}

/** Asks again by itself until what is shown is fresh; a reader who went on to further pages is left alone. */
function follow() {
  if (stateOf(shown.answer) === "fresh" || shown.rows.length > PAGE) return;
  later = setTimeout(() => ask(null, true), AGAIN[Math.min(tries, AGAIN.length - 1)]);
  tries += 1;
}

/** Asks for the first page, or for the `next`; `quiet` if the page itself asks again. */
async function ask(next = null, quiet = false) {
  clearTimeout(later);
  request?.abort();
  const own = new AbortController();
  request = own;
  const wanted = asked;
  if (!quiet) busy(true);
  trouble(() => []);
  try {
    const answer = await query(question(wanted), next, own.signal);
    if (request !== own) return;
    const rows = next ? [...shown.rows, ...answer.rows] : answer.rows;
    shown = { asked: wanted, rows, next: answer.next, total: answer.total_rows, answer, at: Date.now() };
    draw();
    follow();
  } catch (error) {
    if (request !== own) return;
    if (!(error instanceof Problem)) throw error;
    if (next && error.code === "changed") {
      note(() => t("breakdown.changed"));
      ask();
      return;
    }
    fail(error);
  } finally {
    if (request === own) {
      request = null;
      busy(false);
    }
  }
}

function fail(problem) {
  place().dataset.state = "failed";
  // Rows of another question must not stand below this one's choice.
  if (shown && key(shown.asked) !== key(asked)) {
    shown = null;
    table.show([]);
    $("breakdown-proof").replaceChildren();
    $("breakdown-more").hidden = true;
    $("breakdown-count").textContent = "";
  }
  const again = () => el("button", { type: "button", onclick: () => ask() }, t("notice.retry"));
  trouble(() => [el("span", {}, ...problemWords(problem)), again()]);
}

/**
 * Shows the breakdown of a selection: `{ data, measures, selection, shape, incomplete, stamp }`, the shape resolved. With
 * another `stamp` the same is asked again.
 */
export function showBreakdown(wanted) {
  const equal = asked && key(asked) === key(wanted);
  asked = wanted;
  drawChoice();
  if (equal && (request || place().dataset.state !== "failed")) return;
  saving?.abort();
  saving = null;
  note(() => "");
  tries = 0;
  ask();
}

/** Says it again, in the language that was chosen. */
export function retellBreakdown() {
  if (!asked) return;
  drawChoice();
  if (shown) draw();
  note(say);
  trouble(complain);
}

/** Counts the age on that its proof tells. */
export function ageBreakdown() {
  if (shown) showProof(shown.answer, shown.asked.measures, (Date.now() - shown.at) / 1000, $("breakdown-proof"));
}

// ── The file ────────────────────────────────────────────────────────────────────────────────

async function download() {
  if (saving || !asked) return;
  const own = new AbortController();
  saving = own;
  const { selection, shape } = asked;
  const name = ["samovar", selection.from, selection.to, ...shape.by].join("_");
  $("breakdown-csv").setAttribute("aria-disabled", "true");
  try {
    const progress = (n) => note(() => t("csv.busy", { n }));
    const all = { ...question(asked), incomplete: false, limit: CSV_PAGE };
    const n = await saveCsv(all, `${name}.csv`, own.signal, progress);
    note(() => t("csv.done", { n }));
  } catch (error) {
    if (own.signal.aborted) return;
    if (error instanceof TooMany) note(() => t("csv.tooMany", { n: error.limit }));
    else if (!(error instanceof Problem)) throw error;
    else if (error.code === "changed") note(() => t("csv.changed"));
    else {
      note(() => "");
      trouble(() => [el("span", {}, ...problemWords(error))]);
    }
  } finally {
    if (saving === own) saving = null;
    $("breakdown-csv").removeAttribute("aria-disabled");
  }
}

/**
 * Wires the breakdown; `change` is called with what is chosen anew: `{ by }`, `{ measures }` or `{ order }`; `narrowed`
 * with the part of the selection that a store or a day stands for.
 */
export function setUpBreakdown(change, narrowed) {
  onShape = change;
  onNarrow = narrowed;
  table = new SortedTable($("breakdown-table"), {}, (order) => onShape({ order }), { ordered: true });
  $("breakdown-more").addEventListener("click", () => {
    if (!request && shown?.next) {
      note(() => "");
      ask(shown.next);
    }
  });
  $("breakdown-csv").addEventListener("click", download);
}
