// The pictures as one sees them: a tile each with what became of it, moved and removed by mouse or keys.

import { ApiError, sentence } from "../shared/api.js";
import { byId, h, show } from "../shared/elements.js";
import { bytes, counted, money, pixels } from "../shared/format.js";
import { inspect } from "./inspector.js";
import { move, pictures, remove } from "./pictures.js";
import { retry } from "./prepare.js";

/** @typedef {import("./pictures.js").Picture} Picture */

/** @type {Map<number, HTMLLIElement>} */
const tiles = new Map();
/** @type {Map<number, string>} refusals of requests, beside those of preparing; by picture */
const refusals = new Map();
/** @type {Map<number, number | null>} what each picture costs, once that is known */
const costs = new Map();
/** @type {number | null} */
let dragged = null;

/** Draws the pictures whenever they change. */
export function startTiles() {
  byId("pictures").addEventListener("keydown", onKey);
  pictures.watch(draw);
}

/**
 * Shows what each picture costs; null is a price that nobody knows.
 *
 * @param {Map<number, number | null>} byPicture
 */
export function showCosts(byPicture) {
  costs.clear();
  for (const [id, cost] of byPicture) costs.set(id, cost);
  draw();
}

/**
 * Shows at a picture why the service refused it; without one, that no picture is refused any more.
 *
 * @param {number} [id]
 * @param {string} [message]
 */
export function showRefusal(id, message) {
  refusals.clear();
  if (id !== undefined && message !== undefined) refusals.set(id, message);
  draw();
  if (id !== undefined) tiles.get(id)?.scrollIntoView({ block: "nearest" });
}

function draw() {
  const list = byId("pictures");
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const places = pictures.value.map((picture, place) => tileOf(picture, place));
  for (const [id, tile] of tiles) {
    if (pictures.value.some((picture) => picture.id === id)) continue;
    tile.remove();
    tiles.delete(id);
  }
  places.forEach((tile, place) => {
    if (list.children[place] !== tile) list.insertBefore(tile, list.children[place] ?? null);
  });
  if (focused !== document.activeElement && focused?.isConnected) focused.focus(); // moving a tile loses it
  show(byId("pictures-keys"), pictures.value.length > 1);
  show(byId("remove-all"), pictures.value.length > 1);
  byId("drop").classList.toggle("drop-small", pictures.value.length > 0);
}

/**
 * @param {Picture} picture
 * @param {number} place
 */
function tileOf(picture, place) {
  const tile = tiles.get(picture.id) ?? newTile(picture);
  tiles.set(picture.id, tile);
  fill(tile, picture, place);
  return tile;
}

/**
 * @param {Picture} picture
 * @returns {HTMLLIElement}
 */
function newTile({ id, file }) {
  const look = () => inspect(pictures.value.find((picture) => picture.id === id));
  const tile = h(
    "li",
    { class: "tile", draggable: "true", "data-id": id },
    h("button", { type: "button", class: "tile-picture", onclick: look }, h("img", { alt: "", draggable: "false" })),
    h(
      "div",
      { class: "tile-text" },
      h("p", { class: "tile-name" }),
      h("p", { class: "tile-facts" }),
      h("progress", { max: 1, value: 0, "aria-label": `Upload of ${file.name}` }),
      h("p", { class: "tile-error error-text", role: "alert" }),
      h("button", { type: "button", class: "tile-retry", onclick: () => retry(id) }, "Try again"),
      h("ul", { class: "tile-warnings" }),
      h("details", { class: "tile-operations" }, h("summary"), h("ol")),
    ),
    h(
      "div",
      { class: "tile-tools" },
      tool("earlier", "\u2191", `Move ${file.name} earlier`, () => moveTile(id, -1)),
      tool("later", "\u2193", `Move ${file.name} later`, () => moveTile(id, 1)),
      tool("remove", "\u00d7", `Remove ${file.name}`, () => removeTile(id)),
    ),
  );
  makeDraggable(tile, id);
  return tile;
}

/**
 * @param {string} name
 * @param {string} sign
 * @param {string} label
 * @param {() => void} act
 */
function tool(name, sign, label, act) {
  return h(
    "button",
    { type: "button", class: `tool tool-${name}`, "aria-label": label, title: label, onclick: act },
    sign,
  );
}

/**
 * Lets the tile be dragged: it takes the place of whichever it is dragged over.
 *
 * @param {HTMLLIElement} tile
 * @param {number} id
 */
function makeDraggable(tile, id) {
  tile.addEventListener("dragstart", (/** @type {DragEvent} */ event) => {
    dragged = id;
    event.dataTransfer?.setData("text/plain", String(id));
    tile.classList.add("tile-dragged");
  });
  tile.addEventListener("dragend", () => {
    dragged = null;
    tile.classList.remove("tile-dragged");
  });
  tile.addEventListener("dragover", (/** @type {DragEvent} */ event) => {
    if (dragged === null) return;
    event.preventDefault();
    if (dragged !== id) move(dragged, placeOf(id));
  });
  tile.addEventListener("drop", (/** @type {DragEvent} */ event) => {
    if (dragged !== null) event.preventDefault();
  });
}

/**
 * @param {HTMLLIElement} tile
 * @param {Picture} picture
 * @param {number} place
 */
