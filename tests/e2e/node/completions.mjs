// Continues a text twice, whole and as a stream with usage; prints both texts and the usage.
import OpenAI from "openai";

const client = new OpenAI();
const asked = { model: process.argv[2], prompt: "Once upon a time" };
const whole = await client.completions.create(asked);
const stream = await client.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
let text = "";
let usage;
for await (const chunk of stream) {
  text += chunk.choices.map((choice) => choice.text).join("");
  usage = chunk.usage ?? usage;
}
console.log(
  JSON.stringify({ whole: whole.choices[0].text, stream: text, tokens: usage.total_tokens, model: whole.model }),
);
