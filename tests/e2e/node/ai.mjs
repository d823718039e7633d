// Vercel's AI SDK on a base URL alone: responses, chat, and its provider for any compatible server; vectors, a stream that
// breaks, and a refusal.
import { openai, createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateText, streamText } from "ai";

const { OPENAI_BASE_URL: baseURL, OPENAI_API_KEY: apiKey, REVOKED: revoked } = process.env;
const compatible = createOpenAICompatible({ name: "here", baseURL, apiKey, includeUsage: true });

async function asked(model) {
  const whole = await generateText({ model, prompt: "Say hello" });
  const stream = streamText({ model, prompt: "Say hello" });
  let text = "";
  for await (const piece of stream.textStream) text += piece;
  return { whole: whole.text, tokens: whole.usage.totalTokens, stream: text, streamed: (await stream.usage).totalTokens };
}

async function broken(model) {
  let errors = 0;
  const stream = streamText({ model, prompt: "Say hello", maxRetries: 0, onError: () => {} });
  try {
    for await (const part of stream.fullStream) errors += part.type === "error";
  } catch {
    errors += 1;
  }
  return errors > 0;
}

const vectors = await embedMany({ model: openai.embedding("paid/embed"), values: ["Say hello", "a"] });
let refused = null;
try {
  await generateText({ model: createOpenAI({ baseURL, apiKey: revoked })("paid/gpt"), prompt: "x", maxRetries: 2 });
} catch (error) {
  refused = { status: error.statusCode, retryable: error.isRetryable };
}
console.log(
  JSON.stringify({
    responses: await asked(openai("paid/gpt")),
    chat: await asked(openai.chat("paid/echo")),
    compatible: await asked(compatible("paid/echo")),
    vectors: vectors.embeddings.map((vector) => vector.length),
    broken: [await broken(openai("paid/broken")), await broken(openai.chat("paid/broken"))],
    refused,
  }),
);
