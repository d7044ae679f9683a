// The server's doors. Every failure is a `Problem`, every answer brings its proof.

import { encodeList } from "./parameters.js";
import { encodeStores } from "./selection.js";
import { askForToken, forgetToken, knownTokens } from "./token.js";

/** What the server refused, or that it could not be reached (`status` 0). */
export class Problem extends Error {
  constructor(status, error = {}) {
    super(error.message ?? "");
    this.status = status;
    this.code = error.code ?? "";
    this.field = error.field;
    this.found = error.found;
    this.allowed = error.allowed;
    this.need = error.need;
  }
}

async function send(path, options, token, signal) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  try {
    // `no-cache` asks each time, with the ETag: equal bytes cost a 304.
    return await fetch(path, { cache: "no-cache", ...options, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
}

/** Sends with the tokens that are known, one after the other, until one is taken. */
async function sendKnown(need, path, options, signal) {
  const tokens = knownTokens(need);
  let answer = await send(path, options, tokens.shift(), signal);
  while (answer.status === 401 && tokens.length > 0) answer = await send(path, options, tokens.shift(), signal);
  return answer;
}

/**
 * The answer to a request; `need` says which token it takes, if any: to `read`, or to `change`; `form` what its body is:
 * `json` or `text`.
 */
async function call(need, path, options, signal, form = "json") {
  let answer = await sendKnown(need, path, options, signal);
  if (answer.status === 401) {
    forgetToken(need);
    let taken = null;
    const attempt = async (token) => {
      const tried = await send(path, options, token);
      if (tried.status !== 401) taken = tried;
      return taken !== null;
    };
    if (await askForToken(need, attempt)) {
      // Another request's dialogue may have brought the token.
      answer = taken ?? await sendKnown(need, path, options, signal);
    }
  }
  let body = null;
  try {
    body = answer.ok ? await answer[form]() : await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (answer.ok) throw new Problem(0);
  }
  if (!answer.ok) throw new Problem(answer.status, { ...body?.error, need });
  return { body, headers: answer.headers };
}

/** What there is to ask about, and how warm it is. */
export const dataset = async (signal) => (await call("read", "api/dataset", {}, signal)).body;

/** The figures of a selection with their proof. */
export async function diagnosis(selection, { incomplete = false } = {}, signal) {
  const query = [
    `stores=${encodeStores(selection.stores)}`,
    `from=${selection.from}`,
    `to=${selection.to}`,
  ];
  if (incomplete) query.push("incomplete=allow");
  const { body, headers } = await call("read", `api/diagnosis?${query.join("&")}`, {}, signal);
  return { ...body, proof: proof(headers) };
}

/** The address of a question for any measures by any dimensions, from a cursor on. */
function questionPath({ selection: { stores, from, to }, by, measures, order, incomplete, limit }, cursor) {
  const query = [
    `measures=${encodeList(measures)}`, `by=${encodeList(by)}`, `stores=${encodeStores(stores)}`, `from=${from}`, `to=${to}`,
    `order=${order}`, `limit=${limit}`,
  ];
  if (incomplete) query.push("incomplete=allow");
  if (cursor) query.push(`cursor=${cursor}`);
  return `api/query?${query.join("&")}`;
}

/** A page of any measures by any dimensions with its proof. */
export async function query(question, cursor, signal) {
  const { body, headers } = await call("read", questionPath(question, cursor), {}, signal);
  return { ...body, proof: proof(headers) };
}

/** The same as CSV: its `text`, and the cursor of the `next` page. */
export async function queryCsv(question, cursor, signal) {
  const options = { headers: { Accept: "text/csv" } };
  const { body, headers } = await call("read", questionPath(question, cursor), options, signal, "text");
  const next = /[?&]cursor=([^&>]+)[^>]*>; rel="next"/.exec(headers.get("Link") ?? "");
  return { text: body, next: next?.[1] ?? null };
}

/** The same figures as a diagnosis, read from the source again. */
export async function refresh(selection, signal) {
  const { stores, from, to } = selection;
  const options = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ stores, from, to }),
  };
  const { body, headers } = await call("change", "api/refresh", options, signal);
  return { ...body, proof: proof(headers) };
}

/** The proof that stands in the headers of an answer. */
export function proof(headers) {
  const fields = {};
  for (const part of (headers.get("Samovar-Proof") ?? "").split(";")) {
    const at = part.indexOf("=");
    if (at > 0) fields[part.slice(0, at).trim()] = part.slice(at + 1).trim();
  }
  const number = (text) => (text !== undefined && text !== null && text !== "" ? Number(text) : null);
  const took = /\btotal;[^,]*\bdur=([\d.]+)/.exec(headers.get("Server-Timing") ?? "");
  return {
    level: fields.level ?? null,
    tier: fields.tier ?? null,
    state: fields.state ?? "unknown",
    version: fields.version ?? null,
    oldest: fields.oldest ?? null,
    covered: number(fields.covered),
    missing: number(fields.missing),
    refreshing: number(fields.refreshing) ?? 0,
    age: number(headers.get("Age")),
    took: took ? Number(took[1]) : null,
  };
}
