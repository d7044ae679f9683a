// The switch between the languages. What is chosen is remembered.

import { $ } from "./dom.js";
import { language, loadWords } from "./words.js";

function mark() {
  for (const button of $("languages").children) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language()));
  }
}

/** Wires the switch; `redraw` says everything again. */
export function setUpLanguage(redraw) {
  $("languages").addEventListener("click", async ({ target }) => {
    const name = target.closest("button")?.dataset.language;
    if (!name) return;
    try {
      if (!(await loadWords(name))) return;
    } catch {
      return; // the server is away, which the page tells by itself
    }
    try {
      localStorage.setItem("samovar-language", document.documentElement.lang);
    } catch {
      // Storage may be forbidden; the choice then lives as long as the page.
    }
    mark();
    redraw();
  });
  mark();
}
