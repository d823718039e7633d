"""Continues a text twice, whole and as a stream with usage; prints both texts and the usage."""

import json
import sys

from openai import OpenAI

client = OpenAI()
model = sys.argv[1]
whole = client.completions.create(model=model, prompt="Once upon a time")
text, usage = "", None
options = {"include_usage": True}
for chunk in client.completions.create(model=model, prompt="Once upon a time", stream=True, stream_options=options):
    text += "".join(choice.text for choice in chunk.choices)
    usage = chunk.usage or usage
print(json.dumps({"whole": whole.choices[0].text, "stream": text, "tokens": usage.total_tokens, "model": whole.model}))
