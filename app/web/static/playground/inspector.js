// A picture before and after, one over the other with a line to drag between them, enlarged as far as one likes.

import { byId, h, show } from "../shared/elements.js";
import { bytes, count, pixels } from "../shared/format.js";

/** @typedef {import("./pictures.js").Picture} Picture */

const MOST = 16;
const STEP = 1.25;
const PAN_PX = 60;

const view = { zoom: 1, fit: 1, x: 0, y: 0, split: 0.5 };
/** @type {string | null} the address of the original, where the browser can show it */
let before = null;
/** @type {{picture: Picture, number: number} | null} */
let shown = null;

/**
 * Opens the dialog on a picture.
 *
 * @param {Picture | undefined} picture
 */
export function inspect(picture) {
  if (picture === undefined || picture.prepared.parts.length === 0) return;
  if (document.getElementById("inspector") === null) document.body.append(dialog());
  byId("inspector").showModal();
  open(picture, 0);
}

/**
 * @param {Picture} picture
 * @param {number} number which part, counted from 0
 */
function open(picture, number) {
  forget();
  shown = { picture, number };
  const part = /** @type {import("./pictures.js").Part} */ (picture.prepared.parts[number]);
  const { report } = part;
  const several = picture.prepared.parts.length > 1;
  byId("inspector-title").textContent = several
    ? `${picture.file.name}, ${number + 1} of ${picture.prepared.parts.length}`
    : picture.file.name;
  byId("inspector-after").src = part.url;
  const facts = (/** @type {any} */ file) => `${pixels(file)} px, ${bytes(file.size_bytes)}, ${file.media_type}`;
  byId("inspector-facts").textContent =
    `Before: ${facts(report.original)}. After: ${facts(report.sent)}, ${count(report.tokens)} tokens.`;
  for (const id of ["inspector-earlier", "inspector-later"]) show(byId(id), several);
  showBefore(picture, report);
  fit();
}

/**
 * Lays the original below the line, where this browser can show it; a HEIC or TIFF it mostly cannot.
 *
 * @param {Picture} picture
 * @param {any} report
 */
function showBefore(picture, report) {
  const image = byId("inspector-before");
  const whole = report.page === undefined && report.tile === undefined;
  const tell = (/** @type {boolean} */ visible) => {
    show(image, visible);
    show(byId("inspector-split"), visible);
    show(byId("inspector-split-label"), visible);
    show(byId("inspector-line"), visible);
    setNote(visible ? "" : unshowable(report, whole));
    draw();
  };
  tell(false);
  setNote("");
  if (!whole) {
    tell(false);
    return;
  }
  before = URL.createObjectURL(picture.file);
  image.onload = () => tell(true);
  image.onerror = () => tell(false);
  image.src = before;
}

/** @param {any} report @param {boolean} whole */
function unshowable(report, whole) {
  if (!whole) return "A page or a part has no picture of its own to compare with; this is what Claude gets.";
  return `This browser cannot show ${report.original.media_type}, so there is no before; this is what Claude gets.`;
}

/** @param {string} text */
function setNote(text) {
  byId("inspector-note").textContent = text;
}

/** @param {number} step */
function turn(step) {
  if (shown === null) return;
  const { picture, number } = shown;
  const total = picture.prepared.parts.length;
  open(picture, (number + step + total) % total);
}

function forget() {
  if (before !== null) URL.revokeObjectURL(before);
  before = null;
  shown = null;
}

function dialog() {
  const tool = (/** @type {string} */ label, /** @type {() => void} */ act, id = "") =>
    h("button", { type: "button", onclick: act, ...(id === "" ? {} : { id }) }, label);
  const stage = h(
    "div",
    {
      id: "inspector-stage",
      tabindex: 0,
      role: "group",
      "aria-label": "Picture; plus and minus zoom, arrow keys move it",
    },
    h("img", { id: "inspector-after", alt: "What Claude gets", draggable: "false" }),
    h("img", { id: "inspector-before", alt: "The original", draggable: "false" }),
    h("div", { id: "inspector-line" }),
  );
  const made = h(
    "dialog",
    { id: "inspector", class: "dialog dialog-large", "aria-labelledby": "inspector-title", onclose: forget },
    h(
      "div",
      { class: "card-head" },
      h("h2", { id: "inspector-title" }),
      h("button", { type: "button", class: "quiet", onclick: () => made.close() }, "Close"),
    ),
    h("p", { id: "inspector-facts", class: "note" }),
    stage,
    h("p", { id: "inspector-note", class: "note", role: "status" }),
    h(
      "div",
      { class: "row" },
      h("label", { for: "inspector-split", id: "inspector-split-label" }, "Before \u2194 after"),
      h("input", { id: "inspector-split", type: "range", min: 0, max: 100, value: 50, oninput: onSplit }),
      tool("Smaller", () => zoomBy(1 / STEP)),
      tool("Larger", () => zoomBy(STEP)),
      tool("Fit", fit),
      tool("One to one", () => zoomTo(1 / devicePixelRatio)),
      tool("Earlier page", () => turn(-1), "inspector-earlier"),
      tool("Later page", () => turn(1), "inspector-later"),
      h("output", { id: "inspector-zoom", class: "note" }),
    ),
  );
  listen(stage);
  return made;
}

