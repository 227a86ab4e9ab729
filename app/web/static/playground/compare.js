// What the same request costs on every model at every level of detail; asked for only while the table is open.

import { post } from "../shared/api.js";
import { byId, h } from "../shared/elements.js";
import { count, money } from "../shared/format.js";
import { debounced } from "../shared/store.js";
import { choices, choose, models } from "./choices.js";
import { fields, originalPayload } from "./payload.js";
import { pictures } from "./pictures.js";
import { allReady } from "./prepare.js";

const LEVELS = ["low", "standard", "auto", "high", "original"];
const PAUSE_MS = 800;

/** @type {AbortController | null} */
let asking = null;
let compared = ""; // what the table tells of, or is about to

/** Compares once the table is opened, and again when what it shows has changed. */
export function startComparison() {
  byId("compare").addEventListener("toggle", compareSoon);
}

/** Compares anew once nothing has changed for a moment. */
export const compareSoon = debounced(PAUSE_MS, compare);

async function compare() {
  if (!byId("compare").open) return;
  if (!allReady()) {
    say("Add a picture to compare.");
    return;
  }
  const wanted = JSON.stringify([pictures.value.map(({ id }) => id), others()]);
  if (wanted === compared) {
    mark();
    return;
  }
  asking?.abort();
  asking = new AbortController();
  compared = wanted;
  say("Comparing\u2026");
  try {
    await compareLevels(asking.signal);
  } catch (error) {
    if (compared === wanted) compared = "";
    if (/** @type {Error} */ (error).name !== "AbortError") say(/** @type {Error} */ (error).message);
  }
}

/**
 * Draws each level as soon as it is known; the pictures of one are prepared while the others can be read.
 *
 * @param {AbortSignal} signal
 */
async function compareLevels(signal) {
  /** @type {Map<string, any[]>} */
  const byLevel = new Map();
  for (const level of LEVELS) {
    byLevel.set(level, await estimates(level, signal));
    if (signal.aborted) return;
    draw(byLevel);
  }
}

/**
 * A row for each model at that level. The originals are sent: what was prepared for one tier is too small for another.
 *
 * @param {string} level
 * @param {AbortSignal} signal
 * @returns {Promise<any[]>}
 */
async function estimates(level, signal) {
  const { form } = originalPayload();
  for (const [name, value] of [...others(), ["detail", level], ["compare", "true"]]) {
    form.append(/** @type {string} */ (name), /** @type {string} */ (value));
  }
  const { body } = await post("v1/estimate", form, { signal });
  return body.compare;
}

/** The fields that are the same in every cell. */
function others() {
  return fields().filter(([name]) => name !== "detail" && name !== "model");
}

/** @param {Map<string, any[]>} byLevel */
function draw(byLevel) {
  const head = h(
    "tr",
    {},
    h("th", { scope: "col" }, "Model"),
    ...LEVELS.map((level) => h("th", { scope: "col" }, level)),
  );
  const rows = (byLevel.get(/** @type {string} */ (LEVELS[0])) ?? []).map((row) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, nameOf(row.model), h("span", { class: "note" }, ` ${row.tier}`)),
      ...LEVELS.map((level) =>
        cell(
          level,
          byLevel.get(level)?.find((each) => each.model === row.model),
        ),
      ),
    ),
  );
  byId("compare-body").replaceChildren(
    h("p", { class: "note" }, "Input cost and tokens of this request. Choose a cell to use it."),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "group", "aria-label": "Comparison" },
      h("table", { class: "data comparison" }, h("thead", {}, head), h("tbody", {}, ...rows)),
    ),
  );
  mark();
}

/** @param {string} level @param {any} row */
function cell(level, row) {
  if (row === undefined) return h("td", { class: "note" }, "\u2026");
  const label = `${nameOf(row.model)}, ${level}: ${money(row.cost.input_usd)}, ${count(row.tokens.total)} tokens`;
  return h(
    "td",
    {},
    h(
      "button",
      {
        type: "button",
        class: "cell",
        "aria-label": label,
        "data-model": row.model,
        "data-detail": level,
        onclick: () => choose(row.model, level),
      },
      h("strong", {}, money(row.cost.input_usd)),
      h("span", {}, count(row.tokens.total)),
    ),
  );
}

/** Marks the cell of what is chosen. */
function mark() {
  const { model, detail } = choices.value;
  for (const button of byId("compare-body").querySelectorAll("button.cell")) {
    button.setAttribute("aria-pressed", String(button.dataset.model === model && button.dataset.detail === detail));
  }
}

/** @param {string} id */
function nameOf(id) {
  return models.value.find((model) => model.id === id)?.display_name ?? id;
}

/** @param {string} text */
function say(text) {
  byId("compare-body").replaceChildren(h("p", { class: "note", role: "status" }, text));
}
