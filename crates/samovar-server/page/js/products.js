// Product health: five groups, the rule of each, and their products.

import { changeNode } from "./change.js";
import { $, el } from "./dom.js";
import { change, count, format, percent, plain } from "./format.js";
import { SortedTable } from "./table.js";
import { named, t } from "./words.js";

const HEALTHS = ["star", "steady", "declining", "low_margin", "dead"];
const SIGNS = { star: "★", steady: "●", declining: "▼", low_margin: "◔", dead: "✕" };
const MONEY = { unit: "money" };
const RATIO = { unit: "ratio" };
const COUNT = { unit: "count" };

let table = null;
let shown = null;
let group = "all";

const sign = (health) => el("span", { class: `sign ${health}`, "aria-hidden": "true" }, SIGNS[health] ?? "●");
const word = (health) => named("health", health, plain(health));

/** One threshold in words; its sign chooses them: sales fell, grew, or are nought. */
function threshold(name, value) {
  if (name === "min_growth" && value > 0) return t("rule.grew", { n: percent(value) });
  if (name === "max_growth" && value < 0) return t("rule.fell", { n: percent(-value) });
  if (name === "max_orders" && value === 0) return t("rule.unsold");
  return named("rule", name, `${plain(name)}: ${amount(name, value)}`, { n: amount(name, value) });
}

function amount(name, value) {
  if (name.endsWith("growth")) return percent(value, { signDisplay: "exceptZero" });
  if (name.endsWith("margin") || name.endsWith("share")) return percent(value);
  return name.endsWith("sales") ? format(MONEY, value) : count(value);
}

/** Thresholds in words (none of margins where there is no profit); a lower and an upper one of the same kind make one phrase. */
function phrases(thresholds) {
  const left = new Map(
    Object.entries(thresholds ?? {}).filter(
      ([name, value]) => typeof value === "number" && (shown.profit || !name.endsWith("margin")),
    ),
  );
  const parts = [];
  for (const [kind, key] of [["growth", "rule.between_growth"], ["margin", "rule.between_margin"]]) {
    const [low, high] = [`min_${kind}`, `max_${kind}`];
    if (!left.has(low) || !left.has(high)) continue;
    parts.push(t(key, { low: amount(low, left.get(low)), high: amount(high, left.get(high)) }));
    left.delete(low);
    left.delete(high);
  }
  return [...parts, ...[...left].map(([name, value]) => threshold(name, value))];
}

/** The rule of a group as a sentence with its thresholds. */
function rule(health, thresholds) {
  const parts = phrases(thresholds);
  if (parts.length === 0) return named("rule.plain", health, "");
  const rules = parts.reduce((first, second) => t("rule.both", { first, second }));
  return named("rule.text", health, rules, { rules });
}

function groupButton(health, label, number, sentence) {
  return el("button", {
    type: "button", class: "group", "data-health": health, "aria-pressed": String(group === health),
    onclick: () => {
      group = health;
      for (const node of $("product-groups").children) {
        node.setAttribute("aria-pressed", String(node.dataset.health === group));
      }
      drawTable();
    },
  },
  health === "all" ? null : sign(health),
  el("span", { class: "group-name" }, label),
  el("span", { class: "group-count" }, count(number)),
  sentence ? el("span", { class: "group-rule" }, sentence) : null);
}

function columns(items) {
  const has = (field) => items.some((item) => typeof item[field] === "number");
  const figure = (field, label, measure) => ({
    key: field, label, numeric: true,
    value: (item) => item[field] ?? null,
    cell: (item) => format(measure, item[field], "cell"),
  });
  const changed = (item) => change(MONEY, item.sales, item.previous_sales);
  const text = (field, label, cell) => ({ key: field, label, value: (item) => item[field], cell });
  return [
    text("product", t("products.product"), (item) => item.product),
    items.some((item) => item.category) && text("category", t("products.category"), (item) => item.category ?? "–"),
    {
      key: "health", label: t("products.health"),
      value: (item) => HEALTHS.indexOf(item.health),
      cell: (item) => el("span", { class: "health" }, sign(item.health), word(item.health)),
    },
    figure("sales", t("products.sales"), MONEY),
    {
      key: "growth", label: t("ranking.change"), numeric: true,
      value: (item) => changed(item).amount,
      cell: (item) => changeNode({ ...changed(item), verdict: verdict(changed(item)) }),
    },
    has("profit") && figure("profit", t("products.profit"), MONEY),
    has("margin") && figure("margin", t("products.margin"), RATIO),
    has("orders") && figure("orders", t("products.orders"), COUNT),
    has("lines") && figure("lines", t("products.lines"), COUNT),
    has("share") && {
      ...figure("share", t("products.share"), RATIO),
      cell: (item) => (typeof item.share === "number" ? percent(item.share, { minimumFractionDigits: 2, maximumFractionDigits: 2 }) : "–"),
    },
  ].filter(Boolean);
}

const verdict = ({ direction }) => ({ up: "good", down: "bad" })[direction] ?? "neutral";

function drawTable() {
  const { items, counts } = shown;
  const rows = items
    .filter((item) => group === "all" || item.health === group)
    .map((item) => ({ ...item, id: item.product }));
  table.columns(columns(items));
  table.show(rows);
  const total = group === "all"
    ? Object.values(counts).reduce((sum, each) => sum + each, 0)
    : (counts[group] ?? rows.length);
  $("products-note").textContent = rows.length < total ? t("products.note", { shown: rows.length, n: total }) : "";
}

/** Shows the products of an answer; nothing where the dataset has none. `profit`: whether it knows profits. */
export function showProducts(products, profit) {
  $("products").hidden = !products;
  if (!products) return;
  table ??= new SortedTable($("products-table"), { key: "sales", descending: true });
  shown = { items: products.items ?? [], counts: products.counts ?? {}, profit };
  const extra = Object.keys(shown.counts).filter((health) => !HEALTHS.includes(health));
  const healths = [...HEALTHS, ...extra];
  const total = healths.reduce((sum, health) => sum + (shown.counts[health] ?? 0), 0);
  const focused = $("product-groups").contains(document.activeElement);
  $("product-groups").replaceChildren(
    groupButton("all", t("products.all"), total),
    ...healths.map((health) =>
      groupButton(health, word(health), shown.counts[health] ?? 0, rule(health, products.rules?.[health]))),
  );
  if (focused) $("product-groups").querySelector("[aria-pressed=true]")?.focus();
  drawTable();
}
