// Vercel's AI SDK on a base URL alone: responses, chat, and its provider for any compatible server; vectors, a picture, speech, a
// transcript, a stream that breaks, and a refusal.
import { openai, createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateImage, generateText, streamText } from "ai";
import { experimental_generateSpeech as generateSpeech, experimental_transcribe as transcribe } from "ai";

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
const drawn = await generateImage({ model: openai.image("paid/draw"), prompt: "a red apple", size: "64x64" });
const spoken = await generateSpeech({ model: openai.speech("paid/say"), text: "Say hello!", outputFormat: "wav" });
// A second of sound of 8 kHz in 16 bits, behind its head.
const head = Buffer.from("UklGRqQ+AABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YYA+AAA=", "base64");
const heard = await transcribe({ model: openai.transcription("paid/hear"), audio: Buffer.concat([head, Buffer.alloc(16000, 32)]) });
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
    picture: Buffer.from(drawn.image.uint8Array).subarray(1, 4).toString(),
    sound: spoken.audio.uint8Array.length,
    heard: heard.text.startsWith("16044 bytes, sha256 "),
    broken: [await broken(openai("paid/broken")), await broken(openai.chat("paid/broken"))],
    refused,
  }),
);
