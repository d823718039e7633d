// Streams the file of the first argument from the disk, whose length the form does not say; prints the status and the code.
import fs from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
try {
  await client.audio.transcriptions.create({ file: fs.createReadStream(process.argv[2]), model: "paid/hear" });
  console.log(JSON.stringify({ status: 200, code: null }));
} catch (error) {
  console.log(JSON.stringify({ status: error.status ?? null, code: error.code ?? error.message }));
}
