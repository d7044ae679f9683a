// The switch between the languages. What is chosen is remembered.

import { $ } from "./dom.js";
import { language, loadWords } from "./words.js";

let wanted = null; // the language that is on its way

function mark() {
  for (const button of $("languages").children) {
    button.setAttribute("aria-pressed", String(button.dataset.language === language()));
  }
}

/** Wires the switch; `redraw` says everything again. */
export function setUpLanguage(redraw) {
  $("languages").addEventListener("click", async ({ target }) => {
    const name = target.closest("button")?.dataset.language;
    if (!name || name === (wanted ?? language())) return;
    wanted = name;
    try {
      await loadWords(name);
    } catch {
      return; // the server is away, which the page tells by itself
    } finally {
      if (wanted === name) wanted = null;
    }
    if (wanted) return; // chosen otherwise meanwhile
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
