// Composes the page: what is selected, what is asked when, what is shown.

import { dataset, diagnosis, Problem, refresh } from "./api.js";
import { ageBreakdown, retellBreakdown, setUpBreakdown, showBreakdown } from "./breakdown.js";
import { setDates, setUpDates, lastDays, showDates } from "./dates.js";
import { $ } from "./dom.js";
import { change, changeWords, format, list, measureName, range, setMoney } from "./format.js";
import { setUpLanguage } from "./language.js";
import { showProducts } from "./products.js";
import { showProof, stateOf } from "./proof.js";
import { showRanking } from "./ranking.js";
import { address, readAddress, same } from "./selection.js";
import { OWN, readShape, resolve, shapeAddress, shapeOf } from "./shape.js";
import { showStandouts } from "./standouts.js";
import {
  announce, clearNotice, repeatNotice, repeatPhase, showAway, showBusy, showNotice, showPhase, showProblem, showRefreshing,
} from "./status.js";
import { choosing, setStores, setUpStores, showStores, storesName } from "./stores.js";
import { labelTheme, setUpTheme } from "./theme.js";
import { markTile, showTiles } from "./tiles.js";
import { setUpToken } from "./token.js";
import { readTrail, showTrail, trailAddress } from "./trail.js";
import { setUpTrend, showTrend } from "./trend.js";
import { fillWords, loadWords, t } from "./words.js";

const POLL = 1000; // ms between looks at the warm-up
const BACKOFF = [1000, 2000, 4000, 8000, 10_000];
const PROOF_TICK = 15_000; // ms after which the age shown is counted on
const OLD = 60_000; // ms after which a page that is looked at again asks again

let data = null; // what /api/dataset said last
let selection = null; // { stores, from, to }
let shape = OWN; // what was chosen of the breakdown
let trail = []; // the steps that narrowed the selection, each { selection, shape } as it was before
let answer = null; // the answer shown
let answered = null; // its selection, whether it was asked as incomplete, and when it came
let request = null; // the one request for figures under way: { controller, kind }
let picked = "sales"; // the measure of the trend
let later = 0; // the timer of the next quiet question
let failed = null; // the kind of the question that failed last
let tries = 0; // quiet questions in a row, for the back-off

// The measures that every shop has come first, in this order; a dataset's own follow in its order.
const ORDER = ["sales", "orders", "profit", "margin", "average_order_value", "delivery_mean", "delivery_p95"];
const rank = ({ name }) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
const measures = () => (data.measures ?? []).toSorted((a, b) => rank(a) - rank(b));

// ── Asking ──────────────────────────────────────────────────────────────────────────────────

/**
 * Puts one question; it ends the one before, so answers never overtake each other. `kind`: `ask`
 * (the reader chose something), `quiet` (the page itself asks again), `refresh`.
 */
async function put(kind) {
  clearTimeout(later);
  request?.controller.abort();
  const own = { controller: new AbortController(), kind };
  request = own;
  const { signal } = own.controller;
  const asked = { ...selection, incomplete: data.phase !== "warm" && kind !== "refresh" };
  showBusy(kind === "quiet" ? "quiet" : "ask");
  showRefreshing(kind === "refresh");
  try {
    const found = kind === "refresh" ? await refresh(asked, signal) : await diagnosis(asked, asked, signal);
    if (request !== own) return;
    answered = { ...asked, at: Date.now() };
    answer = found;
    show(kind);
  } catch (error) {
    if (request !== own) return;
    if (!(error instanceof Problem)) throw error;
    fail(error, kind);
  } finally {
    if (request === own) {
      request = null;
      showBusy(null);
      showRefreshing(false);
    }
  }
}

function ask(kind) {
  if (kind !== "quiet") tries = 0;
  if (!data || data.phase === "generating" || !selection) return;
  if (selection.stores.length === 0) {
    request?.controller.abort();
    request = null;
    clearTimeout(later);
    showBusy(null);
    showRefreshing(false);
    hideAnswer();
    showNotice({ kind: "none", title: "notice.none.title", text: "notice.none.text", reset: true });
    return;
  }
  put(kind);
}

function askLater() {
  clearTimeout(later);
  const wait = BACKOFF[Math.min(tries, BACKOFF.length - 1)];
  tries += 1;
  later = setTimeout(() => {
    if (!request) ask("quiet");
  }, wait);
}

function fail(problem, kind) {
  if (problem.code === "preparing") {
    hideAnswer();
    watch();
    return;
  }
  const kept = answer !== null && same(answered, selection);
  if (!kept) hideAnswer();
  failed = kind;
  showProblem(problem, { refresh: kind === "refresh", kept });
  // The server may only be restarting; what it refused, it would refuse again.
  const passing = problem.status === 0 || problem.status === 503;
  if (passing && kind !== "refresh") askLater();
  showAway(problem);
}

