"""Asks for pictures, as data and as URLs; prints how many came and whether they are pictures."""

import base64
import json

from openai import OpenAI

client = OpenAI()
data = client.images.generate(model="paid/draw", prompt="a red apple", n=2, size="64x64", response_format="b64_json")
urls = client.images.generate(model="paid/draw-tokens", prompt="a red apple", n=2, size="64x64", response_format="url")
picture = base64.b64decode(data.data[0].b64_json)
print(
    json.dumps(
        {
            "pictures": [len(data.data), len(urls.data)],
            "png": picture.startswith(b"\x89PNG") and urls.data[1].url.startswith("data:image/png"),
            "wide": int.from_bytes(picture[16:20], "big"),
        }
    )
)
