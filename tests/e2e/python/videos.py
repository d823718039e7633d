"""Makes a video, waits for it, downloads it, lists and deletes it; prints what came."""

import json

from openai import OpenAI

client = OpenAI()
video = client.videos.create_and_poll(model="paid/film", prompt="a cat on a roof", seconds="4", size="720x1280")
content = client.videos.download_content(video.id).read()
listed = [item.id for item in client.videos.list()]
deleted = client.videos.delete(video.id)
print(
    json.dumps(
        {
            "status": video.status,
            "seconds": video.seconds,
            "model": video.model,
            "mp4": content[4:8].decode(),
            "listed": video.id in listed,
            "deleted": deleted.deleted,
        }
    )
)
