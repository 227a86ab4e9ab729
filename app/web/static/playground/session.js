// What this tab has spent so far.

import { byId } from "../shared/elements.js";
import { counted, money } from "../shared/format.js";

const NAME = "vision-proxy.spent";

/** Shows what was spent before the page was loaded anew. */
export function startSession() {
  draw(read());
}

/**
 * Adds what a request cost.
 *
 * @param {number | null | undefined} usd nothing is added where nobody knows
 */
export function spend(usd) {
  const before = read();
  const spent = { usd: before.usd + (usd ?? 0), requests: before.requests + 1 };
  sessionStorage.setItem(NAME, JSON.stringify(spent));
  draw(spent);
}

/** @returns {{usd: number, requests: number}} */
function read() {
  return JSON.parse(sessionStorage.getItem(NAME) ?? '{"usd": 0, "requests": 0}');
}

/** @param {{usd: number, requests: number}} spent */
function draw({ usd, requests }) {
  byId("session-total").textContent = requests === 0 ? "$0" : `${money(usd)}, ${counted(requests, "request")}`;
}
