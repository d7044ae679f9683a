// The selection: which stores, which days. It lives in the page's address.

/** Stores are `"all"`, `"top:N"`, or a list of ids; an empty list is a selection of none. */
export function encodeStores(stores) {
  // A comma inside an id is percent-encoded by this, so the commas between ids stay apart.
  return typeof stores === "string" ? stores : stores.map(encodeURIComponent).join(",");
}

function decodeStores(text) {
  if (text === "all" || /^top:[1-9]\d*$/.test(text)) return text;
  return text === "" ? [] : text.split(",").map(decodeURIComponent);
}

const isDay = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text));

/** What the address names; what it lacks or garbles is left out. */
export function readAddress(search = location.search) {
  const found = {};
  for (const part of search.slice(1).split("&")) {
    const at = part.indexOf("=");
    if (at < 0) continue;
    const name = part.slice(0, at);
    const text = part.slice(at + 1);
    try {
      if (name === "stores") found.stores = decodeStores(text.replace(/^top%3A/i, "top:"));
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