function fill(tile, picture, place) {
  const { file, prepared } = picture;
  const find = (/** @type {string} */ selector) => /** @type {any} */ (tile.querySelector(selector));
  const first = prepared.parts[0];
  const refusal = refusals.get(picture.id) ?? explained(prepared.error);
  tile.dataset["state"] = refusal === null ? prepared.state : "failed";
  find(".tile-name").textContent = `${place + 1}. ${file.name}`;
  find(".tile-facts").replaceChildren(...facts(picture));
  show(find("progress"), prepared.state === "sending");
  find("progress").value = prepared.uploaded;
  setText(find("progress"), `${Math.round(prepared.uploaded * 100)} %`);
  show(find(".tile-error"), refusal !== null);
  setText(find(".tile-error"), refusal ?? "");
  show(
    find(".tile-retry"),
    prepared.state === "failed" && prepared.error instanceof ApiError && prepared.error.passing,
  );
  const image = find("img");
  if (first !== undefined && image.getAttribute("src") !== first.url) image.src = first.url;
  show(image, first !== undefined);
  find(".tile-picture").disabled = first === undefined;
  find(".tile-picture").setAttribute("aria-label", `Compare ${file.name} before and after`);
  find(".tool-earlier").setAttribute("aria-disabled", String(place === 0));
  find(".tool-later").setAttribute("aria-disabled", String(place === pictures.value.length - 1));
  warnings(find(".tile-warnings"), prepared.parts);
  operations(find(".tile-operations"), prepared.parts);
}

/**
 * @param {Picture} picture
 * @returns {Node[]}
 */
function facts({ id, file, prepared }) {
  const first = prepared.parts[0];
  if (first === undefined) {
    const what = { waiting: "waiting", sending: "being prepared", ready: "", failed: "" }[prepared.state];
    return [h("span", {}, bytes(file.size)), h("span", {}, what)];
  }
  const { original, sent } = first.report;
  const several = prepared.parts.length > 1;
  const tokens = sum(prepared.parts.map((part) => part.report.tokens));
  const sizes = several
    ? counted(prepared.parts.length, first.report.page ? "page" : "part")
    : pixels(original) === pixels(sent)
      ? `${pixels(sent)} px`
      : `${pixels(original)} \u2192 ${pixels(sent)} px`;
  const cost = costs.get(id);
  return [
    h("span", {}, sizes),
    h("span", {}, `${bytes(original.size_bytes)} \u2192 ${bytes(sum(prepared.parts.map((part) => part.blob.size)))}`),
    h("span", {}, `${counted(tokens, "token")}${cost === undefined ? "" : `, ${money(cost)}`}`),
  ];
}

/**
 * What one should know before sending; pages that have the same said of them say it once.
 *
 * @param {HTMLElement} list
 * @param {import("./pictures.js").Part[]} parts
 */
function warnings(list, parts) {
  const messages = parts.flatMap((part) => part.report.warnings.map((/** @type {any} */ each) => each.message));
  listed(list, [...new Set(messages)].map(sentence));
  show(list, messages.length > 0);
}

/**
 * @param {HTMLDetailsElement} details
 * @param {import("./pictures.js").Part[]} parts
 */
function operations(details, parts) {
  const done = parts[0]?.report.operations ?? [];
  show(details, parts.length > 0);
  const summary = /** @type {HTMLElement} */ (details.querySelector("summary"));
  setText(summary, done.length === 0 ? "Sent as it is" : counted(done.length, "operation"));
  listed(/** @type {HTMLElement} */ (details.querySelector("ol")), done);
}

/** @param {HTMLElement} list @param {string[]} texts */
function listed(list, texts) {
  if (list.childElementCount === texts.length && list.textContent === texts.join("")) return;
  list.replaceChildren(...texts.map((text) => h("li", {}, text)));
}

/** @param {Error | null} error */
function explained(error) {
  if (error === null) return null;
  return error instanceof ApiError ? error.ofImage : error.message;
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const tile = /** @type {HTMLElement} */ (event.target).closest("li.tile");
  if (!(tile instanceof HTMLElement)) return;
  const id = Number(tile.dataset["id"]);
  if (event.key === "Delete") removeTile(id);
  else if (event.altKey && event.key === "ArrowUp") moveTile(id, -1);
  else if (event.altKey && event.key === "ArrowDown") moveTile(id, 1);
  else return;
  event.preventDefault();
}

/**
 * Moves a picture and tells of it, for those who do not see it.
 *
 * @param {number} id
 * @param {number} step
 */
function moveTile(id, step) {
  move(id, placeOf(id) + step);
  const place = placeOf(id);
  const name = pictures.value[place]?.file.name;
  byId("pictures-status").textContent = `${name} is now ${place + 1} of ${pictures.value.length}`;
}

/** @param {number} id */
function removeTile(id) {
  const place = placeOf(id);
  remove(id);
  const next = pictures.value[Math.min(place, pictures.value.length - 1)];
  const focus = next === undefined ? byId("pick") : tiles.get(next.id)?.querySelector(".tool-remove");
  focus?.focus();
}

/** @param {number} id */
function placeOf(id) {
  return pictures.value.findIndex((picture) => picture.id === id);
}

/** @param {HTMLElement} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text; // a screen reader would read the same again
}

/** @param {number[]} numbers */
function sum(numbers) {
  return numbers.reduce((total, number) => total + number, 0);
}
