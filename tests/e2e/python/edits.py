"""Edits pictures, with and without a mask, whole and streamed; prints how many came and whether they are pictures."""

import base64
import io
import json

from openai import OpenAI

client = OpenAI()


def picture(name):
    file = io.BytesIO(b"\x89PNG\r\n\x1a\n" + name.encode())
    file.name = name
    return file


ask = {"prompt": "a red apple", "size": "64x64"}
two = client.images.edit(model="paid/draw", image=[picture("a.png"), picture("b.png")], n=2, **ask)
one = client.images.edit(model="paid/draw-tokens", image=picture("a.png"), mask=picture("m.png"), **ask)
stream = client.images.edit(model="paid/draw-tokens", image=picture("a.png"), stream=True, partial_images=1, **ask)
events = [event.type for event in stream]
print(
    json.dumps(
        {
            "pictures": [len(two.data), len(one.data)],
            "png": base64.b64decode(one.data[0].b64_json).startswith(b"\x89PNG"),
            "events": events,
        }
    )
)
