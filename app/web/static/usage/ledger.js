// The ledger, request by request: filtered by the service, searched here, older pages on demand, all of it as CSV.

import { get } from "../shared/api.js";
import { byId, h, show } from "../shared/elements.js";
import { bytes, count, counted, duration, moment, money } from "../shared/format.js";
import { query } from "./span.js";

const PAGE = 100;
const CSV_PAGE = 1_000;
const COLUMNS = ["Time", "Key", "Endpoint", "Model", "State", "Status", "Pictures", "Cost", "Details"];

/** @type {any[]} */
let entries = [];
/** @type {string | null} */
let nextPage = null;
/** @type {Map<string, string>} the names of keys by their ids */
let names = new Map();

/** Puts the filters to work; `reload` fetches what they ask for, `onError` tells of what goes wrong. */
export function startLedger(/** @type {() => void} */ reload, /** @type {(error: Error) => void} */ onError) {
  byId("filters").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  byId("search").addEventListener("input", draw);
  for (const id of ["state", "key"]) byId(id).addEventListener("change", reload);
  byId("more").addEventListener("click", () => loadOlder().catch(onError));
  byId("csv").addEventListener("click", () => download().catch(onError));
}

/**
 * Offers the keys in the filter.
 *
 * @param {any[]} groups of /v1/usage by key
 */
export function nameKeys(groups) {
  names = new Map(groups.map((group) => [group.id, group.key]));
  const select = byId("key");
  const chosen = select.value;
  select.replaceChildren(
    h("option", { value: "" }, "all"),
    ...groups.map((group) => h("option", { value: group.id }, group.key)),
  );
  if (names.has(chosen)) select.value = chosen;
}

/**
 * Fetches the newest page and draws it.
 *
 * @param {AbortSignal} signal
 */
export async function loadLedger(signal) {
  const body = await page(null, signal);
  entries = body.requests;
  nextPage = body.next_page;
  draw();
}

/** Shows nothing, and forgets the keys. */
export function clearLedger() {
  entries = [];
  nextPage = null;
  nameKeys([]);
  draw();
}

async function loadOlder() {
  const body = await page(nextPage);
  entries = [...entries, ...body.requests];
  nextPage = body.next_page;
  draw();
}

/**
 * @param {string | null} after
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
async function page(after, signal) {
  return (await get(`v1/usage/requests?${filters(PAGE, after)}`, signal ? { signal } : {})).json();
}

/** @param {number} limit @param {string | null} after */
function filters(limit, after) {
  const parameters = query();
  parameters.set("limit", String(limit));
  for (const name of ["state", "key"]) if (byId(name).value !== "") parameters.set(name, byId(name).value);
  if (after !== null) parameters.set("page", after);
  return parameters;
}

function draw() {
  const wanted = byId("search").value.trim().toLowerCase();
  const found = entries.filter((entry) => wanted === "" || searchable(entry).includes(wanted));
  const all = nextPage === null ? "" : ", older ones not loaded";
  byId("ledger-status").textContent =
    wanted === ""
      ? `${counted(entries.length, "request")}${all}`
      : `${count(found.length)} of ${counted(entries.length, "request")}${all}`;
  show(byId("more"), nextPage !== null);
  byId("ledger").replaceChildren(found.length === 0 ? h("p", { class: "note" }, "No such request.") : table(found));
}

/** @param {any} entry */
function searchable(entry) {
  const { id, request_id, upstream_request_id, key, token, endpoint, model, state, status } = entry;
  return [id, request_id, upstream_request_id, key, names.get(key), token, endpoint, model, state, status]
    .join(" ")
    .toLowerCase();
}

/** @param {any[]} found */
function table(found) {
  const head = h("tr", {}, ...COLUMNS.map((name) => h("th", { scope: "col" }, name)));
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "group", "aria-label": "Requests" },
    h("table", { class: "data" }, h("thead", {}, head), h("tbody", {}, ...found.map(row))),
  );
}

/** @param {any} entry */
function row(entry) {
  const cells = [
    moment(entry.at),
    names.get(entry.key) ?? entry.key,
    entry.endpoint,
    entry.model,
    h("span", { class: `state state-${entry.state}` }, entry.state),
    entry.status === null ? "" : String(entry.status),
    count(entry.images),
    entry.cost_usd === null ? `at most ${money(entry.bound_usd)}` : money(entry.cost_usd),
    details(entry),
  ];
  return h("tr", {}, ...cells.map((cell) => h("td", {}, cell)));
}

/** @param {any} entry */
function details(entry) {
  const lines = [
    `request ${entry.request_id}`,
    entry.upstream_request_id === null ? null : `upstream ${entry.upstream_request_id}`,
    entry.images > 0 ? `pictures ${bytes(entry.bytes_before)} \u2192 ${bytes(entry.bytes_after)}` : null,
    entry.usage === null
      ? null
      : `${count(entry.usage.input_tokens ?? 0)} tokens in, ${count(entry.usage.output_tokens ?? 0)} out`,
    entry.timing_ms.total === undefined ? null : `took ${duration(entry.timing_ms.total)}`,
  ];
  return h("details", {}, h("summary", {}, "more"), ...lines.map((line) => (line === null ? null : h("p", {}, line))));
}

/** Every request that the filters let through, as one file; the service gives it in pages. */
async function download() {
  /** @type {string[]} */
  const parts = [];
  /** @type {string | null} */
  let after = null;
  do {
    /** @type {Response} */
    const response = await get(`v1/usage/requests?${filters(CSV_PAGE, after)}`, { accept: "text/csv" });
    const text = await response.text();
    parts.push(parts.length === 0 ? text : text.slice(text.indexOf("\n") + 1)); // each page has its own head
    after = response.headers.get("x-next-page");
  } while (after !== null);
  const url = URL.createObjectURL(new Blob(parts, { type: "text/csv" }));
  h("a", { href: url, download: "usage.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
