// The parameters of an address, and the lists in them, as the server reads and writes them.

/** Name and text of each parameter, not decoded. */
export function parameters(search) {
  const parts = search.replace(/^\?/, "").split("&").filter(Boolean);
  return parts.map((part) => /^([^=]*)=?(.*)$/s.exec(part).slice(1));
}

/** Items joined by commas; a comma within one has a backslash before it, and so has a backslash. */
export const encodeList = (items) =>
  items.map((item) => encodeURIComponent(item.replace(/[\\,]/g, "\\$&"))).join(",");

/** The items of a list; commas between them may be encoded. Throws where a percent sequence is broken. */
export function decodeList(text) {
  const parts = decodeURIComponent(text.replaceAll("+", " ")).match(/\\.|./gsu);
  const items = parts ? [""] : [];
  for (const part of parts ?? []) {
    if (part === ",") items.push("");
    else items[items.length - 1] += part.replace(/^\\(?=.)/s, "");
  }
  return items;
}
