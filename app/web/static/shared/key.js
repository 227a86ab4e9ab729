// The caller's key: asked for in a dialog, kept in this tab's session storage and nowhere else.

import { byId, h } from "./elements.js";

const NAME = "vision-proxy.key";
const SENDABLE = /^[\x21-\x7e]+$/; // what a header can hold

/** @type {Set<() => void>} */
const watchers = new Set();

/** The headers that a request needs. */
export function keyHeaders() {
  const key = sessionStorage.getItem(NAME);
  return key === null ? {} : { "x-api-key": key };
}

/**
 * Calls back whenever the key has changed.
 *
 * @param {() => void} watcher
 */
export function onKey(watcher) {
  watchers.add(watcher);
}

/**
 * Asks for a key; the reason says why one is needed.
 *
 * @param {string} [reason]
 */
export function askForKey(reason = "") {
  const dialog = byId("key-dialog");
  byId("key-reason").textContent = reason;
  if (dialog.open) return; // whoever is typing goes on typing
  byId("key-input").value = "";
  dialog.showModal();
}

/** Puts the dialog into the page and the button that opens it to work. */
export function startKeyEntry() {
  document.body.append(keyDialog());
  byId("key-button").addEventListener("click", () => askForKey());
  label();
}

function keyDialog() {
  const close = () => byId("key-dialog").close();
  const input = h("input", {
    id: "key-input",
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    "aria-describedby": "key-reason key-note",
  });
  const save = (/** @type {Event} */ event) => {
    event.preventDefault();
    const key = input.value.trim();
    if (key !== "" && !SENDABLE.test(key)) {
      byId("key-reason").textContent = "a key has plain letters, digits and signs alone, without a space between";
      return;
    }
    if (key !== "") keep(key);
    close();
  };
  const forget = () => {
    keep(null);
    close();
  };
  return h(
    "dialog",
    { id: "key-dialog", class: "dialog dialog-small", "aria-labelledby": "key-title" },
    h(
      "form",
      { onsubmit: save },
      h("h2", { id: "key-title" }, "Your key"),
      h("p", { id: "key-reason", class: "error-text", role: "alert" }),
      h("label", { for: "key-input" }, "Key of this service"),
      input,
      h("p", { id: "key-note", class: "note" }, "Kept in this tab until you close it, sent to this service only."),
      h(
        "div",
        { class: "row" },
        h("button", { class: "primary" }, "Use this key"),
        h("button", { type: "button", onclick: forget }, "Forget the key"),
        h("button", { type: "button", class: "quiet", onclick: close }, "Cancel"),
      ),
    ),
  );
}

/** @param {string | null} key */
function keep(key) {
  if (key === null) sessionStorage.removeItem(NAME);
  else sessionStorage.setItem(NAME, key);
  label();
  for (const watcher of watchers) watcher();
}

function label() {
  byId("key-button").textContent = sessionStorage.getItem(NAME) === null ? "Enter a key" : "Key entered";
}
