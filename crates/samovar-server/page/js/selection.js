// The selection: which stores, which days. It lives in the page's address.

import { decodeList, encodeList, parameters } from "./parameters.js";

/** Stores are `"all"`, `"top:N"`, or a list of ids; an empty list is a selection of none. */
export const encodeStores = (stores) => (typeof stores === "string" ? stores : encodeList(stores));

function decodeStores(text) {
  const stores = decodeList(text);
  return stores.length === 1 && /^(all|top:[1-9]\d*)$/.test(stores[0]) ? stores[0] : stores;
}

const isDay = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));

/** What the address names; what it lacks or garbles is left out. */
export function readAddress(search = location.search) {
  const found = {};
  for (const [name, text] of parameters(search)) {
    try {
      if (name === "stores") found.stores = decodeStores(text);
      if ((name === "from" || name === "to") && isDay(text)) found[name] = text;
    } catch {
      // A broken percent sequence names no store.
    }
  }
  return found;
}

/** The address of a selection, relative to the page. */
export const address = ({ stores, from, to }) =>
  `?stores=${encodeStores(stores)}&from=${from}&to=${to}`;

/** Whether two selections are the same. */
export const same = (a, b) => Boolean(a && b) && address(a) === address(b);
