// What the person chose beside the pictures: the task, the words, the model and what each picture may cost.

import { byId, h, show } from "../shared/elements.js";
import { store } from "../shared/store.js";
import { get } from "../shared/api.js";
import { schemaText, startSchemaEditor } from "./schema-editor.js";

/**
 * @typedef {"analyze" | "extract" | "locate"} Task
 * @typedef {{task: Task, prompt: string, target: string, schema: string}} Words
 * @typedef {Words & {model: string, detail: string, maxTokens: string}} Choices
 */

const VERBS = { analyze: "Ask Claude", extract: "Extract data", locate: "Locate" };

export const choices = store(
  /** @type {Choices} */ ({
    task: "analyze",
    prompt: "",
    target: "",
    schema: "",
    model: "",
    detail: "auto",
    maxTokens: "",
  }),
);

/** The vendor's models with what each sees and costs; empty until they are known. */
export const models = store(/** @type {any[]} */ ([]));

/** Puts the form to work. */
export function startChoices() {
  startSchemaEditor(byId("schema-field"), read);
  byId("question").addEventListener("input", read);
  byId("question").addEventListener("change", read);
  read();
}

/** Fetches the models; the service's default stays chosen. */
export async function loadModels() {
  const response = await get("v1/models?limit=1000");
  models.set((await response.json()).data);
  const select = byId("model");
  const chosen = select.value;
  const options = models.value.map((model) => h("option", { value: model.id }, model.display_name ?? model.id));
  select.replaceChildren(select.options[0], ...options);
  select.value = chosen;
}

/**
 * Says in the list which model the service takes by itself.
 *
 * @param {string} id
 */
export function nameDefaultModel(id) {
  const name = models.value.find((model) => model.id === id)?.display_name ?? id;
  byId("model").options[0].textContent = `${name} (default)`;
}

/**
 * Chooses a model and a level of detail, as the form does.
 *
 * @param {string} model
 * @param {string} detail
 */
export function choose(model, detail) {
  byId("model").value = model;
  byId("detail").value = detail;
  read();
}

function read() {
  const task = /** @type {Task} */ (new FormData(byId("question")).get("task"));
  show(byId("target-field"), task === "locate");
  show(byId("prompt-field"), task !== "locate");
  show(byId("schema-field"), task === "extract");
  byId("prompt-label").textContent = task === "extract" ? "Hints, if any" : "Prompt";
  byId("send").textContent = VERBS[task];
  refuseUnseen(task === "locate");
  choices.set({
    task,
    prompt: byId("prompt").value,
    target: byId("target").value,
    schema: schemaText(),
    model: byId("model").value,
    detail: byId("detail").value,
    maxTokens: byId("max-tokens").value,
  });
}

/**
 * Boxes need a picture of the size at which Claude sees it, which `original` does not promise.
 *
 * @param {boolean} locating
 */
function refuseUnseen(locating) {
  const select = byId("detail");
  select.querySelector('[value="original"]').disabled = locating;
  if (locating && select.value === "original") select.value = "auto";
}
