// The daily trend: a chart, and the same as a table.

import { $, el } from "./dom.js";
import { day, dayShort, format, measureName, range, seconds } from "./format.js";
import { onTheme } from "./theme.js";
import { t } from "./words.js";

const HEIGHT = 240;
const LABEL_WIDTH = 72; // px that a day's label needs on the axis

let chart = null;
let shown = null; // { measure, dates, values, strange }: `strange` are the dates that stand out
let at = null; // index of the day read out by keyboard

/** The colours of the theme; the canvas needs them resolved. */
function colours() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name);
  return {
    line: colour("--accent"), text: colour("--muted"), grid: colour("--line"), fill: colour("--accent-soft"),
    mark: colour("--bad"), ground: colour("--card"),
  };
}

function scaleY(measure) {
  // Sums begin at nought, so that heights can be compared; rates show their changes.
  const fromZero = measure.unit === "money" || measure.unit === "count";
  return (_, low, high) => {
    if (low === null || high === null) return [0, 1];
    if (fromZero) return [Math.min(0, low * 1.08), Math.max(0, high * 1.08) || 1];
    return uPlot.rangeNum(low, high, 0.2, false);
  };
}

function options({ measure, dates }, width) {
  const { line, text, grid, fill, mark, ground } = colours();
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: text, font, ticks: { show: false } };
  const every = Math.max(1, Math.ceil(dates.length / Math.max(2, Math.floor((width - 70) / LABEL_WIDTH))));
  return {
    width,
    height: HEIGHT,
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 9, fill: line } },
    scales: {
      x: { time: false, range: (_, low, high) => (low === high ? [low - 43_200, high + 43_200] : [low, high]) },
      y: { range: scaleY(measure) },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 34,
        gap: 9,
        splits: (self) => self.data[0].filter((_, index) => index % every === 0),
        values: (_, splits) => splits.map(dayShort),
      },
      {
        ...axis,
        size: (_, values) => 18 + 7 * Math.max(3, ...(values ?? []).map((value) => value.length)),
        grid: { stroke: grid, width: 1 },
        space: 44,
        values: (_, splits) => splits.map((value) => format(measure, value, "axis")),
      },
    ],
    series: [
      {},
      { stroke: line, fill, width: 2, points: { show: dates.length <= 31, size: 5, fill: line } },
      // Days that stand out: rings, and no line between them.
      { paths: () => null, points: { show: true, size: 11, width: 2.5, stroke: mark, fill: ground } },
    ],
    hooks: { setCursor: [(self) => readOut(self.cursor.idx)] },
  };
}

function draw() {
  const place = $("trend-chart");
  chart?.destroy();
  chart = null;
  const width = place.clientWidth;
  if (!shown || width === 0) return;
  chart = new uPlot(options(shown, width), [shown.dates.map(seconds), shown.values, marked(shown)], place);
}

/** The values of the days that stand out. */
const marked = ({ dates, values, strange }) => values.map((value, index) => (strange.has(dates[index]) ? value : null));

function point(index) {
  const words = { day: day(shown.dates[index]), value: format(shown.measure, shown.values[index]) };
  return shown.strange.has(shown.dates[index]) ? t("trend.pointStandout", words) : t("trend.point", words);
}

function readOut(index) {
  const known = shown && typeof index === "number" && index < shown.dates.length;
  $("trend-readout").textContent = known ? point(index) : "";
}

function summary({ measure, dates, values }) {
  const words = { measure: measureName(measure), period: range(dates[0], dates.at(-1)) };
  let low = -1;
  let high = -1;
  values.forEach((value, index) => {
    if (typeof value !== "number") return;
    if (low < 0 || value < values[low]) low = index;
    if (high < 0 || value > values[high]) high = index;
  });
  if (low < 0) return t("trend.nothing", words);
  return t("trend.summary", {
    ...words,
    low: format(measure, values[low]),
    lowDay: day(dates[low]),
    high: format(measure, values[high]),
    highDay: day(dates[high]),
  });
}

function table({ measure, dates, values }) {
  if (!$("trend-details").open) return;
  const head = el("tr", {},
    el("th", { scope: "col" }, t("trend.date")),
    el("th", { scope: "col", class: "num" }, measureName(measure)));
  const rows = dates.map((date, index) =>
    el("tr", { "data-date": date },
      el("th", { scope: "row" }, day(date)),
      el("td", { class: "num" }, format(measure, values[index]))));
  $("trend-table").replaceChildren(el("thead", {}, head), el("tbody", {}, ...rows));
}

/** Shows one measure of an answer by day. */
export function showTrend(measures, answer, picked) {
  const picker = $("trend-measure");
  const names = measures.map((measure) => `${measure.name} ${measureName(measure)}`).join();
  if (picker.dataset.names !== names) {
    picker.dataset.names = names;
    picker.replaceChildren(...measures.map((measure) => el("option", { value: measure.name }, measureName(measure))));
  }
  picker.value = picked;
  const measure = measures.find(({ name }) => name === picked);
  const dates = answer.daily.date;
  const strange = (answer.standouts?.days ?? []).filter((each) => each.measure === picked);
  shown = {
    measure, dates, values: answer.daily[picked] ?? dates.map(() => null),
    strange: new Set(strange.map(({ date }) => date)),
  };
  at = null;
  readOut(null);
  $("trend-chart").dataset.measure = picked;
  $("trend-chart").dataset.marks = marked(shown).filter((value) => value !== null).length;
  $("trend-chart").setAttribute("aria-label", dates.length > 0 ? summary(shown) : t("table.empty"));
  draw();
  table(shown);
}

/** Wires the chart; `announce` speaks to screen readers. */
export function setUpTrend(onPick, announce) {
  $("trend-measure").addEventListener("change", (event) => onPick(event.target.value));
  $("trend-details").addEventListener("toggle", () => shown && table(shown));
  let width = 0;
  new ResizeObserver(([entry]) => {
    const now = Math.round(entry.contentRect.width);
    if (now === width) return;
    width = now;
    draw();
  }).observe($("trend-chart"));
  onTheme(draw);
  $("trend-chart").addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    const step = steps[event.key];
    if (step === undefined || !chart) return;
    event.preventDefault();
    const last = shown.dates.length - 1;
    at = Math.min(last, Math.max(0, at === null ? (step < 0 ? last : 0) : at + step));
    const top = chart.valToPos(shown.values[at] ?? 0, "y");
    chart.setCursor({ left: chart.valToPos(chart.data[0][at], "x"), top });
    announce(point(at));
  });
}
