"""Has a text spoken and prints how many bytes came, read as a stream, and of what type."""

import json

from openai import OpenAI

client = OpenAI()
with client.audio.speech.with_streaming_response.create(
    model="paid/say", input="h\u00e9llo \u4f60\u597d \U0001f44b", voice="alloy", response_format="wav"
) as answer:
    size = sum(len(piece) for piece in answer.iter_bytes())
    print(json.dumps({"bytes": size, "type": answer.headers["content-type"]}))
