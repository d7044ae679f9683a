// Numbers, money, dates and changes in the format of the page's language.

import { locale, named, t } from "./words.js";

const DAY = 86_400_000;

let currency = "USD";
let decimals = 2;

/** The dataset's currency (ISO 4217) and the digits of its smallest unit. */
export function setMoney(code, digits) {
  currency = code;
  decimals = digits ?? decimals;
}

const made = new Map();

/** `Intl` formatters are dear to make and cheap to keep. */
function formatter(Kind, options) {
  const key = Kind.name + locale + currency + JSON.stringify(options);
  let found = made.get(key);
  if (!found) made.set(key, (found = new Kind(locale, options)));
  return found;
}

const number = (options) => formatter(Intl.NumberFormat, options);

function money(value, digits, options = {}) {
  const shape = digits === undefined ? options : { minimumFractionDigits: digits, maximumFractionDigits: digits };
  try {
    return number({ style: "currency", currency, ...shape }).format(value);
  } catch {
    return `${number(shape).format(value)} ${currency}`; // not a currency that Intl knows
  }
}

/**
 * A value of a measure, `exact`; or for a `cell` of a table (no cents from a thousand on), for a
 * `tile` (from a million on the leading digits alone) or for an `axis` (from ten thousand on).
 */
export function format(measure, value, place = "exact") {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  let compact = null;
  if (place === "tile" && size >= 1e6) compact = { minimumSignificantDigits: 4, maximumSignificantDigits: 4 };
  if (place === "axis" && size >= 1e4) compact = { maximumSignificantDigits: 3 };
  switch (measure.unit) {
    case "money":
      if (compact) return money(value, undefined, { notation: "compact", ...compact });
      if ((place !== "exact" && size >= 1000) || (place === "axis" && Number.isInteger(value))) return money(value, 0);
      return money(value, measure.decimals ?? decimals);
    case "ratio":
      return percent(value, { minimumFractionDigits: 1 });
    case "minutes":
      return number({
        style: "unit", unit: "minute", maximumFractionDigits: 1, minimumFractionDigits: place === "axis" ? 0 : 1,
      }).format(value);
    default:
      if (compact) return number({ notation: "compact", ...compact }).format(value);
      return number({ maximumFractionDigits: measure.decimals ?? (Number.isInteger(value) ? 0 : 1) }).format(value);
  }
}

/** A plain number. */
export const count = (value) => number({}).format(value);

/** A score, to one digit. */
export const score = (value, options = {}) =>
  number({ minimumFractionDigits: 1, maximumFractionDigits: 1, ...options }).format(value);

/** A share or a growth in percent, with the digits it has and no more than one. */
export const percent = (value, options = {}) =>
  number({ style: "percent", maximumFractionDigits: 1, ...options }).format(value);

/** Milliseconds in words: `3.2 ms`, `1.4 s`. */
export function duration(ms) {
  const [value, unit] = ms < 1000 ? [ms, "millisecond"] : [ms / 1000, "second"];
  return number({ style: "unit", unit, maximumFractionDigits: value < 100 ? 1 : 0 }).format(value);
}

/** Seconds that have passed, in words: `4 seconds ago`. */
export function ago(seconds) {
  const words = formatter(Intl.RelativeTimeFormat, { numeric: "auto" });
  if (seconds < 90) return words.format(-Math.round(seconds), "second");
  if (seconds < 5400) return words.format(-Math.round(seconds / 60), "minute");
  if (seconds < 129_600) return words.format(-Math.round(seconds / 3600), "hour");
  return words.format(-Math.round(seconds / 86_400), "day");
}

/** A moment, in the reader's own zone. */
export const moment = (iso) =>
  formatter(Intl.DateTimeFormat, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(iso));

// Days of the data have no zone: they are read and written as UTC, so none can shift them.
const days = (options) => formatter(Intl.DateTimeFormat, { timeZone: "UTC", ...options });
const parse = (iso) => new Date(`${iso}T00:00:00Z`);

/** A day: `Mon, Feb 2, 2026`. */
export const day = (iso) =>
  days({ weekday: "short", day: "numeric", month: "short", year: "numeric" }).format(parse(iso));

/** The day of the week: `Monday`. */
export const weekday = (iso) => days({ weekday: "long" }).format(parse(iso));

/** A day on an axis: `Feb 2`. `seconds` since 1970. */
export const dayShort = (seconds) =>
  days({ day: "numeric", month: "short" }).format(new Date(seconds * 1000));

/** A range of days: `Feb 2 – Mar 1, 2026`. */
export const range = (from, to) =>
  days({ day: "numeric", month: "short", year: "numeric" }).formatRange(parse(from), parse(to));

/** The day `n` days after `iso`. */
export const addDays = (iso, n) => new Date(parse(iso).getTime() + n * DAY).toISOString().slice(0, 10);

/** Seconds since 1970 of a day's beginning in UTC. */
export const seconds = (iso) => parse(iso).getTime() / 1000;

/** A list in words: `a, b, and c`. */
export const list = (items) => formatter(Intl.ListFormat, { type: "conjunction" }).format(items);

/** How two texts of the data are ordered, numbers in them by their value. */
export const byText = (a, b) => formatter(Intl.Collator, { numeric: true }).compare(a, b);

/** What a measure is called. */
export const measureName = (measure) =>
  measure.label ?? named("measure", measure.name, plain(measure.name));

/** A name of the data in readable form: `litres_sold` becomes `Litres sold`. */
export function plain(name) {
  const text = String(name).replaceAll("_", " ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/**
 * How a value changed: `direction` (up, down, same, or null where there is nothing to compare),
 * its `size` in words, and the `verdict` (good, bad, or neutral) by what is better.
 * Ratios change by percentage points: "margin up 10 %" would leave open of what.
 */
export function change(measure, value, previous) {
  const none = { direction: null, size: "", verdict: "neutral", amount: null };
  if (typeof value !== "number" || typeof previous !== "number") return none;
  let amount, size;
  if (measure.unit === "ratio") {
    amount = value - previous;
    size = t("change.points", {
      n: number({ maximumFractionDigits: 1, minimumFractionDigits: 1 }).format(Math.abs(amount * 100)),
    });
    if (Math.abs(amount) < 0.0005) amount = 0;
  } else {
    if (previous === 0) return value === 0 ? { ...none, direction: "same", size: percent(0), amount: 0 } : none;
    amount = (value - previous) / Math.abs(previous);
    size = percent(Math.abs(amount), { minimumFractionDigits: 1 });
    if (Math.abs(amount) < 0.0005) amount = 0;
  }
  const direction = amount > 0 ? "up" : amount < 0 ? "down" : "same";
  let verdict = "neutral";
  if (direction !== "same" && measure.better) verdict = direction === measure.better ? "good" : "bad";
  return { direction, size, verdict, amount };
}

/** A change in words: `up 3.2%`. */
export function changeWords({ direction, size }) {
  if (direction === "up") return t("change.up", { size });
  if (direction === "down") return t("change.down", { size });
  return direction === "same" ? t("change.same") : t("tiles.noPrevious");
}
