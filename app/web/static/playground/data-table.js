// Any JSON value as tables: a list of objects is a table of its own, an object a list of names and values.

import { h } from "../shared/elements.js";

/**
 * @param {any} value
 * @returns {HTMLElement}
 */
export function drawData(value) {
  if (isRows(value)) return tableOfRows(value);
  if (Array.isArray(value)) return h("ul", { class: "values" }, ...value.map((each) => h("li", {}, drawData(each))));
  if (value !== null && typeof value === "object") return soleRows(value) ?? tableOfMembers(value);
  return h("span", {}, written(value));
}

/**
 * The table of an object that is nothing but a list of objects under one name.
 *
 * @param {Record<string, any>} members
 */
function soleRows(members) {
  const [only, ...others] = Object.values(members);
  return others.length === 0 && isRows(only) ? tableOfRows(only) : null;
}

/** @param {any} value */
function isRows(value) {
  const isObject = (/** @type {any} */ each) => each !== null && typeof each === "object" && !Array.isArray(each);
  return Array.isArray(value) && value.length > 0 && value.every(isObject);
}

/** @param {Record<string, any>[]} rows */
function tableOfRows(rows) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const head = h("tr", {}, ...names.map((name) => h("th", { scope: "col" }, name)));
  const body = rows.map((row) => h("tr", {}, ...names.map((name) => cell(row[name]))));
  return scrolled(h("table", { class: "data" }, h("thead", {}, head), h("tbody", {}, ...body)));
}

/** @param {Record<string, any>} members */
function tableOfMembers(members) {
  const rows = Object.entries(members).map(([name, value]) =>
    h("tr", {}, h("th", { scope: "row" }, name), cell(value)),
  );
  return scrolled(h("table", { class: "data" }, h("tbody", {}, ...rows)));
}

/** @param {any} value */
function cell(value) {
  return h("td", { class: typeof value === "number" ? "number" : null }, drawData(value));
}

/** @param {HTMLElement} table */
function scrolled(table) {
  return h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table" }, table);
}

/** @param {any} value */
function written(value) {
  if (value === null || value === undefined) return "\u2014";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return String(value);
}
