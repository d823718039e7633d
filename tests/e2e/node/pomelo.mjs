// The JavaScript call of the fifth seed document; `gpt-3.5-turbo` is an alias here.
import OpenAI from "openai";

const client = new OpenAI();
const response = await client.chat.completions.create({
  model: "gpt-3.5-turbo",
  messages: [{ role: "user", content: "Hello world" }],
});
console.log(`${response.model}: ${response.choices[0].message.content}`);
