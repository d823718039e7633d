// Transcribes the file of the first argument in every form, streamed from the disk, and translates it.
import fs from "node:fs";
import OpenAI from "openai";

const client = new OpenAI();
const of = (form, more) =>
  client.audio.transcriptions.create({
    file: fs.createReadStream(process.argv[2]),
    model: "paid/hear",
    response_format: form,
    ...more,
  });
const events = [];
for await (const event of await of("json", { stream: true })) events.push(event.type);
const file = fs.createReadStream(process.argv[2]);
const translated = await client.audio.translations.create({ file, model: "paid/hear" });
console.log(
  JSON.stringify({
    json: (await of("json")).text,
    text: (await of("text")).trim(),
    seconds: Number((await of("verbose_json")).duration),
    events,
    translated: translated.text,
  }),
);
