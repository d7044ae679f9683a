// The chooser of stores: search, presets, and a list of boxes that holds thousands.

import { $, debounce, el, hidden } from "./dom.js";
import { list } from "./format.js";
import { t } from "./words.js";

let stores = []; // { store_id, name, warm }
let rows = new Map(); // store_id → { item, box, text }
let chosen = new Set();
let touched = false;
let onChange = () => {};

const commit = debounce(() => {
  const ids = stores.map(({ store_id: id }) => id).filter((id) => chosen.has(id));
  onChange(ids.length === stores.length ? "all" : ids);
}, 250);

/** What a choice of stores is called. */
export function storesName(choice) {
  const total = stores.length;
  if (choice === "all") return t("stores.all", { n: total });
  if (typeof choice === "string") return t("stores.top", { n: Number(choice.slice(4)) });
  if (choice.length === 0) return t("stores.none");
  const names = choice.map((id) => stores.find(({ store_id: each }) => each === id)?.name ?? id);
  return choice.length <= 2 ? list(names) : t("stores.some", { n: choice.length, total });
}

function shownRows() {
  return [...rows.values()].filter(({ item }) => !item.hidden);
}

function countShown() {
  $("store-count").textContent = t("chooser.shown", { n: shownRows().length, chosen: chosen.size });
}

// One box alone can be reached by Tab; the arrow keys move among them, so a list of thousands is
// one stop, not thousands.
function makeStop(box) {
  for (const { box: each } of rows.values()) each.tabIndex = -1;
  if (box) box.tabIndex = 0;
}

function search() {
  const wanted = fold($("store-search").value.trim());
  for (const { item, text } of rows.values()) item.hidden = !text.includes(wanted);
  makeStop(shownRows()[0]?.box);
  countShown();
}

// "rio nandu" finds "Río Ñandú".
const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

function build() {
  rows = new Map(
    stores.map(({ store_id: id, name }) => {
      const box = el("input", { type: "checkbox", value: id, tabindex: "-1" });
      const cold = el("span", { class: "cold", title: t("chooser.cold") }, hidden(t("chooser.cold")));
      const item = el("li", { "data-store-id": id }, el("label", {}, box, el("span", {}, name ?? id), cold));
      return [id, { item, box, cold, text: fold(`${name ?? ""} ${id}`) }];
    }),
  );
  $("store-list").replaceChildren(...[...rows.values()].map(({ item }) => item));
  mark();
  search();
}

function mark() {
  for (const [id, { box }] of rows) box.checked = chosen.has(id);
  for (const { store_id: id, warm } of stores) {
    const row = rows.get(id);
    if (row) row.cold.hidden = warm !== false;
  }
  if (rows.size > 0) countShown();
}

function open(wanted) {
  $("stores-panel").hidden = !wanted;
  $("stores-toggle").setAttribute("aria-expanded", String(wanted));
  if (!wanted) {
    commit.flush();
    return;
  }
  if (rows.size === 0) build();
  $("store-search").focus();
}

function close(andFocus) {
  if ($("stores-panel").hidden) return;
  open(false);
  if (andFocus) $("stores-toggle").focus();
}

/** The stores that the dataset has; `anew` builds the list again, in other words. */
export function setStores(found, anew = false) {
  const ids = (all) => all.map(({ store_id: id, name }) => `${id} ${name}`).join("\n");
  const equal = ids(found) === ids(stores);
  stores = found;
  for (const button of $("store-presets").querySelectorAll("[data-stores^='top:']")) {
    const n = Number(button.dataset.stores.slice(4));
    button.textContent = t("chooser.top", { n });
    button.hidden = n >= stores.length;
  }
  if (equal && !anew) mark();
  else if (rows.size > 0 || !$("stores-panel").hidden) build();
}

/** Shows a choice; `answered` are the ids of the stores that an answer named for it. */
export function showStores(choice, answered) {
  $("stores-toggle").textContent = storesName(choice);
  for (const button of $("store-presets").children) {
    const value = button.dataset.stores === "none" ? "" : button.dataset.stores;
    button.setAttribute("aria-pressed", String(value === (choice.length === 0 ? "" : choice)));
  }
  if (choice === "all") chosen = new Set(stores.map(({ store_id: id }) => id));
  else if (typeof choice === "string") chosen = new Set(answered ?? []);
  else chosen = new Set(choice);
  mark();
}

/** Whether boxes were changed that are not committed yet: an answer must not undo them. */
export const choosing = () => touched;

function moveFocus(event) {
  const all = shownRows().map(({ box }) => box);
  const here = all.indexOf(document.activeElement);
  const target = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: all.length - 1 }[event.key];
  if (target === undefined) return;
  event.preventDefault();
  if (target < 0) $("store-search").focus();
  else if (all[target]) {
    makeStop(all[target]);
    all[target].focus();
  }
}

/** Wires the chooser; `change` is called with each new choice. */
export function setUpStores(change) {
  onChange = (choice) => {
    touched = false;
    change(choice);
  };
  const chooser = $("stores-panel").parentElement;
  $("stores-toggle").addEventListener("click", () => open($("stores-panel").hidden));
  $("stores-done").addEventListener("click", () => close(true));
  $("store-search").addEventListener("input", search);
  $("store-search").addEventListener("keydown", (event) => {
    // Enter would send the form, which reads the source again.
    if (event.key === "Enter") event.preventDefault();
    if (event.key === "Enter" || event.key === "ArrowDown") {
      event.preventDefault();
      shownRows()[0]?.box.focus();
    }
  });
  $("store-list").addEventListener("keydown", moveFocus);
  $("store-list").addEventListener("change", ({ target }) => {
    if (target.checked) chosen.add(target.value);
    else chosen.delete(target.value);
    touched = true;
    makeStop(target);
    countShown();
    commit();
  });
  $("store-presets").addEventListener("click", ({ target }) => {
    const preset = target.dataset.stores;
    if (!preset) return;
    commit.cancel();
    onChange(preset === "none" ? [] : preset);
  });
  chooser.addEventListener("keydown", (event) => {
    if (event.key === "Escape") close(true);
  });
  chooser.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget && !chooser.contains(relatedTarget)) close(false);
  });
  document.addEventListener("pointerdown", ({ target }) => {
    if (!chooser.contains(target)) close(false);
  });
}
