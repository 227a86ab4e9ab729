// The present request as programs that run: curl, Python and TypeScript.

import { byId, h } from "../shared/elements.js";
import { choices } from "./choices.js";
import { fields } from "./payload.js";
import { pictures } from "./pictures.js";

const LANGUAGES = /** @type {const} */ ({ curl, Python: python, TypeScript: typescript });

/** @typedef {keyof typeof LANGUAGES} Language */

/** @type {Language} */
let chosen = "curl";

/** Builds the panel. */
export function startCode() {
  const choose = (/** @type {Event} */ event) => {
    chosen = /** @type {Language} */ (/** @type {HTMLInputElement} */ (event.target).value);
    drawCode();
  };
  const radio = (/** @type {string} */ name) =>
    h(
      "label",
      {},
      h("input", { type: "radio", name: "language", value: name, checked: name === chosen }),
      h("span", {}, name),
    );
  byId("code").append(
    h(
      "div",
      { class: "row" },
      h(
        "fieldset",
        { class: "segments", onchange: choose },
        h("legend", { class: "unseen" }, "Language"),
        ...Object.keys(LANGUAGES).map(radio),
      ),
      h("button", { type: "button", id: "copy", onclick: copy }, "Copy"),
      h("p", { id: "copied", class: "note", role: "status" }),
    ),
    h("pre", { tabindex: 0, "aria-label": "Code" }, h("code", { id: "code-text" })),
  );
  drawCode();
}

/** Writes the code anew. */
export function drawCode() {
  byId("code-text").textContent = codeFor(chosen);
  byId("copied").textContent = "";
}

async function copy() {
  try {
    await navigator.clipboard.writeText(byId("code-text").textContent);
    byId("copied").textContent = "Copied";
  } catch {
    byId("copied").textContent = "This browser does not allow it; select the text";
  }
}

/** @param {Language} language */
function codeFor(language) {
  const names = pictures.value.length === 0 ? ["photo.jpg"] : pictures.value.map(({ file }) => file.name);
  return LANGUAGES[language](new URL(`v1/${choices.value.task}`, document.baseURI).href, names, fields());
}

/**
 * @param {string} url
 * @param {string[]} names
 * @param {[string, string][]} values
 */
function curl(url, names, values) {
  const options = [
    '-H "x-api-key: $VISION_PROXY_KEY"',
    ...names.map((name) => `-F ${shell(`image=@"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`)}`),
    ...values.map(([name, value]) => `--form-string ${shell(`${name}=${value}`)}`),
  ];
  return [`curl ${shell(url)}`, ...options].join(" \\\n  ");
}

/** @param {string} text */
function shell(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * @param {string} url
 * @param {string[]} names
 * @param {[string, string][]} values
 */
function python(url, names, values) {
  const files = names.map((name) => `    ("image", open(${JSON.stringify(name)}, "rb")),`);
  const data = values.map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)},`);
  return [
    "import os",
    "",
    "import requests",
    "",
    "images = [",
    ...files,
    "]",
    "fields = {",
    ...data,
    "}",
    `key = {"x-api-key": os.environ.get("VISION_PROXY_KEY", "")}`,
    `answer = requests.post(${JSON.stringify(url)}, files=images, data=fields, headers=key, timeout=600)`,
    "answer.raise_for_status()",
    "print(answer.json())",
  ].join("\n");
}

/**
 * @param {string} url
 * @param {string[]} names
 * @param {[string, string][]} values
 */
function typescript(url, names, values) {
  const images = names.map(
    (name) => `form.append("image", await openAsBlob(${JSON.stringify(name)}), ${JSON.stringify(name)});`,
  );
  const others = values.map(([name, value]) => `form.append(${JSON.stringify(name)}, ${JSON.stringify(value)});`);
  return [
    'import { openAsBlob } from "node:fs";',
    "",
    "const form = new FormData();",
    ...images,
    ...others,
    "",
    `const answer = await fetch(${JSON.stringify(url)}, {`,
    '  method: "POST",',
    '  headers: { "x-api-key": process.env.VISION_PROXY_KEY ?? "" },',
    "  body: form,",
    "});",
    "if (!answer.ok) throw new Error(await answer.text());",
    "console.log(await answer.json());",
  ].join("\n");
}
