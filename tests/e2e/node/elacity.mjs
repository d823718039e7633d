// The client of the third seed document: a base URL that ends in /api.
import OpenAI from "openai";

const client = new OpenAI({ apiKey: process.argv[2], baseURL: process.argv[3] });
const response = await client.chat.completions.create({
  model: "meta-llama/Llama-3.1-8B-Instruct",
  messages: [{ role: "user", content: "Say hello" }],
});
console.log(response.choices[0].message.content);
