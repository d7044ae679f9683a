// Tokens: one to read figures, one to change state. Kept here, typed in a dialogue.

import { $ } from "./dom.js";
import { named, t } from "./words.js";

const KINDS = ["read", "change"];
const own = new Map(); // what is known where storage is forbidden
const key = (kind) => `samovar-token-${kind}`;

function stored(kind) {
  try {
    return sessionStorage.getItem(key(kind)) ?? localStorage.getItem(key(kind));
  } catch {
    return null;
  }
}

/** The tokens that may serve for a kind of request, the likeliest first: who may change may read. */
export function knownTokens(kind) {
  const kinds = kind === "read" ? KINDS : KINDS.toReversed();
  return [...new Set(kinds.map((each) => own.get(each) ?? stored(each)).filter(Boolean))];
}

/** Keeps a token until the tab is closed, or on this device. */
function keepToken(kind, token, remember) {
  own.set(kind, token);
  try {
    (remember ? localStorage : sessionStorage).setItem(key(kind), token);
    (remember ? sessionStorage : localStorage).removeItem(key(kind));
  } catch {
    // The token then lives as long as the page.
  }
}

/** Forgets the token of a kind: the server does not take it any more. */
export function forgetToken(kind) {
  own.delete(kind);
  try {
    sessionStorage.removeItem(key(kind));
    localStorage.removeItem(key(kind));
  } catch {
    // Nothing was kept.
  }
}

let asking = null; // { done: a promise of whether a token was given }
let attempt = async () => true;
let kindAsked = "read";

function complain(text) {
  $("token-error").textContent = text;
  if (text) $("token").setAttribute("aria-invalid", "true");
  else $("token").removeAttribute("aria-invalid");
}

/**
 * Shows the dialogue for a kind of token; whether one was given. Each that is typed goes to `attempted`, which says
 * whether the server takes it; the dialogue stays until it does, or the reader gives up. One serves all who wait.
 */
export function askForToken(kind, attempted) {
  if (asking) return asking.done;
  const dialog = $("token-dialog");
  attempt = attempted;
  kindAsked = kind;
  $("token-title").textContent = named("token.title", kind, "");
  $("token-text").textContent = named("token.text", kind, "");
  $("token").value = "";
  complain("");
  dialog.returnValue = "";
  asking = {};
  asking.done = new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      asking = null;
      $("token").value = "";
      resolve(dialog.returnValue === "given");
    }, { once: true });
  });
  dialog.showModal();
  $("token").focus();
  return asking.done;
}

async function submit() {
  const token = $("token").value.trim();
  const dialogue = asking;
  if (!dialogue || $("token-form").ariaBusy === "true") return;
  if (token === "") {
    complain(t("token.missing"));
    $("token").focus();
    return;
  }
  $("token-form").ariaBusy = "true";
  let right = false;
  try {
    right = await attempt(token);
  } catch {
    complain(t("notice.lost.title"));
    return;
  } finally {
    $("token-form").ariaBusy = "false";
  }
  if (right) keepToken(kindAsked, token, $("token-remember").checked);
  if (asking !== dialogue) return; // given up meanwhile
  if (right) {
    $("token-dialog").close("given");
    return;
  }
  complain(t("token.wrong"));
  $("token").select();
}

/** Wires the dialogue. */
export function setUpToken() {
  $("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  $("token").addEventListener("input", () => complain(""));
  $("token-cancel").addEventListener("click", () => $("token-dialog").close(""));
}
