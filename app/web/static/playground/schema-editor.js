// The editor of what to extract: rows of fields, or the JSON Schema itself; the JSON is what counts.

import { byId, h, show } from "../shared/elements.js";
import { outlineOf, schemaOf, TYPES } from "./schema.js";

/** @typedef {import("./schema.js").Outline} Outline */

/** @type {Outline} */
const EXAMPLE = {
  fields: [
    { name: "title", type: "text", description: "" },
    { name: "date", type: "date", description: "" },
    { name: "total", type: "number", description: "the sum at the bottom" },
  ],
  list: false,
};

/** @type {Outline} */
let outline = EXAMPLE;
let changed = () => {};

/** The schema as JSON text: without the spaces that are there for people, where it is JSON at all. */
export function schemaText() {
  const text = byId("schema-json").value;
  try {
    return JSON.stringify(JSON.parse(text));
  } catch {
    return text;
  }
}

/**
 * Builds the editor.
 *
 * @param {HTMLElement} into
 * @param {() => void} onChange
 */
export function startSchemaEditor(into, onChange) {
  changed = onChange;
  into.append(
    h(
      "fieldset",
      {},
      h("legend", {}, "Fields to extract"),
      h("div", { id: "schema-rows" }),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", id: "schema-add", onclick: addRow }, "Add a field"),
        h(
          "label",
          { class: "check" },
          h("input", { type: "checkbox", id: "schema-list", onchange: readRows }),
          "There are several of them",
        ),
      ),
      h("p", { id: "schema-note", class: "note", role: "status" }),
    ),
    h(
      "details",
      {},
      h("summary", {}, "JSON Schema"),
      h("label", { for: "schema-json", class: "unseen" }, "JSON Schema"),
      h("textarea", { id: "schema-json", rows: 12, spellcheck: "false", class: "code", oninput: readJson }),
    ),
  );
  drawRows();
  writeJson();
}

function addRow() {
  outline = { ...outline, fields: [...outline.fields, { name: "", type: "text", description: "" }] };
  drawRows();
  byId("schema-rows").lastElementChild.querySelector("input").focus();
}

/** @param {number} index */
function removeRow(index) {
  outline = { ...outline, fields: outline.fields.filter((_, each) => each !== index) };
  drawRows();
  writeJson();
  byId("schema-add").focus();
}

function drawRows() {
  byId("schema-list").checked = outline.list;
  byId("schema-rows").replaceChildren(...outline.fields.map(row));
}

/** @param {import("./schema.js").Field} field @param {number} index */
function row({ name, type, description }, index) {
  const label = (/** @type {string} */ what) => `${what} of field ${index + 1}`;
  const types = Object.keys(TYPES).map((each) => h("option", { selected: each === type }, each));
  return h(
    "div",
    { class: "schema-row", oninput: readRows },
    h("input", { type: "text", value: name, placeholder: "name", "aria-label": label("Name"), spellcheck: "false" }),
    h("select", { "aria-label": label("Type") }, ...types),
    h("input", {
      type: "text",
      value: description,
      placeholder: "what it is, if unclear",
      "aria-label": label("Description"),
    }),
    h(
      "button",
      { type: "button", class: "tool", "aria-label": `Remove field ${index + 1}`, onclick: () => removeRow(index) },
      "\u00d7",
    ),
  );
}

function readRows() {
  const rows = [...byId("schema-rows").children];
  outline = {
    fields: rows.map((each) => {
      const [name, type, description] = each.querySelectorAll("input, select");
      return { name: name.value, type: type.value, description: description.value };
    }),
    list: byId("schema-list").checked,
  };
  writeJson();
}

function writeJson() {
  byId("schema-json").value = JSON.stringify(schemaOf(outline), null, 2);
  told("");
  changed();
}

function readJson() {
  let schema;
  try {
    schema = JSON.parse(byId("schema-json").value);
  } catch (error) {
    told(`This is no JSON: ${/** @type {Error} */ (error).message}`, false);
    return;
  }
  const found = outlineOf(schema);
  if (found === null) {
    told("This schema says more than fields can; edit it as JSON.", false);
    return;
  }
  outline = found;
  drawRows();
  told("");
}

/** @param {string} text @param {boolean} [rows] whether the rows say what the JSON says */
function told(text, rows = true) {
  byId("schema-note").textContent = text;
  show(byId("schema-rows"), rows);
  show(byId("schema-add"), rows);
  byId("schema-list").disabled = !rows;
}
