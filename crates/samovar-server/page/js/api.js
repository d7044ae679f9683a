// The server's doors. Every failure is a `Problem`, every answer brings its proof.

import { encodeStores } from "./selection.js";

/** What the server refused, or that it could not be reached (`status` 0). */
export class Problem extends Error {
  constructor(status, error = {}) {
    super(error.message ?? "");
    this.status = status;
    this.code = error.code ?? "";
    this.field = error.field;
    this.found = error.found;
    this.allowed = error.allowed;
  }
}

const TOKEN = "samovar-token";
let token = null;
let askForToken = async () => null;

/** `ask` is called when the server wants a token; it yields one, or null. */
export function onTokenWanted(ask) {
  askForToken = ask;
}

function knownToken() {
  try {
    return token ?? sessionStorage.getItem(TOKEN);
  } catch {
    return token;
  }
}

function keepToken(value) {
  token = value;
  try {
    if (value === null) sessionStorage.removeItem(TOKEN);
    else sessionStorage.setItem(TOKEN, value);
  } catch {
    // Storage may be forbidden; the token then lives as long as the page.
  }
}

async function send(path, options, signal) {
  const headers = { ...options.headers };
  const known = knownToken();
  if (known) headers.Authorization = `Bearer ${known}`;
  try {
    // `no-cache` asks each time, with the ETag: equal bytes cost a 304.
    return await fetch(path, { cache: "no-cache", ...options, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0);
  }
}

async function call(path, options, signal) {
  let answer = await send(path, options, signal);
  if (answer.status === 401) {
    keepToken(null);
    const given = await askForToken();
    if (given) {
      keepToken(given);
      answer = await send(path, options, signal);
      if (answer.status === 401) keepToken(null);
    }
  }
  let body = null;
  try {
    body = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (answer.ok) throw new Problem(0);
  }
  if (!answer.ok) throw new Problem(answer.status, body?.error);
  return { body, headers: answer.headers };
}

/** What there is to ask about, and how warm it is. */
export const dataset = async (signal) => (await call("api/dataset", {}, signal)).body;

/** The figures of a selection with their proof. */
export async function diagnosis(selection, { incomplete = false } = {}, signal) {
  const query = [
    `stores=${encodeStores(selection.stores)}`,
    `from=${selection.from}`,
    `to=${selection.to}`,
  ];
  if (incomplete) query.push("incomplete=allow");
  const { body, headers } = await call(`api/diagnosis?${query.join("&")}`, {}, signal);
  return { ...body, proof: proof(headers) };
}

/** The same, read from the source again; `guarded` if that takes a token. */
export async function refresh(selection, guarded, signal) {
  if (guarded && !knownToken()) {
    const given = await askForToken();
    if (!given) throw new Problem(401);
    keepToken(given);
  }
  const { stores, from, to } = selection;
  const options = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ stores, from, to }),
  };
  const { body, headers } = await call("api/refresh", options, signal);
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
