// The span of time that the page tells of: whole days of UTC, by dates or by their number.

import { byId } from "../shared/elements.js";
import { store } from "../shared/store.js";

const DAY_MS = 86_400_000;
const MOST_EMPTY_DAYS = 1_100; // three years and a bit: a year that is still being typed is 0002, 739,000 bars ago
const LAST_DAY = Date.parse("9999-12-30"); // the day after it is the last that the service can name

/** @typedef {{from: string, to: string}} Span days, both inclusive; an empty one is open */

export const span = store(/** @type {Span} */ ({ from: "", to: "" }));

/** Puts the form to work; it starts with the last 30 days. */
export function startSpan() {
  byId("span").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  for (const radio of document.querySelectorAll('input[name="days"]')) {
    radio.addEventListener("change", () => lastDays(/** @type {HTMLInputElement} */ (radio).value));
  }
  for (const id of ["from", "to"]) byId(id).addEventListener("change", readDates);
  lastDays("30");
}

/** The span as the service takes it: instants, the last exclusive. */
export function query() {
  const parameters = new URLSearchParams();
  const { from, to } = span.value;
  if (from !== "") parameters.set("from", `${from}T00:00:00Z`);
  if (to !== "" && Date.parse(to) <= LAST_DAY) parameters.set("to", new Date(Date.parse(to) + DAY_MS).toISOString());
  return parameters;
}

/**
 * Every day from the first to the last that is told of, so that a day without requests is seen too; of a very long
 * span those alone that are told of.
 *
 * @param {string[]} told days that something is known of, in any order
 */
export function days(told) {
  const { from, to } = span.value;
  const sorted = [...told].sort();
  const first = from === "" ? sorted[0] : from;
  const last = to === "" ? (sorted.at(-1) ?? first) : to;
  /** @type {string[]} */
  const all = [];
  if (first === undefined || last === undefined) return all;
  if ((Date.parse(last) - Date.parse(first)) / DAY_MS > MOST_EMPTY_DAYS) return sorted;
  for (let at = Date.parse(first); at <= Date.parse(last); at += DAY_MS) all.push(dayOf(at));
  return all;
}

/** @param {string} number */
function lastDays(number) {
  const now = Date.now();
  byId("from").value = number === "" ? "" : dayOf(now - (Number(number) - 1) * DAY_MS);
  byId("to").value = number === "" ? "" : dayOf(now);
  span.set({ from: byId("from").value, to: byId("to").value });
}

function readDates() {
  for (const radio of document.querySelectorAll('input[name="days"]')) {
    /** @type {HTMLInputElement} */ (radio).checked = false;
  }
  span.set({ from: byId("from").value, to: byId("to").value });
}

/** @param {number} instant */
function dayOf(instant) {
  return new Date(instant).toISOString().slice(0, 10);
}
