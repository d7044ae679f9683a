// How a figure changed: an arrow, the size, words for those who see neither arrow nor colour.

import { el, hidden } from "./dom.js";
import { changeWords } from "./format.js";
import { t } from "./words.js";

const ARROWS = { up: "▲", down: "▼", same: "=" };

/** The node that shows a `change` of `format.js`. */
export function changeNode(found) {
  if (found.direction === null) return el("span", { class: "change neutral" }, "–", hidden(changeWords(found)));
  const verdict = { good: "change.good", bad: "change.bad" }[found.verdict];
  const words = changeWords(found);
  return el("span", { class: `change ${found.verdict}`, "data-direction": found.direction },
    el("span", { "aria-hidden": "true" }, `${ARROWS[found.direction]} ${found.size}`),
    hidden(verdict ? t("change.judged", { change: words, verdict: t(verdict) }) : words));
}
