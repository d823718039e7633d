// A stream that fails in the middle: what arrived, and which exception.
import OpenAI from "openai";

const client = new OpenAI();
let text = "";
let raised = null;
let code = null;
try {
  const stream = await client.chat.completions.create({
    model: process.argv[2],
    messages: [{ role: "user", content: "Say hello" }],
    stream: true,
    sim: JSON.parse(process.argv[3]),
  });
  for await (const chunk of stream) {
    for (const choice of chunk.choices) text += choice.delta.content ?? "";
  }
} catch (error) {
  raised = error.constructor.name;
  code = error.code ?? null;
}
console.log(JSON.stringify({ text, raised, code }));
