// Calls a model that is served by somebody else's server behind Claviger, as the Python script of this name does: whole,
// streamed without and with usage; with a second argument, vectors. Prints one JSON object.
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0, timeout: 30_000 });
const [model, vectors] = process.argv.slice(2);
const messages = [{ role: "user", content: "Say hello" }];
const asked = { model, messages, max_tokens: 12 };

async function whole() {
  const { data, response } = await client.chat.completions.create(asked).withResponse();
  const { message, finish_reason } = data.choices[0];
  const request_id = response.headers.get("x-request-id");
  return { request_id, model: data.model, content: message.content, finish_reason, usage: data.usage };
}

async function streamed(more) {
  const { data, response } = await client.chat.completions.create({ ...asked, stream: true, ...more }).withResponse();
  let [content, finish_reason, usage, chunks] = ["", null, null, 0];
  const models = new Set();
  for await (const chunk of data) {
    models.add(chunk.model);
    usage = chunk.usage ?? usage;
    for (const choice of chunk.choices) {
      chunks += 1;
      content += choice.delta.content ?? "";
      finish_reason = choice.finish_reason ?? finish_reason;
    }
  }
  return { request_id: response.headers.get("x-request-id"), models: [...models], content, finish_reason, chunks, usage };
}

async function embedded(more) {
  const input = ["Say hello", "a"];
  const { data, response } = await client.embeddings.create({ model, input, ...more }).withResponse();
  const lengths = data.data.map((vector) => vector.embedding.length);
  const first = data.data[0].embedding[0];
  return { request_id: response.headers.get("x-request-id"), model: data.model, lengths, first, usage: data.usage };
}

console.log(
  JSON.stringify(
    vectors
      ? { usual: await embedded({}), floats: await embedded({ encoding_format: "float" }) }
      : {
          whole: await whole(),
          streamed: await streamed({}),
          streamed_with_usage: await streamed({ stream_options: { include_usage: true } }),
        },
  ),
);
