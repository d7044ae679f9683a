// The way that led here, from many stores down to the products of a day, and back. It lives in the page's address: each
// step as the address that it had.

import { $, el } from "./dom.js";
import { day, range } from "./format.js";
import { parameters } from "./parameters.js";
import { address, readAddress } from "./selection.js";
import { readShape, shapeAddress } from "./shape.js";
import { storesName } from "./stores.js";
import { t } from "./words.js";

const period = ({ from, to }) => (from === to ? day(from) : range(from, to));

/** What a selection adds to the one before it. */
function label(selection, before) {
  const stores = String(selection.stores) === String(before?.stores) ? null : storesName(selection.stores);
  const days = before && before.from === selection.from && before.to === selection.to ? null : period(selection);
  return stores && days ? t("trail.both", { stores, period: days }) : (stores ?? days ?? "");
}

const MOST = 8; // steps; a way down has two or three

/** The part of the address that names the `steps` that led here, each `{ selection, shape }`. */
export const trailAddress = (steps) => steps
  .map(({ selection, shape }) => (address(selection) + shapeAddress(shape)).slice(1))
  .map((step) => `&trail=${encodeURIComponent(step)}`)
  .join("");

/** The steps that the address names; one that it garbles was none. */
export function readTrail(search = location.search) {
  const steps = parameters(search).filter(([name]) => name === "trail").slice(-MOST).map(([, text]) => {
    try {
      const step = decodeURIComponent(text);
      return { selection: readAddress(step), shape: readShape(step) };
    } catch {
      return null; // a broken percent sequence
    }
  });
  return steps.filter((step) => step?.selection.stores?.length > 0 && step.selection.from && step.selection.to);
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
