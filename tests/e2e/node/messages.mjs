// A message whole and streamed, a call of a tool, and a count of tokens: what came, and which exceptions are raised.
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic();
const [model, sim] = process.argv.slice(2);
const asked = { model, max_tokens: 100, messages: [{ role: "user", content: "Say hello" }] };

async function streamed(more) {
  let text = "";
  const stream = client.messages.stream({ ...asked, ...more }).on("text", (piece) => (text += piece));
  const message = await stream.finalMessage();
  return { text, tokens: message.usage.output_tokens };
}

async function raised(call) {
  try {
    await call();
  } catch (error) {
    if (error.status === undefined) return { class: error.constructor.name };
    const kind = error.error?.error?.type ?? null;
    return { class: error.constructor.name, status: error.status, type: kind, id: error.requestID };
  }
  return null;
}

if (sim !== undefined) {
  const bent = JSON.parse(sim);
  const more = Object.keys(bent).length > 0 ? { sim: bent } : {};
  const call = "mode" in bent ? () => streamed(more) : () => client.messages.create({ ...asked, ...more });
  console.log(JSON.stringify(await raised(call)));
} else {
  const whole = await client.messages.create(asked);
  const counted = await client.messages.countTokens({ model, messages: asked.messages });
  const schema = { type: "object", required: ["city"], properties: { city: { type: "string" } } };
  const tools = [{ name: "weather", description: "Tell the weather.", input_schema: schema }];
  const called = await client.messages.create({ ...asked, model: model.replace("claude", "claude-tools"), tools });
  console.log(
    JSON.stringify({
      whole: whole.content[0].text,
      usage: [whole.usage.input_tokens, whole.usage.output_tokens],
      model: whole.model,
      stream: await streamed({}),
      count: counted.input_tokens,
      tool: [called.content[0].name, called.content[0].input, called.stop_reason],
    }),
  );
}