// ── Showing ─────────────────────────────────────────────────────────────────────────────────

function hideAnswer() {
  answer = null;
  $("answer").hidden = true;
  $("answer").dataset.state = "none";
}

function pick(name) {
  picked = name;
  markTile(name);
  showTrend(measures(), answer, name);
}

function show(kind) {
  clearNotice();
  showPhase(data);
  draw();
  if (kind !== "quiet") announceAnswer(kind);
  follow(stateOf(answer));
}

/** What an answer is about, in words. */
function subject() {
  const { selection: named } = answer;
  const from = named?.from ?? answered.from;
  const to = named?.to ?? answered.to;
  return { named, period: range(from, to), stores: storesName(answered.stores) };
}

const shownMeasures = () => measures().filter(({ name }) => name in answer.totals);

/** Draws the answer. */
function draw() {
  const { named, period, stores } = subject();
  const state = stateOf(answer);
  $("answer").hidden = false;
  Object.assign($("answer").dataset, { state, digest: answer.digest ?? "", stores: answer.store_count ?? "" });
  $("answer-title").textContent = stores;
  $("answer-period").textContent = named?.previous_from
    ? t("answer.period", { period, previous: range(named.previous_from, named.previous_to) })
    : period;
  document.title = t("title", { stores, period });

  const known = shownMeasures();
  if (!known.some(({ name }) => name === picked)) picked = known[0]?.name;
  showTiles(known, answer, picked, pick);
  showProof(answer, measures());
  if (picked) showTrend(known, answer, picked);
  showStandouts(answer, data.measures ?? []);
  showRanking(known, answer, (id) => narrow({ stores: [id] }));
  $("stores-all").hidden = answered.stores === "all";
  showProducts(data.products === false ? null : answer.products, measures().some(({ name }) => name === "profit"));
  drawBreakdown();
  if (!choosing()) showStores(selection.stores, answer.ranking.map(({ store_id: id }) => id));
}

/** What the breakdown comes to for a selection. */
const resolved = (of) => resolve(shape, of, data, names());

/** Draws the breakdown of the answer; where the answer stays what it was, so does the breakdown. */
function drawBreakdown() {
  const { stores, from, to, incomplete } = answered;
  showBreakdown({
    data, incomplete, measures: measures(), selection: { stores, from, to }, shape: resolved(answered),
    stamp: `${answer.digest} ${stateOf(answer)}`,
  });
}

function announceAnswer(kind) {
  const { period, stores } = subject();
  const figures = shownMeasures().slice(0, 3).map((measure) => {
    const { value, previous } = answer.totals[measure.name];
    return t("answer.figure", {
      measure: measureName(measure),
      value: format(measure, value, "tile"),
      change: changeWords(change(measure, value, previous)),
    });
  });
  const said = t("answer.announce", { stores, period, figures: list(figures), state: $("proof").querySelector("p").textContent });
  announce(kind === "refresh" ? `${t("refresh.done")} ${said}` : said);
}

/** Asks again by itself until the answer is fresh and the server warm. */
function follow(state) {
  const warmNow = data.phase === "warm" && answered.incomplete; // the final answer is yet to come
  const settled = state !== "stale" && state !== "incomplete" && answer.proof.refreshing === 0 && !warmNow;
  // While the server warms up, its progress (`watch`) says when to ask again.
  if (settled || data.phase === "warming") tries = 0;
  else askLater();
}

// ── The selection ───────────────────────────────────────────────────────────────────────────

const opening = () => ({ stores: "all", ...lastDays(28, data.dates) });

function showSelection() {
  showStores(selection.stores, same(answered, selection) ? answer?.ranking.map(({ store_id: id }) => id) : undefined);
  showDates(selection);
  showTrail(trail, selection, stepBack);
}

const here = () => address(selection) + shapeAddress(shape) + trailAddress(trail);
const names = () => measures().map(({ name }) => name);

/** Takes a selection and a shape of the breakdown into the address, and shows them. */
function go(wanted, wantedShape, steps) {
  const [other, before] = [!same(wanted, selection), here()];
  [selection, shape, trail] = [wanted, wantedShape, steps];
  showSelection();
  if (here() === before) return;
  history.pushState(null, "", here());
  if (other) ask("ask");
  else if (answer) drawBreakdown();
}

/** Changes the selection; the way that led here ends. */
function choose(part) {
  if (!selection) return;
  const wanted = { ...selection, ...part };
  go(wanted, shape, same(wanted, selection) ? trail : []);
}

/** Changes the breakdown: its dimensions, its measures or its order. */
function chooseShape(part) {
  const { by, measures: chosen } = resolved(selection);
  go(selection, shapeOf({ by, measures: chosen, order: shape.order, ...part }, selection, data, names()), trail);
}

