// What the page says around the figures: phase, progress, problems, what is going on.

import { $ } from "./dom.js";
import { percent } from "./format.js";
import { t } from "./words.js";

function progress(bar, done, total) {
  if (total > 0) {
    bar.max = total;
    bar.value = done;
  } else bar.removeAttribute("value");
}

/** Shows how far the server is: `generating`, `warming` or `warm`. */
export function showPhase({ phase, generating, warming, trouble }) {
  document.body.dataset.phase = phase;
  const warm = { warm: warming?.stores_warm ?? 0, total: warming?.stores_total ?? 0 };
  const pill = $("warm-state");
  pill.dataset.state = phase;
  if (phase === "generating") pill.textContent = t("state.generating");
  else pill.textContent = phase === "warming" ? t("state.warming", warm) : t("state.warm");

  $("preparing").hidden = phase !== "generating";
  if (phase === "generating") {
    const { done = 0, total = 0 } = generating ?? {};
    progress($("preparing-progress"), done, total);
    $("preparing-text").textContent =
      total > 0 ? t("preparing.progress", { done, total, percent: percent(done / total) }) : t("preparing.begin");
  }
  $("warming").hidden = phase !== "warming";
  if (phase === "warming") {
    progress($("warming-progress"), warm.warm, warm.total);
    $("warming-text").textContent = t("warming.text", warm);
    $("warming-trouble").textContent = trouble ? t("warming.trouble", { trouble: String(trouble) }) : "";
  }
}

/** The server does not answer. */
export function showLost() {
  $("warm-state").dataset.state = "lost";
  $("warm-state").textContent = t("state.lost");
}

/** A notice above the figures; `retry` and `reset` offer the buttons. */
export function showNotice({ kind, title, text, retry = false, reset = false }) {
  const notice = $("notice");
  notice.dataset.kind = kind;
  $("retry").hidden = !retry;
  $("reset").hidden = !reset;
  if (notice.hidden || $("notice-title").textContent !== title) $("notice-title").textContent = title;
  if ($("notice-text").textContent !== text) $("notice-text").textContent = text;
  notice.hidden = false;
}

/** Takes the notice away. */
export function clearNotice() {
  $("notice").hidden = true;
}

/**
 * The notice for a `Problem`: what failed was a `refresh`, or a question (then it is asked again
 * where that may help); `kept` if the last figures stay below it.
 */
export function showProblem(problem, { refresh, kept }) {
  const { status, message, field, found, allowed } = problem;
  const kinds = { 0: "lost", 401: "denied" };
  const kind = kinds[status] ?? (status < 500 ? "refused" : "failed");
  const titles = {
    lost: t("notice.lost.title"),
    denied: t("notice.denied.title"),
    refused: t("notice.refused.title"),
    failed: t("notice.failed.title"),
  };
  const sentences = [];
  if (refresh && kind !== "denied") sentences.push(t("notice.refresh"));
  if (kind === "lost" && !refresh) sentences.push(t("notice.lost.text"));
  if (kind === "denied") sentences.push(t("notice.denied.text"));
  if (field && allowed) {
    sentences.push(t("notice.refused.field", { field, found: String(found ?? ""), allowed: String(allowed) }));
  } else if (kind === "refused" || kind === "failed") {
    sentences.push(sentence(message) || t("notice.status", { status: String(status) }));
  }
  if (kept) sentences.push(t("notice.kept"));
  showNotice({
    kind, title: titles[kind], text: sentences.join(" "), retry: kind !== "refused", reset: kind === "refused",
  });
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
