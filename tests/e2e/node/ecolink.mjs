// The Node snippet of the first seed document; key and base URL are arguments.
import OpenAI from "openai";

const client = new OpenAI({
  apiKey: process.argv[2],
  baseURL: process.argv[3],
});
const resp = await client.chat.completions.create({
  model: "meta-llama/Llama-3.1-8B-Instruct",
  messages: [{ role: "user", content: "Say hello" }],
});
console.log(resp.choices[0].message.content);
