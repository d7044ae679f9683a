// The key figures: one tile per measure.

import { changeNode } from "./change.js";
import { $, el, hidden, svg } from "./dom.js";
import { change, format, measureName } from "./format.js";
import { t } from "./words.js";

const tiles = new Map();
let built = null; // the names for which they were built

/** A line of the daily values; a day without a value is a gap. */
function sparkline(values) {
  const known = values.filter((value) => typeof value === "number");
  const low = Math.min(...known);
  const span = Math.max(...known) - low || 1;
  const step = 100 / Math.max(1, values.length - 1);
  let path = "";
  let pen = "M";
  values.forEach((value, index) => {
    if (typeof value !== "number") {
      pen = "M";
      return;
    }
    path += `${pen}${(index * step).toFixed(2)} ${(22 - (20 * (value - low)) / span).toFixed(2)}`;
    pen = "L";
  });
  return svg("path", { d: path });
}

/** How many letters wide a text is: Chinese characters take the room of two. */
const width = (text) => [...text].reduce((sum, letter) => sum + (letter > "\u2e80" ? 2 : 1), 0);

function build(measures, onPick) {
  tiles.clear();
  $("tiles").replaceChildren(
    ...measures.map((measure) => {
      const name = measureName(measure);
      const tile = {
        button: el("button", { type: "button", onclick: () => onPick(measure.name) }, name,
          hidden(` ${t("tiles.show", { measure: name })}`)),
        value: el("strong", { class: "tile-value" }),
        change: el("span", { class: "tile-change" }),
        was: el("span", { class: "tile-was" }),
        line: svg("svg", { class: "spark", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" }),
      };
      tile.item = el("li", { class: "tile", "data-measure": measure.name },
        tile.button, tile.value, el("span", { class: "tile-foot" }, tile.change, tile.was), tile.line);
      tiles.set(measure.name, tile);
      return tile.item;
    }),
  );
}

/** Shows the totals of an answer; `picked` is the measure of the trend. */
export function showTiles(measures, answer, picked, onPick) {
  const names = measures.map((measure) => `${measure.name} ${t("tiles.show", { measure: measureName(measure) })}`).join();
  if (names !== built) build(measures, onPick);
  built = names;
  const absent = answer.covered === 0 ? t("tiles.notYet") : t("tiles.noValue");
  for (const measure of measures) {
    const tile = tiles.get(measure.name);
    const { value = null, previous = null } = answer.totals[measure.name] ?? {};
    const found = change(measure, value, previous);
    tile.item.dataset.value = value ?? "";
    tile.item.dataset.previous = previous ?? "";
    tile.item.dataset.verdict = found.verdict;
    tile.value.textContent = value === null ? absent : format(measure, value, "tile");
    const wide = width(tile.value.textContent);
    tile.value.classList.toggle("long", wide > 8);
    tile.value.style.setProperty("--chars", wide);
    tile.value.title = value === null ? "" : format(measure, value);
    tile.value.classList.toggle("absent", value === null);
    tile.change.replaceChildren(previous === null ? "" : changeNode(found));
    tile.was.textContent = previous === null
      ? t("tiles.noPrevious")
      : t("tiles.was", { value: format(measure, previous, "tile") });
    tile.was.title = previous === null ? "" : format(measure, previous);
    const daily = answer.daily[measure.name] ?? [];
    tile.line.toggleAttribute("hidden", daily.length < 2); // one day is no line
    tile.line.replaceChildren(sparkline(daily));
  }
  markTile(picked);
}

/** Marks the tile whose trend is shown. */
export function markTile(picked) {
  for (const [name, { button, item }] of tiles) {
    button.setAttribute("aria-pressed", String(name === picked));
    item.classList.toggle("picked", name === picked);
  }
}
