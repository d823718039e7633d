// Gives up waiting before the answer is there and asks again under one Idempotency-Key; prints what it got in the end.
import OpenAI from "openai";

const client = new OpenAI({ timeout: 700, maxRetries: 8 });
const asked = {
  model: process.argv[2],
  messages: [{ role: "user", content: "Say hello" }],
  sim: { mode: "slow", first_ms: 1500 },
};
const named = { headers: { "Idempotency-Key": `order of ${process.argv[3]}` } };
const { data, response } = await client.chat.completions.create(asked, named).withResponse();
const replayed = response.headers.get("idempotent-replayed");
console.log(JSON.stringify({ text: data.choices[0].message.content, replayed }));
