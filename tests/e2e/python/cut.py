"""A stream that fails in the middle: what arrived, and which exception."""

import json
import sys

import openai
from openai import OpenAI

client = OpenAI()
text, raised, code = "", None, None
try:
    stream = client.chat.completions.create(
        model=sys.argv[1],
        messages=[{"role": "user", "content": "Say hello"}],
        stream=True,
        extra_body={"sim": json.loads(sys.argv[2])},
    )
    for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
except openai.APIError as error:
    raised, code = type(error).__name__, error.code
print(json.dumps({"text": text, "raised": raised, "code": code}))
