// A response whole and streamed, a call of a tool, and one bent by the upstream: what came, and what was raised.
import OpenAI from "openai";

const client = new OpenAI();
const [model, sim] = process.argv.slice(2);
const more = sim === undefined ? {} : { sim: JSON.parse(sim) };

async function streamed() {
  let text = "";
  let last = null;
  for await (const event of await client.responses.create({ model, input: "Say hello", stream: true, ...more })) {
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event;
  }
  const { error, usage } = last.response;
  return { text, last: last.type, error: error?.code ?? null, tokens: usage?.total_tokens ?? null };
}

if (sim !== undefined) {
  console.log(JSON.stringify(await streamed()));
} else {
  const whole = await client.responses.create({ model, instructions: "Be brief.", input: "Say hello" });
  const parameters = { type: "object", required: ["city"], properties: { city: { type: "string" } }, additionalProperties: false };
  const tools = [{ type: "function", name: "weather", parameters, strict: true }, { type: "web_search" }];
  const called = await client.responses.create({ model: model.replace("gpt", "gpt-tools"), input: "Say hello", tools });
  const next = await client.responses.create({ model, input: "Say hello", previous_response_id: whole.id });
  console.log(
    JSON.stringify({
      whole: whole.output_text,
      usage: [whole.usage.input_tokens, whole.usage.output_tokens],
      model: whole.model,
      stream: await streamed(),
      tool: [called.output[0].name, JSON.parse(called.output[0].arguments)],
      previous: next.output_text,
    }),
  );
}
