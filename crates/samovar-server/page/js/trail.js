// The way that led here, from many stores down to the products of a day, and back.

import { $, el } from "./dom.js";
import { day, range } from "./format.js";
import { storesName } from "./stores.js";
import { t } from "./words.js";

const period = ({ from, to }) => (from === to ? day(from) : range(from, to));

/** What a selection adds to the one before it. */
function label(selection, before) {
  const stores = String(selection.stores) === String(before?.stores) ? null : storesName(selection.stores);
  const days = before && before.from === selection.from && before.to === selection.to ? null : period(selection);
  return stores && days ? t("trail.both", { stores, period: days }) : (stores ?? days ?? "");
}

/** Shows the `steps` that led to a `selection`, each `{ selection }`; `onStep` is called with the number of one chosen. */
export function showTrail(steps, selection, onStep) {
  const place = $("trail");
  const focused = place.contains(document.activeElement);
  place.hidden = steps.length === 0;
  const before = (at) => steps[at - 1]?.selection;
  $("trail-steps").replaceChildren(
    ...steps.map((step, at) =>
      el("li", {}, el("button", { type: "button", class: "link", onclick: () => onStep(at) }, label(step.selection, before(at))))),
    el("li", { tabindex: "-1", "aria-current": "location" }, label(selection, before(steps.length))),
  );
  if (focused) focusTrail();
}

/** Puts the focus where the way has led to. */
export const focusTrail = () => $("trail").querySelector("[aria-current]")?.focus();
