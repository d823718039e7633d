// Responses that are kept: read, listed, gone on from, counted, compacted, ended; and what another key is told.
import OpenAI from "openai";

const client = new OpenAI();
const [key, one, other, both] = process.argv.slice(2);
const stranger = new OpenAI({ apiKey: key });

async function raised(call) {
  try {
    await call();
  } catch (error) {
    return [error.constructor.name, error.code ?? null, error.error];
  }
  return null;
}

async function streamed(more = {}) {
  let last = null;
  for await (const event of await client.responses.create({ model: one, input: "Say hello", stream: true, ...more })) {
    last = event;
  }
  return last.response;
}

const first = await client.responses.create({ model: other, input: "Say hello" });
const read = await client.responses.retrieve(first.id);
const second = await client.responses.create({ model: both, input: "And more", previous_response_id: first.id });
const begun = await streamed();
const goneOn = await streamed({ previous_response_id: begun.id });
const unkept = await client.responses.create({ model: one, input: "x", store: false });
const counted = await client.responses.inputTokens.count({ model: one, input: "Say hello", previous_response_id: begun.id });
const compacted = await client.responses.compact({ model: one, input: "Say hello" });
const items = [];
for await (const item of client.responses.inputItems.list(first.id, { limit: 1, order: "asc" })) items.push(item.content[0].text);
const deleted = await client.delete(`/responses/${second.id}`);
const unknown = `resp_${"0".repeat(22)}`;
const pairs = [[stranger, first.id], [client, unknown], [client, "x"], [client, second.id], [client, unkept.id]];
const foreign = [];
for (const [who, id] of pairs) foreign.push(await raised(() => who.responses.retrieve(id)));
const refused = [];
for (const id of [first.id, begun.id, unknown, "x"]) {
  refused.push(await raised(() => stranger.responses.create({ model: one, input: "x", previous_response_id: id })));
}
const different = (answers) => new Set(answers.map((answer) => JSON.stringify(answer))).size;
console.log(
  JSON.stringify({
    read: [read.id === first.id, read.model, read.output_text, read.previous_response_id],
    second: [second.model, second.previous_response_id === first.id],
    streamed: [begun.id !== goneOn.id, goneOn.previous_response_id === begun.id, goneOn.model],
    kept_stream: (await client.responses.retrieve(goneOn.id)).previous_response_id === begun.id,
    items,
    counted: counted.input_tokens,
    compacted: [compacted.object, compacted.output[0].type, compacted.usage.total_tokens],
    deleted: [deleted.id === second.id, deleted.deleted],
    cancel: (await raised(() => client.responses.cancel(first.id))).slice(0, 2),
    unknown: [different(foreign), foreign[0].slice(0, 2)],
    refused: [different(refused), refused[0].slice(0, 2)],
    ids: [first.id, begun.id, goneOn.id],
  }),
);
