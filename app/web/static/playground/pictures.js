// The pictures of the request, in order: adding, moving, removing. What they become is prepare.js's business.

import { store } from "../shared/store.js";

/**
 * What one picture became for one model and level of detail: the parts that would be sent (one, or the pages of a PDF).
 *
 * @typedef {{blob: Blob, url: string, report: any}} Part
 * @typedef {"waiting" | "sending" | "ready" | "failed"} State
 * @typedef {{state: State, uploaded: number, parts: Part[], error: Error | null}} Prepared
 * @typedef {{id: number, file: File, prepared: Prepared}} Picture
 */

/** @type {Prepared} */
export const WAITING = Object.freeze({ state: "waiting", uploaded: 0, parts: [], error: null });

let lastId = 0;

/** The pictures; a new array whenever one comes, goes, moves or changes. */
export const pictures = store(/** @type {Picture[]} */ ([]));

/** @param {Iterable<File>} files */
export function add(files) {
  const added = [...files].map((file) => ({ id: (lastId += 1), file, prepared: WAITING }));
  if (added.length > 0) pictures.set([...pictures.value, ...added]);
}

/** @param {number} id */
export function remove(id) {
  pictures.set(pictures.value.filter((picture) => picture.id !== id));
}

export function removeAll() {
  pictures.set([]);
}

/**
 * Puts a picture at that place, counted from 0; a place beyond either end is the end.
 *
 * @param {number} id
 * @param {number} place
 */
export function move(id, place) {
  const moved = pictures.value.find((picture) => picture.id === id);
  if (moved === undefined) return;
  const others = pictures.value.filter((picture) => picture !== moved);
  const at = Math.max(0, Math.min(place, others.length));
  pictures.set([...others.slice(0, at), moved, ...others.slice(at)]);
}

/**
 * Notes what has become of a picture, if it is still there.
 *
 * @param {number} id
 * @param {Partial<Prepared>} change
 */
export function note(id, change) {
  if (!pictures.value.some((picture) => picture.id === id)) return;
  pictures.set(
    pictures.value.map((picture) =>
      picture.id === id ? { ...picture, prepared: { ...picture.prepared, ...change } } : picture,
    ),
  );
}
