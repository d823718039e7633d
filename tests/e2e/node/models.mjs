// Lists the models and retrieves the one named by the argument.
import OpenAI from "openai";

const client = new OpenAI();
const wanted = process.argv[2];
let listed = false;
for await (const model of client.models.list()) listed ||= model.id === wanted;
console.log(JSON.stringify({ listed, retrieved: (await client.models.retrieve(wanted)).id }));
