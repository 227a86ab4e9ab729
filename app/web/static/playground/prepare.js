// What each picture will be: fetched once from /v1/normalize for each model tier and level of detail, and remembered.

import { ApiError, post } from "../shared/api.js";
import { choices, models } from "./choices.js";
import { note, pictures, WAITING } from "./pictures.js";
import { readZip } from "./zip.js";

/** @typedef {import("./pictures.js").Part} Part */

const AT_ONCE = 2;

/** @type {Map<number, Map<string, Part[]>>} what is known of each picture, by id and settings */
const known = new Map();
/** @type {Map<number, {settings: string, abort: AbortController}>} what is on its way */
const running = new Map();
/** @type {Map<number, string>} the settings that a picture failed under; the same are not tried again unasked */
const failed = new Map();

/** Brings every picture to what the present settings make of it; to be called whenever either changes. */
export function prepareAll() {
  const settings = currentSettings();
  forgetRemoved();
  for (const { id, prepared } of pictures.value) {
    const parts = known.get(id)?.get(settings);
    if (parts !== undefined) {
      if (prepared.parts !== parts) note(id, { state: "ready", parts, error: null });
    } else if (running.get(id)?.settings !== settings && failed.get(id) !== settings) {
      running.get(id)?.abort.abort();
      running.delete(id);
      if (prepared.state === "ready" || prepared.state === "failed") note(id, { ...WAITING, parts: prepared.parts });
    }
  }
  startWaiting(settings);
}

/**
 * Tries a picture again that could not be prepared.
 *
 * @param {number} id
 */
export function retry(id) {
  failed.delete(id);
  note(id, WAITING);
}

/** Tries all of them again, as after a key was entered. */
export function retryAll() {
  const ids = [...failed.keys()];
  failed.clear();
  for (const id of ids) note(id, WAITING);
}

/** Whether every picture is what the present settings make of it. */
export function allReady() {
  return pictures.value.length > 0 && pictures.value.every(({ prepared }) => prepared.state === "ready");
}

/** Models of one tier see pictures at the same size, so that what was prepared for one serves them all. */
function currentSettings() {
  const { model, detail } = choices.value;
  const tier = models.value.find((each) => each.id === model)?.vision?.tier;
  return `${tier ?? model}/${detail}`;
}

function forgetRemoved() {
  const present = new Set(pictures.value.map((picture) => picture.id));
  for (const [id, { abort }] of running) {
    if (present.has(id)) continue;
    abort.abort();
    running.delete(id);
  }
  for (const [id, bySettings] of known) {
    if (present.has(id)) continue;
    for (const parts of bySettings.values()) for (const part of parts) URL.revokeObjectURL(part.url);
    known.delete(id);
  }
  for (const id of failed.keys()) if (!present.has(id)) failed.delete(id);
}

/** @param {string} settings */
function startWaiting(settings) {
  for (const picture of pictures.value) {
    if (running.size >= AT_ONCE) return;
    const { id, prepared } = picture;
    if (prepared.state !== "ready" && failed.get(id) !== settings && !running.has(id)) void prepare(picture, settings);
  }
}

/**
 * @param {import("./pictures.js").Picture} picture
 * @param {string} settings
 */
async function prepare({ id, file }, settings) {
  const abort = new AbortController();
  running.set(id, { settings, abort });
  note(id, { state: "sending", uploaded: 0, error: null });
  const mine = () => running.get(id)?.abort === abort;
  try {
    const parts = await normalized(file, (uploaded) => mine() && note(id, { uploaded }), abort.signal);
    if (!mine()) return;
    known.set(id, (known.get(id) ?? new Map()).set(settings, parts));
    running.delete(id);
    note(id, { state: "ready", parts, error: null });
  } catch (error) {
    if (!mine()) return;
    failed.set(id, settings);
    running.delete(id);
    note(id, { state: "failed", parts: [], error: /** @type {Error} */ (error) });
  }
}

/**
 * @param {File} file
 * @param {(fraction: number) => void} onUpload
 * @param {AbortSignal} signal
 * @returns {Promise<Part[]>}
 */
async function normalized(file, onUpload, signal) {
  const form = new FormData();
  form.append("image", file, file.name);
  const { model, detail } = choices.value;
  if (model !== "") form.append("model", model);
  form.append("detail", detail);
  const { body, header } = await post("v1/normalize", form, { type: "blob", onUpload, signal });
  const report = header("x-vision-proxy-image");
  if (report !== null) return [part(body, JSON.parse(report))];
  if (body.type !== "application/zip") throw new ApiError(502, null);
  return await unzipped(body);
}

/** @param {Blob} archive */
async function unzipped(archive) {
  const files = await readZip(archive);
  const report = JSON.parse(await /** @type {Blob} */ (files.get("report.json")).text());
  const blobs = [...files.entries()].filter(([name]) => name !== "report.json").map(([, blob]) => blob);
  report.images[0].warnings.push(...report.warnings); // of the document as a whole, such as pages left out
  return report.images.map((/** @type {any} */ image, /** @type {number} */ index) => {
    return part(/** @type {Blob} */ (blobs[index]), image);
  });
}

/**
 * @param {Blob} blob
 * @param {any} report
 * @returns {Part}
 */
function part(blob, report) {
  const typed = new Blob([blob], { type: report.sent.media_type });
  return { blob: typed, url: URL.createObjectURL(typed), report };
}
