// Asks for the token that a guarded server wants.

import { $ } from "./dom.js";

let asking = null;

/** Shows the dialogue; yields what was typed, or null. */
export function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = $("token-dialog");
    $("token").value = "";
    dialog.returnValue = "";
    dialog.addEventListener("close", () => {
      asking = null;
      resolve(dialog.returnValue === "given" ? $("token").value : null);
    }, { once: true });
    dialog.showModal();
    $("token").focus();
  });
  return asking;
}

/** Wires the dialogue. */
export function setUpToken() {
  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    $("token-dialog").close("given");
  });
  $("token-cancel").addEventListener("click", () => $("token-dialog").close(""));
}
