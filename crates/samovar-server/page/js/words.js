// The table of words of the reader's language. No other module holds a sentence.

const LANGUAGES = ["en"];

let words = {};
let plurals = new Intl.PluralRules("en");
let numbers = new Intl.NumberFormat("en");

/** Loads the table of the first language of the reader's that there is. */
export async function loadWords() {
  const wanted = navigator.languages.map((tag) => tag.split("-")[0]);
  const language = wanted.find((tag) => LANGUAGES.includes(tag)) ?? LANGUAGES[0];
  const answer = await fetch(`page/words/${language}.json`);
  if (!answer.ok) throw new Error(`words: status ${answer.status}`);
  words = await answer.json();
  plurals = new Intl.PluralRules(language);
  numbers = new Intl.NumberFormat(navigator.languages);
  document.documentElement.lang = language;
}

/**
 * The words of `key` with `{name}` replaced from `values`. A number `n` chooses the plural;
 * numbers are written in the reader's format.
 */
export function t(key, values = {}) {
  const entry = words[key];
  if (entry === undefined) return key;
  const text = typeof entry === "string" ? entry : (entry[plurals.select(values.n)] ?? entry.other);
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    if (value === undefined) return whole;
    return typeof value === "number" ? numbers.format(value) : value;
  });
}

/** The words of `group.name` for a name that comes from the data; `fallback` if there are none. */
export function named(group, name, fallback, values) {
  const key = `${group}.${name}`;
  return key in words ? t(key, values) : fallback;
}

/** Fills every element that names its words: `data-t`, `data-t-label`, `-placeholder`, `-title`. */
export function fillWords() {
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  const attributes = { label: "aria-label", placeholder: "placeholder", title: "title" };
  for (const [name, attribute] of Object.entries(attributes)) {
    for (const node of document.querySelectorAll(`[data-t-${name}]`)) {
      node.setAttribute(attribute, t(node.getAttribute(`data-t-${name}`)));
    }
  }
}
