// Edits pictures, with and without a mask, whole and streamed; prints how many came and whether they are pictures.
import OpenAI, { toFile } from "openai";

const client = new OpenAI();
const picture = (name) => toFile(Buffer.from("\x89PNG\r\n\x1a\n" + name, "latin1"), name, { type: "image/png" });
const ask = { prompt: "a red apple", size: "64x64" };
const two = await client.images.edit({
  ...ask,
  model: "paid/draw",
  image: [await picture("a.png"), await picture("b.png")],
  n: 2,
});
const one = await client.images.edit({
  ...ask,
  model: "paid/draw-tokens",
  image: await picture("a.png"),
  mask: await picture("m.png"),
});
const stream = await client.images.edit({
  ...ask,
  model: "paid/draw-tokens",
  image: await picture("a.png"),
  stream: true,
  partial_images: 1,
});
const events = [];
for await (const event of stream) events.push(event.type);
console.log(
  JSON.stringify({
    pictures: [two.data.length, one.data.length],
    png: Buffer.from(one.data[0].b64_json, "base64").subarray(1, 4).toString() === "PNG",
    events,
  }),
);
