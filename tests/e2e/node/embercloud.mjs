// No key in the code: the SDK reads OPENAI_API_KEY and OPENAI_BASE_URL.
import OpenAI from "openai";

const client = new OpenAI();
const response = await client.chat.completions.create({
  model: "glm-4.7",
  messages: [{ role: "user", content: "Hello!" }],
});
console.log(response.choices[0].message.content);
