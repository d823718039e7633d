// One streamed call without and one with `include_usage`: what came, and how many usage chunks.
import OpenAI from "openai";

const client = new OpenAI();

async function call(more) {
  const stream = await client.chat.completions.create({
    model: process.argv[2],
    messages: [{ role: "user", content: "Say hello" }],
    stream: true,
    sim: { tokens: 12, first_ms: 0, gap_ms: 0 },
    ...more,
  });
  let text = "";
  let usages = 0;
  for await (const chunk of stream) {
    if (chunk.usage) usages += 1;
    for (const choice of chunk.choices) text += choice.delta.content ?? "";
  }
  return { text, usages };
}

const plain = await call({});
const asked = await call({ stream_options: { include_usage: true } });
console.log(JSON.stringify({ plain, asked }));
