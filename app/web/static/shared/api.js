// Requests to this service. Bodies with pictures go by XMLHttpRequest: it alone can tell how much has been uploaded,
// and it hands over an answer while that is still coming, which is all that a stream of events needs.

import { keyHeaders } from "./key.js";

/** A refusal: what the service said, and of which picture. */
export class ApiError extends Error {
  /**
   * @param {number} status 0 where the service could not be reached
   * @param {any} body the service's error body, or null
   */
  constructor(status, body) {
    super(body?.error?.message ?? (status === 0 ? "this service cannot be reached" : `the service answered ${status}`));
    this.status = status;
    this.details = body?.error?.details ?? {};
    this.requestId = body?.request_id ?? null;
  }

  /** The message for a place that shows which picture is meant: as sentences, without its number and name. */
  get ofImage() {
    const { image, name, hint } = this.details;
    const prefix = `image ${image}${name == null ? "" : ` (${name})`}: `;
    const bare = this.message.startsWith(prefix) ? this.message.slice(prefix.length) : this.message;
    return [bare, hint]
      .filter((text) => text !== undefined)
      .map(sentence)
      .join(" ");
  }

  /** The message and the way out, as sentences. */
  get whole() {
    return [this.message, this.details.hint]
      .filter((text) => text !== undefined)
      .map(sentence)
      .join(" ");
  }

  /** Whether the same request may well succeed in a moment. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/**
 * The JSON of a GET.
 *
 * @param {string} path
 * @param {{accept?: string, signal?: AbortSignal}} [options]
 * @returns {Promise<Response>}
 */
export async function get(path, { accept = "application/json", signal } = {}) {
  const headers = { accept, ...keyHeaders() };
  const response = await fetch(path, { headers, signal: signal ?? null }).catch((error) => {
    throw error.name === "AbortError" ? error : new ApiError(0, null);
  });
  if (!response.ok) throw new ApiError(response.status, await response.json().catch(() => null));
  return response;
}

/**
 * The answer to a form.
 *
 * @param {string} path
 * @param {FormData} form
 * @param {object} [options]
 * @param {XMLHttpRequestResponseType} [options.type] what `body` shall be: "" a text, "blob", "json"
 * @param {(fraction: number) => void} [options.onUpload] how much of the form has left, 0 to 1
 * @param {(text: string) => void} [options.onText] the answer so far, whole, each time more of it came; type "" only
 * @param {AbortSignal} [options.signal]
 * @returns {Promise<{body: any, header: (name: string) => string | null}>}
 */
export function post(path, form, { type = "json", onUpload, onText, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.responseType = type;
    for (const [name, value] of Object.entries(keyHeaders())) request.setRequestHeader(name, value);
    if (onUpload) request.upload.onprogress = (event) => onUpload(event.total ? event.loaded / event.total : 0);
    if (onUpload) request.upload.onload = () => onUpload(1);
    if (onText) request.onprogress = () => request.status === 200 && onText(request.responseText);
    request.onerror = () => reject(new ApiError(0, null));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onload = async () => {
      if (request.status >= 400) reject(new ApiError(request.status, await errorBody(request)));
      else resolve({ body: request.response, header: (name) => request.getResponseHeader(name) });
    };
    if (signal?.aborted) {
      reject(new DOMException("stopped", "AbortError"));
      return;
    }
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

/**
 * The text with a capital at its beginning and a full stop at its end.
 *
 * @param {string} text
 */
export function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** @param {XMLHttpRequest} request */
async function errorBody(request) {
  if (request.responseType === "json") return request.response;
  const text = request.responseType === "blob" ? await request.response.text() : request.responseText;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