/** @param {HTMLElement} stage */
function listen(stage) {
  stage.addEventListener("wheel", onWheel, { passive: false });
  stage.addEventListener("keydown", onKey);
  stage.addEventListener("pointerdown", (event) => stage.setPointerCapture(event.pointerId));
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) pan(event.movementX, event.movementY);
  });
}

function onSplit() {
  view.split = Number(byId("inspector-split").value) / 100;
  draw();
}

/** @param {WheelEvent} event */
function onWheel(event) {
  event.preventDefault();
  const box = byId("inspector-stage").getBoundingClientRect();
  zoomTo(view.zoom * (event.deltaY < 0 ? STEP : 1 / STEP), event.clientX - box.left, event.clientY - box.top);
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  /** @type {Record<string, () => void>} */
  const actions = {
    "+": () => zoomBy(STEP),
    "=": () => zoomBy(STEP),
    "-": () => zoomBy(1 / STEP),
    0: fit,
    ArrowLeft: () => pan(PAN_PX, 0),
    ArrowRight: () => pan(-PAN_PX, 0),
    ArrowUp: () => pan(0, PAN_PX),
    ArrowDown: () => pan(0, -PAN_PX),
  };
  const action = actions[event.key];
  if (action === undefined || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  action();
}

/** The size at which the picture is drawn at zoom 1: the sent one's. */
function sentSize() {
  const part = shown?.picture.prepared.parts[shown.number];
  return { width: part?.report.sent.width_px ?? 1, height: part?.report.sent.height_px ?? 1 };
}

function fit() {
  const box = byId("inspector-stage").getBoundingClientRect();
  const { width, height } = sentSize();
  view.fit = Math.min(box.width / width, box.height / height, MOST);
  view.zoom = view.fit;
  view.x = (box.width - width * view.zoom) / 2;
  view.y = (box.height - height * view.zoom) / 2;
  draw();
}

/** @param {number} factor */
function zoomBy(factor) {
  zoomTo(view.zoom * factor);
}

/**
 * Zooms so that the point of the stage stays where it is; its middle, where none is given.
 *
 * @param {number} zoom CSS pixels for each pixel that is sent
 * @param {number} [x]
 * @param {number} [y]
 */
function zoomTo(zoom, x, y) {
  const box = byId("inspector-stage").getBoundingClientRect();
  const [atX, atY] = [x ?? box.width / 2, y ?? box.height / 2];
  const next = Math.max(Math.min(view.fit, 1), Math.min(zoom, Math.max(MOST, view.fit)));
  view.x = atX - ((atX - view.x) * next) / view.zoom;
  view.y = atY - ((atY - view.y) * next) / view.zoom;
  view.zoom = next;
  draw();
}

/** @param {number} x @param {number} y */
function pan(x, y) {
  view.x += x;
  view.y += y;
  draw();
}

function draw() {
  const { width, height } = sentSize();
  const line = view.split * byId("inspector-stage").clientWidth;
  for (const id of ["inspector-after", "inspector-before"]) {
    const { style } = byId(id);
    style.width = `${width * view.zoom}px`;
    style.height = `${height * view.zoom}px`;
    style.transform = `translate(${view.x}px, ${view.y}px)`;
    style.imageRendering = view.zoom > 2 ? "pixelated" : "auto";
  }
  byId("inspector-before").style.clipPath = `inset(0 ${Math.max(0, view.x + width * view.zoom - line)}px 0 0)`;
  byId("inspector-line").style.transform = `translateX(${line}px)`;
  byId("inspector-zoom").textContent = `${Math.round(view.zoom * 100)} %`;
}
