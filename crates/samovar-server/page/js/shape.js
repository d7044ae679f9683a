// The shape of the breakdown: by which dimensions, which measures, in which order. It lives in the page's address; what
// is as the page itself would choose it is left out there, and null here.

import { decodeList, encodeList, parameters } from "./parameters.js";

const DIMENSIONS = ["store_id", "date", "product", "category"];
const FIRST = 4; // measures shown unless others are chosen

/** Nothing chosen: all as the page chooses. */
export const OWN = { by: null, measures: null, order: null };

const equal = (a, b) => a.join("\n") === b.join("\n");

/** The dimensions that a dataset has. */
export const dimensions = ({ products, categories }) =>
  DIMENSIONS.filter((name) => (name !== "product" || products) && (name !== "category" || categories));

/** Many stores are broken down to stores, one to days, one day of one to products. */
function ownBy({ stores, from, to }, data) {
  const one = Array.isArray(stores) ? stores.length === 1 : data.stores.length === 1;
  if (!one) return ["store_id"];
  return from === to && data.products ? ["product"] : ["date"];
}

/** Days stand in their order, all else from the largest down. */
const ownOrder = (by, measures) =>
  by.includes("date") ? { key: by[0], descending: false } : { key: measures[0], descending: true };

/** What a shape comes to for a selection: `{ by, measures, order }`; `names` are those of all measures. */
export function resolve(shape, selection, data, names) {
  const known = dimensions(data);
  const by = shape.by ? known.filter((name) => shape.by.includes(name)) : ownBy(selection, data);
  const chosen = names.filter((name) => shape.measures?.includes(name));
  const measures = chosen.length > 0 ? chosen : names.slice(0, FIRST);
  const columns = [...by, ...measures];
  const order = shape.order && columns.includes(shape.order.key) ? shape.order : ownOrder(by, measures);
  return { by, measures, order };
}

/** The shape that comes to what was chosen, with null for what the page would choose itself. */
export function shapeOf({ by, measures, order }, selection, data, names) {
  const own = ownOrder(by, measures);
  const kept = order && [...by, ...measures].includes(order.key);
  return {
    by: equal(by, ownBy(selection, data)) ? null : by,
    measures: equal(measures, names.slice(0, FIRST)) ? null : measures,
    order: !kept || (order.key === own.key && order.descending === own.descending) ? null : order,
  };
}

/** An order as the server and the address write it. */
export const orderText = ({ key, descending }) => (descending ? "-" : "") + encodeURIComponent(key);

/** The part of the address that names a shape. */
export function shapeAddress({ by, measures, order }) {
  return (by ? `&by=${encodeList(by)}` : "") + (measures ? `&measures=${encodeList(measures)}` : "") +
    (order ? `&order=${orderText(order)}` : "");
}

/** The shape that the address names; what it garbles is as the page would choose it. */
export function readShape(search = location.search) {
  const found = { ...OWN };
  for (const [name, text] of parameters(search)) {
    try {
      if (name === "by") found.by = decodeList(text);
      if (name === "measures") found.measures = decodeList(text);
      if (name === "order" && text) {
        const descending = text.startsWith("-");
        found.order = { key: decodeURIComponent(descending ? text.slice(1) : text), descending };
      }
    } catch {
      // A broken percent sequence names nothing.
    }
  }
  return found;
}
