// Days that stand out, each with its reason, and the rule by which they do.

import { $, el } from "./dom.js";
import { day, format, list, measureName, percent, score, weekday } from "./format.js";
import { t } from "./words.js";

const signed = { signDisplay: "exceptZero" };

/** `Intl` writes the hyphen of the keyboard for a minus. */
const minus = (text) => text.replace("-", "\u2212");

function reason({ date, value, expected, score: found, compared }) {
  const words = { score: minus(score(found, signed)), n: compared, weekday: weekday(date) };
  // Nothing grows by a share of nothing.
  if (expected === 0) return t("standouts.reasonFromNone", words);
  return t("standouts.reason", { ...words, change: minus(percent((value - expected) / Math.abs(expected), signed)) });
}

function sentence(found, measures) {
  const measure = measures.find(({ name }) => name === found.measure) ?? { name: found.measure };
  return t("standouts.day", {
    day: day(found.date),
    measure: measureName(measure),
    value: format(measure, found.value, "cell"),
    expected: format(measure, found.expected, "cell"),
    weekday: weekday(found.date),
    reason: reason(found),
  });
}

/** The rule in words. Without names of its own it looks at the dataset's first measure. */
function rule({ measures: names, min_score: least, min_change: change, min_days: n }, measures) {
  const watched = names.length > 0 ? names : measures.slice(0, 1).map(({ name }) => name);
  const called = watched.map((name) => measureName(measures.find((each) => each.name === name) ?? { name }));
  return t("standouts.rule", { measures: list(called), change: percent(change), score: score(least), n });
}

function note({ judged, found, days }) {
  if (found === null) return t("standouts.notLooked");
  if (judged === 0) return t("standouts.notJudged");
  if (found === 0) return t("standouts.nothing");
  return found > days.length ? t("standouts.more", { n: found - days.length }) : "";
}

/** Shows the days of an answer that stand out; `measures` in the dataset's order. */
export function showStandouts({ standouts }, measures) {
  $("standouts").hidden = !standouts;
  if (!standouts) return;
  const { days, rules } = standouts;
  $("standouts").dataset.found = standouts.found ?? "";
  $("standouts-list").hidden = days.length === 0;
  $("standouts-list").replaceChildren(
    ...days.map((found) =>
      el("li", { "data-date": found.date, "data-measure": found.measure, class: found.score > 0 ? "up" : "down" },
        sentence(found, measures))),
  );
  $("standouts-note").textContent = note(standouts);
  $("standouts-rule").textContent = rule(rules, measures);
}
