// What the page says around the figures: phase, progress, problems, what is going on.

import { $, el } from "./dom.js";
import { percent } from "./format.js";
import { gap, named, t } from "./words.js";

let repeat = () => {}; // says the notice again

function progress(bar, done, total) {
  if (total > 0) {
    bar.max = total;
    bar.value = done;
  } else bar.removeAttribute("value");
}

let shown = { phase: "loading" }; // what the server said of itself last
let away = null; // why it says nothing: `lost`, or `denied`

function showPill() {
  const { phase, warming } = shown;
  const state = away ?? phase;
  const pill = $("warm-state");
  pill.dataset.state = state;
  pill.textContent = named("state", state, "", { warm: warming?.stores_warm ?? 0, total: warming?.stores_total ?? 0 });
}

/** Shows how far the server is: `generating`, `warming` or `warm`. */
export function showPhase(found) {
  shown = found;
  away = null;
  sayPhase();
}

/** Says it again, in other words. */
export const repeatPhase = () => sayPhase();

function sayPhase() {
  const { phase, generating, warming, trouble } = shown;
  document.body.dataset.phase = phase;
  showPill();
  $("preparing").hidden = phase !== "generating";
  if (phase === "generating") {
    const { done = 0, total = 0 } = generating ?? {};
    progress($("preparing-progress"), done, total);
    $("preparing-text").textContent =
      total > 0 ? t("preparing.progress", { done, total, percent: percent(done / total) }) : t("preparing.begin");
  }
  $("warming").hidden = phase !== "warming";
  if (phase === "warming") {
    const warm = { warm: warming?.stores_warm ?? 0, total: warming?.stores_total ?? 0 };
    progress($("warming-progress"), warm.warm, warm.total);
    $("warming-text").textContent = t("warming.text", warm);
    $("warming-trouble").replaceChildren(...(trouble ? [t("warming.trouble"), gap(), said(String(trouble))] : []));
  }
}

/** Words of the server: they are English, whatever the page speaks. */
const said = (text) => el("q", { lang: "en" }, text);

/** A problem of the server as a whole, in the pill: it does not answer, or not without a token. */
export function showAway({ status, need }) {
  if (status === 0) away = "lost";
  else if (status === 401 && need === "read") away = "denied";
  else return;
  showPill();
}

/** A notice above the figures, by the keys of its words; `retry` and `reset` offer the buttons. */
export function showNotice({ kind, title, text, retry, reset }) {
  repeat = () => showNotice({ kind, title, text, retry, reset });
  notify({ kind, title: t(title), text: t(text), retry, reset });
}

function notify({ kind, title, text, retry = null, reset = false }) {
  const notice = $("notice");
  notice.dataset.kind = kind;
  $("retry").hidden = !retry;
  if (retry) $("retry").textContent = t(retry);
  $("reset").hidden = !reset;
  // What stands there already is not said again to screen readers.
  if (notice.hidden || $("notice-title").textContent !== title) $("notice-title").textContent = title;
  const parts = el("span", {}, ...[text].flat());
  if ($("notice-text").textContent !== parts.textContent) $("notice-text").replaceChildren(...parts.childNodes);
  notice.hidden = false;
}

/** Takes the notice away. */
export function clearNotice() {
  $("notice").hidden = true;
  repeat = () => {};
}

/** Says the notice again, in other words. */
export const repeatNotice = () => repeat();

/**
 * The notice for a `Problem`: what failed was a `refresh`, or a question (then it is asked again
 * where that may help); `kept` if the last figures stay below it.
 */
export function showProblem(problem, { refresh, kept }) {
  repeat = () => showProblem(problem, { refresh, kept });
  const { status, need } = problem;
  const kinds = { 0: "lost", 401: "denied" };
  const kind = kinds[status] ?? (status < 500 ? "refused" : "failed");
  const titles = {
    lost: t("notice.lost.title"),
    denied: t("notice.denied.title"),
    refused: refresh ? t("notice.refresh") : t("notice.refused.title"),
    failed: refresh ? t("notice.refresh") : t("notice.failed.title"),
  };
  const sentences = {
    lost: [refresh ? t("notice.refresh") : t("notice.lost.text")],
    denied: [named("notice.denied", need, "")],
    refused: reason(problem),
    failed: reason(problem),
  }[kind];
  if (kept) sentences.push(t("notice.kept"));
  const retry = { refused: null, denied: "notice.give" };
  notify({
    kind,
    title: titles[kind],
    text: sentences.flatMap((each) => [each, gap()]),
    retry: kind in retry ? retry[kind] : "notice.retry",
    reset: kind === "refused" && !refresh,
  });
}

/** A `Problem` in words, for where it stands beside what it is about. */
export function problemWords(problem) {
  const { status, need } = problem;
  if (status === 0) return [t("notice.lost.title")];
  if (status === 401) return [t("notice.denied.title"), gap(), named("notice.denied", need, "")];
  return [status < 500 ? t("notice.refused.title") : t("notice.failed.title"), gap(), ...reason(problem)];
}

/** Why the server refused or failed: a field in the page's own words, else what the server says. */
function reason({ status, message, field, found, allowed }) {
  if (field && allowed) {
    const values = { field, found: String(found ?? ""), allowed: String(allowed) };
    return [named("field", field, t("field.other", values), values)];
  }
  return message ? [t("notice.said"), said(sentence(message))] : [t("notice.status", { status: String(status) })];
}

// The server's message as a sentence of its own.
function sentence(text) {
  if (!text) return "";
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

/** Shows that something is being asked: `ask` (another selection), `quiet`, or null. */
export function showBusy(kind) {
  document.body.dataset.busy = kind ?? "";
  $("answer").setAttribute("aria-busy", String(kind === "ask"));
}

/** The Refresh button while it works. */
export function showRefreshing(busy) {
  const button = $("refresh");
  button.setAttribute("aria-disabled", String(busy));
  button.classList.toggle("spinning", busy);
  button.querySelector("span").textContent = busy ? t("refresh.busy") : t("refresh.label");
}

/** Says something to screen readers. */
export function announce(text) {
  $("announce").textContent = text;
}