/** Narrows the selection to a store or a day, which is then broken down further; the way back is kept. */
function narrow(part) {
  const wanted = { ...selection, ...part };
  // The first stores of a day are not those of the whole period.
  const ranked = typeof wanted.stores === "string" && wanted.stores !== "all";
  if (part.from && ranked) wanted.stores = answer.ranking.map(({ store_id: id }) => id);
  const shorter = data.products ? ["product"] : ["store_id"];
  const by = wanted.from === wanted.to ? shorter : ["date"];
  const found = shapeOf({ by, measures: resolved(selection).measures, order: null }, wanted, data, names());
  go(wanted, found, same(wanted, selection) ? trail : [...trail, { selection, shape }]);
}

function stepBack(at) {
  const step = trail[at];
  go(step.selection, step.shape, trail.slice(0, at));
}

function readSelection() {
  selection = { ...opening(), ...readAddress() };
  shape = readShape();
  trail = readTrail();
  showSelection();
}

// ── The server's phase ──────────────────────────────────────────────────────────────────────

let watching = false;
let lost = 0;

/** Follows the server from preparing to warm, and asks whenever there is more to see. */
async function watch() {
  if (watching) return;
  watching = true;
  for (;;) {
    try {
      const found = await dataset();
      if (lost > 0) clearNotice();
      lost = 0;
      take(found);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      showAway(error);
      showProblem(error, { refresh: false, kept: answer !== null });
      if (!data) enable(false);
      if (error.status === 401) break; // asked again when the reader wants to give the token
      lost += 1;
    }
    if (lost === 0 && data.phase === "warm" && data.dates) break;
    await new Promise((resolve) => {
      setTimeout(resolve, lost === 0 ? POLL : BACKOFF[Math.min(lost, BACKOFF.length) - 1]);
    });
  }
  watching = false;
}

/** There is nothing to select before there are data. */
function enable(ready) {
  if ($("refresh").disabled !== ready) return;
  for (const control of $("selection").elements) control.disabled = !ready;
}

function take(found) {
  const before = data;
  data = found;
  setMoney(data.currency, measures().find(({ unit }) => unit === "money")?.decimals);
  $("dataset-name").textContent = data.name ?? "";
  showPhase(data);
  setStores(data.stores ?? []);
  const ready = data.phase !== "generating" && Boolean(data.dates);
  enable(ready);
  if (!ready) {
    hideAnswer();
    if (data.phase === "warm") showNotice({ kind: "none", title: "notice.empty.title", text: "notice.empty.text" });
    else clearNotice();
    return;
  }
  setDates(data.dates);
  if (!selection) {
    readSelection();
    history.replaceState(null, "", here());
    ask("ask");
    return;
  }
  if (before?.phase === "generating") showSelection();
  if (request) return; // it is not cut off; the next look asks
  const warmer = before?.warming?.stores_warm !== data.warming?.stores_warm || before?.phase !== data.phase;
  if (!answer || (answered.incomplete && warmer)) ask("quiet");
}

// ── Wiring ──────────────────────────────────────────────────────────────────────────────────

/** Says everything again, in the language that was chosen. */
function redraw() {
  fillWords();
  labelTheme();
  repeatPhase();
  if (data) setStores(data.stores ?? [], true);
  showRefreshing(request?.kind === "refresh");
  if (selection) showSelection();
  if (answer) draw();
  retellBreakdown();
  repeatNotice();
}

function setUp() {
  setUpTheme();
  setUpLanguage(redraw);
  setUpToken();
  setUpStores((stores) => choose({ stores }));
  setUpDates((dates) => choose(dates));
  setUpTrend(pick, announce);
  setUpBreakdown(chooseShape, narrow);
  $("selection").addEventListener("submit", async (event) => {
    event.preventDefault();
    if (request?.kind === "refresh" || !selection || selection.stores.length === 0) return;
    await put("refresh");
    watch(); // a refresh may have brought stores or days
  });
  $("stores-all").addEventListener("click", () => choose({ stores: "all" }));
  $("retry").addEventListener("click", () => {
    watch();
    if (selection && failed === "refresh") put("refresh");
    else ask("ask");
  });
  $("reset").addEventListener("click", () => choose(opening()));
  addEventListener("popstate", () => {
    if (!data?.dates) return;
    readSelection();
    if (answer && !request && same(answered, selection)) drawBreakdown();
    else ask("ask");
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible" && answer && !request && Date.now() - answered.at > OLD) ask("quiet");
  });
  setInterval(() => {
    if (!answer) return;
    showProof(answer, measures(), (Date.now() - answered.at) / 1000);
    ageBreakdown();
  }, PROOF_TICK);
}

await loadWords();
fillWords();
setUp();
showBusy(null);
repeatPhase();
watch();
