// The form that is sent: which bytes of which pictures, and the fields beside them.

import { choices } from "./choices.js";
import { pictures } from "./pictures.js";

/**
 * @typedef {{form: FormData, owners: number[]}} Payload a form, and whose picture each image of the request is, by id
 */

/**
 * The request with the bytes that were prepared before: what would be sent anyway, and a fraction of the upload.
 * They satisfy every limit, so the service passes them on as they are.
 *
 * @returns {Payload}
 */
export function preparedPayload() {
  const form = new FormData();
  for (const { file, prepared } of pictures.value) {
    for (const part of prepared.parts) form.append("image", part.blob, file.name);
  }
  return { form, owners: owners() };
}

/**
 * The request with the files as they were chosen.
 *
 * @returns {Payload}
 */
export function originalPayload() {
  const form = new FormData();
  for (const { file } of pictures.value) form.append("image", file, file.name);
  return { form, owners: owners() };
}

/**
 * Whose picture the image of that number is; a PDF stands for as many images as it has pages.
 *
 * @param {number | undefined} number counted from 1, as errors count
 * @param {number[]} owners
 */
export function ownerOf(number, owners) {
  return number === undefined ? undefined : owners[number - 1];
}

/**
 * The fields of the task as the service takes them; what was left empty is left out.
 *
 * @returns {[string, string][]}
 */
export function fields() {
  const { task, prompt, target, schema, model, detail, maxTokens } = choices.value;
  /** @type {[string, string][]} */
  const all = [
    ["prompt", task === "locate" ? "" : prompt.trim()],
    ["target", task === "locate" ? target.trim() : ""],
    ["schema", task === "extract" ? schema : ""],
    ["model", model],
    ["detail", detail === "auto" ? "" : detail],
    ["max_tokens", maxTokens.trim()],
  ];
  return all.filter(([, value]) => value !== "");
}

/** @returns {number[]} */
function owners() {
  return pictures.value.flatMap(({ id, prepared }) => Array(Math.max(1, prepared.parts.length)).fill(id));
}
