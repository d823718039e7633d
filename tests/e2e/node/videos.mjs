// Makes a video, waits for it, downloads it, lists and deletes it; prints what came.
import OpenAI from "openai";

const client = new OpenAI();
const ask = { model: "paid/film", prompt: "a cat on a roof", seconds: "4", size: "720x1280" };
let video = await client.videos.create(ask);
while (video.status === "queued" || video.status === "in_progress") {
  await new Promise((resolve) => setTimeout(resolve, 500));
  video = await client.videos.retrieve(video.id);
}
const content = Buffer.from(await (await client.videos.downloadContent(video.id)).arrayBuffer());
const listed = [];
for await (const item of client.videos.list()) listed.push(item.id);
const deleted = await client.videos.delete(video.id);
console.log(
  JSON.stringify({
    status: video.status,
    seconds: video.seconds,
    model: video.model,
    mp4: content.subarray(4, 8).toString(),
    listed: listed.includes(video.id),
    deleted: deleted.deleted,
  }),
);
