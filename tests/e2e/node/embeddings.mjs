// Asks for vectors of a model, from an upstream that answers in the form of the second argument; prints two numbers.
import OpenAI from "openai";

const client = new OpenAI();
const [model, mode] = process.argv.slice(2);
const answer = await client.embeddings.create({ model, input: ["Say hello", "a"], sim: { mode } });
const vector = answer.data[0].embedding;
console.log(
  JSON.stringify({ vectors: answer.data.length, length: vector.length, first: vector[0], model: answer.model }),
);
