// Two charts drawn by hand: bars over days, and bars of named things. Each says everything as a table too.

import { h, svg } from "../shared/elements.js";
import { count, counted, money } from "../shared/format.js";

/** @typedef {{name: string, cost_usd: number, requests: number, images: number}} Row */

const LEAST_WIDTH = 280;
const LABEL_WIDTH = 110;
const HEIGHT = 220;
const LEFT = 64;
const BOTTOM = 24;
const TOP = 12;

/**
 * A bar for each day.
 *
 * @param {Row[]} rows in order
 * @param {number} room how wide it will be shown, so that its letters are as large as all others
 * @returns {HTMLElement}
 */
export function dayChart(rows, room) {
  if (rows.length === 0) return h("p", { class: "note" }, "Nothing yet.");
  const width = Math.max(room, LEAST_WIDTH);
  const most = niceAbove(Math.max(...rows.map((row) => row.cost_usd)));
  const step = (width - LEFT) / rows.length;
  const height = (/** @type {number} */ usd) => (usd / most) * (HEIGHT - TOP - BOTTOM);
  const bars = rows.map((row, index) => {
    const tall = height(row.cost_usd);
    const at = { x: LEFT + index * step + step * 0.1, y: HEIGHT - BOTTOM - tall };
    const title = svg("title", {}, `${row.name}: ${money(row.cost_usd)}, ${counted(row.requests, "request")}`);
    return svg("rect", { class: "bar", ...at, width: step * 0.8, height: tall, rx: Math.min(3, step * 0.2) }, title);
  });
  const grid = [0, 0.5, 1].map((share) => {
    const y = HEIGHT - BOTTOM - height(most * share);
    return svg(
      "g",
      {},
      svg("line", { x1: LEFT, x2: width, y1: y, y2: y }),
      svg("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, money(most * share)),
    );
  });
  const chart = svg(
    "svg",
    { class: "chart", viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `Cost by day, ${summary(rows)}` },
    ...grid,
    ...bars,
    ...labels(rows, step, width / LABEL_WIDTH),
  );
  return h("div", {}, chart, asTable("Day", rows));
}

/**
 * A bar for each thing, the dearest first.
 *
 * @param {string} kind what the things are
 * @param {Row[]} rows
 * @returns {HTMLElement}
 */
export function namedBars(kind, rows) {
  if (rows.length === 0) return h("p", { class: "note" }, "Nothing yet.");
  const sorted = [...rows].sort((one, other) => other.cost_usd - one.cost_usd);
  const most = Math.max(...sorted.map((row) => row.cost_usd), Number.MIN_VALUE);
  const bar = (/** @type {Row} */ row) =>
    svg(
      "svg",
      { viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { width: (row.cost_usd / most) * 100, height: 4 }),
    );
  const items = sorted.map((row) =>
    h("li", {}, h("span", { class: "label" }, h("span", {}, row.name), h("span", {}, money(row.cost_usd))), bar(row)),
  );
  return h("div", {}, h("ol", { class: "bars" }, ...items), asTable(kind, sorted));
}

/** @param {string} kind @param {Row[]} rows */
function asTable(kind, rows) {
  const head = h("tr", {}, ...[kind, "Cost", "Requests", "Pictures"].map((name) => h("th", { scope: "col" }, name)));
  const body = rows.map((row) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, row.name),
      h("td", {}, money(row.cost_usd)),
      h("td", {}, count(row.requests)),
      h("td", {}, count(row.images)),
    ),
  );
  return h(
    "details",
    {},
    h("summary", {}, "As a table"),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "group", "aria-label": `Cost by ${kind.toLowerCase()}` },
      h("table", { class: "data" }, h("thead", {}, head), h("tbody", {}, ...body)),
    ),
  );
}

/** @param {Row[]} rows @param {number} step @param {number} most */
function labels(rows, step, most) {
  const every = Math.ceil(rows.length / most);
  return rows.flatMap((row, index) =>
    index % every === 0
      ? [svg("text", { x: LEFT + (index + 0.5) * step, y: HEIGHT - 6, "text-anchor": "middle" }, row.name.slice(5))]
      : [],
  );
}

/** @param {Row[]} rows */
function summary(rows) {
  const total = rows.reduce((sum, row) => sum + row.cost_usd, 0);
  return `${money(total)} over ${counted(rows.length, "day")}; the table below has each`;
}

/**
 * The least of 1, 2 or 5 times a power of ten that is not below.
 *
 * @param {number} usd
 */
function niceAbove(usd) {
  if (usd <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(usd));
  return /** @type {number} */ ([1, 2, 5, 10].find((factor) => factor * power >= usd)) * power;
}
