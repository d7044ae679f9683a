// The table of words of the page's language. No other module holds a sentence.

/** The names of the tables, and the tags of their languages. */
const TAGS = { en: "en", zh: "zh-Hans" };

let words = {};
let plurals = new Intl.PluralRules("en");
let numbers = new Intl.NumberFormat("en");

/** The tag by which `Intl` writes numbers and dates. */
export let locale = "en";

/** The language whose words are shown: `en` or `zh`. */
export const language = () => nameOf(document.documentElement.lang) ?? "en";

const nameOf = (tag) => Object.keys(TAGS).find((name) => TAGS[name] === tag);

let wanted = null; // the language that was asked for last

/** Loads the table of a language, and makes it the page's; false if another was asked for meanwhile. */
export async function loadWords(name = language()) {
  wanted = name;
  const answer = await fetch(`page/words/${name}.json`, { cache: "no-cache" });
  if (!answer.ok) throw new Error(`words: status ${answer.status}`);
  const table = await answer.json();
  if (wanted !== name) return false;
  words = table;
  const tag = TAGS[name];
  locale = ownLocale(tag);
  plurals = new Intl.PluralRules(tag);
  numbers = new Intl.NumberFormat(locale);
  document.documentElement.lang = tag;
  return true;
}

/** The reader's own tag if it is of the same language and script: British dates with English words. */
function ownLocale(tag) {
  const whole = (each) => {
    const { language: spoken, script } = new Intl.Locale(each).maximize();
    return `${spoken}-${script}`;
  };
  return navigator.languages.find((own) => {
    try {
      return whole(own) === whole(tag);
    } catch {
      return false; // a browser may be told any text
    }
  }) ?? tag;
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

/** What stands between two sentences: nothing in Chinese, whose full stop brings its own room. */
export const gap = () => (language() === "zh" ? "" : " ");

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
