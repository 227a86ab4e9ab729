// The price before sending, kept true while one types: asked for in each pause, and only the last time answered.

import { post } from "../shared/api.js";
import { byId, h } from "../shared/elements.js";
import { count, money } from "../shared/format.js";
import { debounced } from "../shared/store.js";
import { choices, nameDefaultModel } from "./choices.js";
import { fields, preparedPayload } from "./payload.js";
import { pictures } from "./pictures.js";
import { allReady } from "./prepare.js";
import { showCosts } from "./tiles.js";

const PAUSE_MS = 300;

/** @type {AbortController | null} */
let asking = null;
let whole = true;

/**
 * Whether every picture goes into the request as it was prepared alone. Very many, or very large ones, are made smaller
 * so that they fit into one request together; then the originals have to be sent.
 */
export function sentAsShown() {
  return whole;
}

/** Asks for the price once nothing has changed for a moment. */
export const priceSoon = debounced(PAUSE_MS, price);

async function price() {
  asking?.abort();
  if (!allReady()) {
    drawWaiting();
    return;
  }
  asking = new AbortController();
  const { signal } = asking;
  const { form, owners } = preparedPayload();
  for (const [name, value] of fields()) form.append(name, value);
  try {
    const { body } = await post("v1/estimate", form, { signal });
    const prepared = pictures.value.flatMap(({ prepared: { parts } }) => parts.map(({ report }) => report.sent.sha256));
    whole = body.images.every(
      (/** @type {any} */ image, /** @type {number} */ index) => image.sent.sha256 === prepared[index],
    );
    if (choices.value.model === "") nameDefaultModel(body.model);
    showCosts(costsOf(body.images, owners));
    draw(body);
  } catch (error) {
    if (/** @type {Error} */ (error).name !== "AbortError") drawError(/** @type {Error} */ (error));
  }
}

/**
 * @param {any[]} images
 * @param {number[]} owners
 */
function costsOf(images, owners) {
  /** @type {Map<number, number | null>} */
  const costs = new Map();
  images.forEach((image, index) => {
    const id = /** @type {number} */ (owners[index]);
    const before = costs.get(id) ?? 0;
    costs.set(id, image.cost_usd === null ? null : before + image.cost_usd);
  });
  return costs;
}

/** @param {any} estimate */
function draw(estimate) {
  const { tokens, cost } = estimate;
  const rows = [
    ["Pictures", `${count(tokens.image)} tokens`, money(cost.images_usd)],
    [
      "Words",
      `about ${count(tokens.text)} tokens`,
      cost.input_usd === null ? "" : money(cost.input_usd - cost.images_usd),
    ],
    [
      "The longest answer, at most",
      "",
      cost.upper_bound_usd === null ? "" : money(cost.upper_bound_usd - cost.input_usd),
    ],
  ];
  const shown = [
    h("p", { class: "figure" }, money(cost.input_usd), h("span", {}, ` to send, on ${estimate.model}`)),
    h(
      "table",
      { class: "plain" },
      h(
        "tbody",
        {},
        ...rows.map(([name, amount, usd]) =>
          h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, amount), h("td", {}, usd)),
        ),
      ),
    ),
    whole
      ? null
      : h(
          "p",
          { class: "note" },
          "Together these are too much for one request as they are: Claude gets some of them smaller than shown.",
        ),
    h("p", { class: "note" }, `At most ${money(cost.upper_bound_usd)} in all. Prices of ${cost.prices_as_of}.`),
  ];
  byId("price").replaceChildren(...shown.filter((each) => each !== null));
}

function drawWaiting() {
  const waiting = pictures.value.filter(({ prepared }) => ["waiting", "sending"].includes(prepared.state)).length;
  const failed = pictures.value.some(({ prepared }) => prepared.state === "failed");
  const text =
    pictures.value.length === 0
      ? "Add a picture to see its size, its tokens and its price. Nothing is sent to Claude until you say so."
      : waiting > 0
        ? "Preparing the pictures\u2026"
        : failed
          ? "Remove the picture that cannot be read, or choose another."
          : "";
  byId("price").replaceChildren(h("p", { class: "note" }, text));
}

/** @param {Error} error */
function drawError(error) {
  byId("price").replaceChildren(h("p", { class: "error-text" }, error.message));
}
