// Sends the request and shows what comes back: upload, answer, bill, or the error at the picture that caused it.

import { ApiError, post, sentence } from "../shared/api.js";
import { byId, h, show } from "../shared/elements.js";
import { count, duration, money } from "../shared/format.js";
import { askForKey } from "../shared/key.js";
import { drawBoxes } from "./boxes.js";
import { choices } from "./choices.js";
import { drawData } from "./data-table.js";
import { sentAsShown } from "./estimate.js";
import { eventReader } from "./events.js";
import { fields, originalPayload, ownerOf, preparedPayload } from "./payload.js";
import { pictures } from "./pictures.js";
import { allReady } from "./prepare.js";
import { spend } from "./session.js";
import { showRefusal } from "./tiles.js";

/** @type {AbortController | null} */
let sending = null;

/** Puts the buttons to work. */
export function startSending() {
  byId("question").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    void send();
  });
  byId("prompt").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void send();
  });
  byId("stop").addEventListener("click", () => sending?.abort());
}

async function send() {
  const missing = whatIsMissing();
  byId("send-note").textContent = missing;
  if (missing !== "" || sending !== null) return;
  sending = new AbortController();
  const { task } = choices.value;
  // places are told in the pixels of the file that was uploaded, so that has to be the original
  const { form, owners } = task === "locate" || !sentAsShown() ? originalPayload() : preparedPayload();
  for (const [name, value] of fields()) form.append(name, value);
  begin();
  try {
    const answer = await streamed(task, form, sending.signal);
    if (task === "extract") byId("answer-body").replaceChildren(drawData(answer.data));
    if (task === "locate") byId("answer-body").replaceChildren(drawBoxes(answer, owners, pictures.value));
    finish(answer);
  } catch (error) {
    fail(/** @type {Error} */ (error), owners);
  } finally {
    sending = null;
    working(false);
  }
}

function whatIsMissing() {
  const { task, target } = choices.value;
  if (pictures.value.length === 0) return "Add a picture first.";
  if (pictures.value.some(({ prepared }) => prepared.state === "failed"))
    return "Remove the picture that cannot be read.";
  if (!allReady()) return "The pictures are still being prepared.";
  return task === "locate" && target.trim() === "" ? "Say what to find." : "";
}

/**
 * The whole answer; what Claude writes is shown while it comes, for data and boxes too, which replace it in the end.
 *
 * @param {string} task
 * @param {FormData} form
 * @param {AbortSignal} signal
 * @returns {Promise<any>}
 */
async function streamed(task, form, signal) {
  form.append("stream", "true");
  /** @type {any} */
  let answer = null;
  /** @type {ApiError | null} */
  let failure = null;
  const text = h("p", { class: task === "analyze" ? "answer-text" : "answer-text code" });
  byId("answer-body").replaceChildren(text);
  const read = eventReader((name, data) => {
    if (name === "text") text.append(data.text);
    if (name === "done") answer = data;
    if (name === "error") failure = new ApiError(200, data);
  });
  const { body } = await post(`v1/${task}`, form, { type: "", onUpload: showUpload, onText: read, signal });
  read(body);
  if (failure !== null) throw failure;
  if (answer === null) throw new ApiError(0, { error: { message: "the stream ended before the answer did" } });
  if (text.textContent === "") text.textContent = "The answer has no text.";
  return answer;
}

/** @param {number} fraction */
function showUpload(fraction) {
  byId("upload").value = fraction;
  show(byId("upload"), fraction < 1);
  byId("answer-status").textContent = fraction < 1 ? "Uploading\u2026" : "Sent. Claude is looking\u2026";
}

function begin() {
  showRefusal();
  working(true);
  show(byId("answer"), true);
  show(byId("answer-error"), false);
  byId("answer-body").replaceChildren();
  byId("answer-bill").replaceChildren();
  byId("answer-body").setAttribute("aria-busy", "true");
  byId("answer-status").textContent = "Uploading\u2026";
  byId("answer-title").focus({ preventScroll: true });
  byId("answer").scrollIntoView({ block: "nearest" });
}

/** @param {boolean} busy */
function working(busy) {
  byId("send").setAttribute("aria-disabled", String(busy));
  if (document.activeElement === byId("stop")) byId("answer-title").focus({ preventScroll: true }); // a hidden button has no focus to give
  show(byId("stop"), busy);
  if (!busy) show(byId("upload"), false);
}

/** @param {any} answer */
function finish(answer) {
  const { cost, usage } = answer;
  spend(cost.total_usd);
  byId("answer-body").setAttribute("aria-busy", "false");
  const stopped = answer.stop_reason === "max_tokens" ? " It was cut off: the longest answer allowed was reached." : "";
  const sandbox = answer.sandbox ? " From the sandbox: no model ran." : "";
  byId("answer-status").textContent = `Done in ${duration(answer.timing_ms.total)}.${stopped}${sandbox}`;
  byId("answer-bill").replaceChildren(
    bill(cost.total_usd, usage, cost.images_usd === null ? "" : `, ${money(cost.images_usd)} of it for the pictures`),
    warnings(answer.warnings),
    h(
      "details",
      {},
      h("summary", {}, "The whole answer as JSON"),
      h("pre", { tabindex: 0 }, JSON.stringify(answer, null, 2)),
    ),
  );
}

/**
 * What was paid.
 *
 * @param {number | null} usd
 * @param {any} usage
 * @param {string} [share]
 */
function bill(usd, usage, share = "") {
  const tokens =
    usage === undefined ? "" : ` for ${count(usage.input_tokens)} tokens in and ${count(usage.output_tokens)} out`;
  return h("p", { class: "bill" }, h("strong", {}, money(usd)), `${tokens}${share}`);
}

/** @param {{message: string}[]} given */
function warnings(given) {
  const items = given.map(({ message }) => h("li", {}, sentence(message)));
  return h("ul", { class: "answer-warnings", hidden: items.length === 0 }, ...items);
}

/** @param {Error} error @param {number[]} owners */
function fail(error, owners) {
  byId("answer-body").setAttribute("aria-busy", "false");
  if (error.name === "AbortError") {
    byId("answer-status").textContent =
      "Stopped. The question, and what Claude had written by then, is billed: the usage page has it, this session's sum has not.";
    return;
  }
  byId("answer-status").textContent = "";
  show(byId("answer-error"), true);
  if (!(error instanceof ApiError)) {
    byId("answer-error").textContent = error.message;
    return;
  }
  byId("answer-error").textContent = `${error.whole}${error.requestId === null ? "" : ` (${error.requestId})`}`;
  showRefusal(ownerOf(error.details.image, owners), error.ofImage);
  if (error.details.text !== undefined)
    byId("answer-body").replaceChildren(h("pre", { tabindex: 0 }, error.details.text));
  if (error.details.cost_usd !== undefined) {
    spend(error.details.cost_usd);
    byId("answer-bill").replaceChildren(bill(error.details.cost_usd, error.details.usage));
  }
  if (error.status === 401) askForKey(error.message);
}
