"""One streamed call without and one with `include_usage`: what came, and how many usage chunks."""

import json
import sys

from openai import OpenAI

client = OpenAI()


def call(**more):
    text, usages = "", 0
    stream = client.chat.completions.create(
        model=sys.argv[1],
        messages=[{"role": "user", "content": "Say hello"}],
        stream=True,
        extra_body={"sim": {"tokens": 12, "first_ms": 0, "gap_ms": 0}},
        **more,
    )
    for chunk in stream:
        usages += chunk.usage is not None
        for choice in chunk.choices:
            text += choice.delta.content or ""
    return {"text": text, "usages": usages}


print(json.dumps({"plain": call(), "asked": call(stream_options={"include_usage": True})}))
