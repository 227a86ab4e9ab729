// The sums: in all, by day, by model and by key.

import { get } from "../shared/api.js";
import { byId, h } from "../shared/elements.js";
import { count, counted, money } from "../shared/format.js";
import { dayChart, namedBars } from "./charts.js";
import { days, query } from "./span.js";

/**
 * Fetches and draws them; gives the groups of keys.
 *
 * @param {AbortSignal} signal
 * @returns {Promise<any[]>}
 */
export async function drawSums(signal) {
  const [byDay, byModel, byKey] = await Promise.all(["day", "model", "key"].map((group) => sums(group, signal)));
  drawTotals(byDay.total);
  byId("by-day").replaceChildren(dayChart(withEmptyDays(byDay.groups), byId("by-day").clientWidth));
  byId("by-model").replaceChildren(namedBars("Model", byModel.groups.map(row)));
  byId("by-key").replaceChildren(namedBars("Key", byKey.groups.map(row)));
  return byKey.groups;
}

/** Shows nothing. */
export function clearSums() {
  for (const id of ["totals", "by-day", "by-model", "by-key"]) byId(id).replaceChildren();
}

/**
 * @param {string} group
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
async function sums(group, signal) {
  const parameters = query();
  parameters.set("group_by", group);
  return (await get(`v1/usage?${parameters}`, { signal })).json();
}

/** @param {any} total */
function drawTotals(total) {
  const tokens = total.tokens.input + total.tokens.cache_read + total.tokens.cache_creation;
  const figure = (/** @type {string} */ value, /** @type {string} */ name) =>
    h("p", { class: "figure" }, value, h("span", {}, name));
  byId("totals").replaceChildren(
    figure(money(total.cost_usd), "spent"),
    figure(count(total.requests), total.requests === 1 ? "request" : "requests"),
    figure(count(total.images), total.images === 1 ? "picture" : "pictures"),
    figure(count(tokens), "tokens in"),
    figure(count(total.tokens.output), "tokens out"),
    ...unsure(total),
  );
}

/** What the sum of costs does not hold. */
function unsure(/** @type {any} */ total) {
  const notes = [];
  if (total.unknown_usd > 0) notes.push(`Up to ${money(total.unknown_usd)} more, for requests whose end nobody knows.`);
  if (total.unpriced > 0) notes.push(`${counted(total.unpriced, "request")} without a known price.`);
  return notes.map((text) => h("p", { class: "note" }, text));
}

/** @param {any[]} groups */
function withEmptyDays(groups) {
  const known = new Map(groups.map((group) => [group.key, row(group)]));
  return days([...known.keys()]).map((day) => known.get(day) ?? { name: day, cost_usd: 0, requests: 0, images: 0 });
}

/** @param {any} group */
function row(group) {
  return { name: group.key, cost_usd: group.cost_usd ?? 0, requests: group.requests, images: group.images };
}
