// A list of fields into a JSON Schema, and back where that is possible.

/**
 * @typedef {{name: string, type: string, description: string}} Field
 * @typedef {{fields: Field[], list: boolean}} Outline fields of one thing, or of every thing in a list
 */

/** The kinds of value that the editor offers, by what people call them. */
export const TYPES = /** @type {Record<string, object>} */ ({
  text: { type: "string" },
  number: { type: "number" },
  "whole number": { type: "integer" },
  "yes or no": { type: "boolean" },
  date: { type: "string", format: "date" },
  "list of texts": { type: "array", items: { type: "string" } },
});

const LIST = "items";

/**
 * The schema of an outline. Fields without a name are left out; every field is required, as structured outputs like it.
 *
 * @param {Outline} outline
 */
export function schemaOf({ fields, list }) {
  const named = fields.filter(({ name }) => name.trim() !== "");
  const one = objectOf(
    named.map(({ name, type, description }) => [
      name.trim(),
      { ...TYPES[type], ...(description.trim() === "" ? {} : { description: description.trim() }) },
    ]),
  );
  return list ? objectOf([[LIST, { type: "array", items: one }]]) : one;
}

/**
 * The outline of a schema, or null where it says more than an outline can.
 *
 * @param {any} schema
 * @returns {Outline | null}
 */
export function outlineOf(schema) {
  const inner = schema?.properties?.[LIST]?.items;
  const list = inner !== undefined && Object.keys(schema.properties).length === 1;
  const one = list ? inner : schema;
  const fields = Object.entries(one?.properties ?? {}).map(([name, value]) => fieldOf(name, value));
  if (fields.some((field) => field === null)) return null;
  const outline = { fields: /** @type {Field[]} */ (fields), list };
  return JSON.stringify(schemaOf(outline)) === JSON.stringify(schema) ? outline : null;
}

/**
 * @param {string} name
 * @param {any} value
 * @returns {Field | null}
 */
function fieldOf(name, value) {
  const { description = "", ...kind } = value;
  const found = Object.entries(TYPES).find(([, type]) => JSON.stringify(type) === JSON.stringify(kind));
  return found === undefined ? null : { name, type: found[0], description };
}

/** @param {[string, any][]} properties */
function objectOf(properties) {
  return {
    type: "object",
    properties: Object.fromEntries(properties),
    required: properties.map(([name]) => name),
    additionalProperties: false,
  };
}
