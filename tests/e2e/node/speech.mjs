// Has a text spoken and prints how many bytes came, read as a stream, and of what type.
import OpenAI from "openai";

const client = new OpenAI();
const ask = { model: "paid/say", input: "h\u00e9llo \u4f60\u597d \u{1f44b}", voice: "alloy", response_format: "wav" };
const answer = await client.audio.speech.create(ask);
let bytes = 0;
for await (const piece of answer.body) bytes += piece.length;
console.log(JSON.stringify({ bytes, type: answer.headers.get("content-type") }));
