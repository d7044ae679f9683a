// Light or dark: the system's preference, unless the reader has chosen.

import { $ } from "./dom.js";
import { t } from "./words.js";

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = [];

const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);

/** Calls `listener` when the colours have changed; a canvas does not follow by itself. */
export const onTheme = (listener) => listeners.push(listener);

/** Says what the switch does. */
export function labelTheme() {
  const label = dark() ? t("theme.toLight.label") : t("theme.toDark.label");
  $("theme").setAttribute("aria-label", label);
  $("theme").title = label;
}

function changed() {
  labelTheme();
  for (const listener of listeners) listener();
}

/** Wires the switch. */
export function setUpTheme() {
  $("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try {
      localStorage.setItem("samovar-theme", root.dataset.theme);
    } catch {
      // Storage may be forbidden; the choice then lives as long as the page.
    }
    changed();
  });
  system.addEventListener("change", changed);
  changed();
}
