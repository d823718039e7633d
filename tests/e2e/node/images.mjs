// Asks for pictures, as data and as URLs; prints how many came and whether they are pictures.
import OpenAI from "openai";

const client = new OpenAI();
const ask = { prompt: "a red apple", n: 2, size: "64x64" };
const data = await client.images.generate({ ...ask, model: "paid/draw", response_format: "b64_json" });
const urls = await client.images.generate({ ...ask, model: "paid/draw-tokens", response_format: "url" });
const picture = Buffer.from(data.data[0].b64_json, "base64");
console.log(
  JSON.stringify({
    pictures: [data.data.length, urls.data.length],
    png: picture.subarray(1, 4).toString() === "PNG" && urls.data[1].url.startsWith("data:image/png"),
    wide: picture.readUInt32BE(16),
  }),
);
