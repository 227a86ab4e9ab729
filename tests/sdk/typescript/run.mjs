// The official TypeScript SDK against the service: reads {"baseURL", "picture"} (base64 of a JPEG) from standard input
// and prints one line of JSON with what each call gave.
import { text } from "node:stream/consumers";
import Anthropic, { toFile } from "@anthropic-ai/sdk";

const { baseURL, picture } = JSON.parse(await text(process.stdin));
const client = new Anthropic({ baseURL, apiKey: "any", maxRetries: 0 });

const model = "claude-sonnet-5-5";
const image = (data, media_type) => ({ type: "image", source: { type: "base64", media_type, data } });
const asked = (...content) => ({ model, messages: [{ role: "user", content: [...content, { type: "text", text: "What is it?" }] }] });
const facts = (message) => ({ stopReason: message.stop_reason, text: message.content[0].text, cost: message.usage.cost });

async function raised(call) {
  try {
    await call();
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, type: error.type, code: error.errorCode };
  }
  return null;
}

async function create() {
  const call = client.messages.create({ ...asked(image(picture, "image/jpeg")), max_tokens: 400 });
  const { data, response, request_id } = await call.withResponse();
  return { ...facts(data), requestId: request_id, costHeader: response.headers.get("x-vision-proxy-cost-usd") };
}

async function stream() {
  const events = client.messages.stream({ ...asked(image(picture, "image/jpeg")), max_tokens: 400 });
  let heard = "";
  let cost = null; // of the last event: the SDK gathers only the fields it knows into the final message
  events.on("text", (piece) => (heard += piece));
  events.on("streamEvent", (event) => (cost = event.usage?.cost ?? cost));
  return { ...facts(await events.finalMessage()), heard, cost };
}

async function countTokens() {
  return (await client.messages.countTokens(asked(image(picture, "image/jpeg")))).input_tokens;
}

async function wrongLabel() {
  return facts(await client.messages.create({ ...asked(image(picture, "image/png")), max_tokens: 400 }));
}

async function beta() {
  const call = { ...asked(image(picture, "image/jpeg")), max_tokens: 400, betas: ["context-management-2025-06-27"] };
  return facts(await client.beta.messages.create({ ...call, context_management: { edits: [] } }));
}

async function models() {
  const listed = [];
  for await (const entry of client.models.list({ limit: 3 })) listed.push(entry.id);
  return { listed, vision: (await client.models.retrieve(model)).vision.tier };
}

async function errors() {
  const fault = (name) => ({ headers: { "x-vision-proxy-sandbox-fault": name } });
  const message = { ...asked(), max_tokens: 10 };
  return {
    ours: await raised(() => client.messages.create({ ...asked(image("JVBERi0xLjc=", "image/jpeg")), max_tokens: 10 })),
    unknownModel: await raised(() => client.messages.create({ ...message, model: "claude-nonesuch-1" })),
    rateLimit: await raised(() => client.messages.create(message, fault("429"))),
    overloaded: await raised(() => client.messages.create(message, fault("529;retry-after=3600"))),
    insideStream: await raised(() => client.messages.stream(message, fault("error-event")).finalMessage()),
  };
}

async function files() {
  const file = await toFile(Buffer.from(picture, "base64"), "photo.jpg", { type: "image/jpeg" });
  const uploaded = await client.files.upload({ file });
  const block = { type: "image", source: { type: "file", file_id: uploaded.id } };
  const { text } = facts(await client.messages.create({ ...asked(block), max_tokens: 400 }));
  const listed = [];
  for await (const entry of client.files.list({ limit: 1 })) listed.push(entry.id);
  const deleted = await client.files.delete(uploaded.id);
  const gone = await raised(() => client.files.retrieveMetadata(uploaded.id));
  return { name: uploaded.filename, text, wasListed: listed.includes(uploaded.id), deletedIt: deleted.id === uploaded.id, gone };
}

const calls = { create, stream, countTokens, wrongLabel, beta, models, errors, files };
const results = {};
for (const [name, call] of Object.entries(calls)) {
  results[name] = await call().catch((error) => ({ failed: String(error) }));
}
console.log(JSON.stringify(results));
