// All rows of a question as one CSV file.

import { Problem, queryCsv } from "./api.js";

const MAX = 1_000_000; // rows; no spreadsheet takes more
const TRIES = 3; // beginnings, if the data change between the pages

/** Records in a text of CSV: line ends within quotes are part of a value. */
function records(text) {
  let found = 0;
  text.split('"').forEach((part, index) => {
    if (index % 2 === 0) found += part.split("\n").length - 1;
  });
  return found;
}

/** The rows of all pages: `{ parts, rows }`. `progress` is told how many there are so far. */
async function pages(question, signal, progress) {
  const parts = [];
  let rows = 0;
  let next = null;
  do {
    const page = await queryCsv(question, next, signal);
    const body = page.text.indexOf("\n") + 1;
    parts.push(next ? page.text.slice(body) : page.text); // one line of names is enough
    rows += records(page.text) - 1;
    if (rows > MAX) throw new TooMany();
    progress(rows);
    next = page.next;
  } while (next);
  return { parts, rows };
}

/** There are more rows than one file may hold. */
export class TooMany extends Error {
  limit = MAX;
}

/** Fetches all rows of a question and saves them as a file of this name; how many there were. */
export async function saveCsv(question, name, signal, progress) {
  for (let tries = 1; ; tries += 1) {
    try {
      const { parts, rows } = await pages(question, signal, progress);
      save(parts, name);
      return rows;
    } catch (error) {
      if (!(error instanceof Problem) || error.code !== "changed" || tries === TRIES) throw error;
    }
  }
}

function save(parts, name) {
  // The mark tells spreadsheets that this is UTF-8; without it they garble Chinese.
  const address = URL.createObjectURL(new Blob(["\ufeff", ...parts], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000); // the browser may still be reading it
}
