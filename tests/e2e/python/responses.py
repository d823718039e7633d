"""A response whole and streamed, a call of a tool, and one bent by the upstream: what came, and what was raised."""

import json
import sys

from openai import OpenAI

client = OpenAI()
model = sys.argv[1]
more = {"extra_body": {"sim": json.loads(sys.argv[2])}} if len(sys.argv) > 2 else {}


def streamed():
    text, last = "", None
    for event in client.responses.create(model=model, input="Say hello", stream=True, **more):
        if event.type == "response.output_text.delta":
            text += event.delta
        last = event
    response = last.response
    error = response.error.code if response.error else None
    tokens = response.usage.total_tokens if response.usage else None
    return {"text": text, "last": last.type, "error": error, "tokens": tokens}


if more:
    print(json.dumps(streamed()))
    sys.exit(0)
whole = client.responses.create(model=model, instructions="Be brief.", input="Say hello")
schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}, "additionalProperties": False}
tools = [{"type": "function", "name": "weather", "parameters": schema, "strict": True}, {"type": "web_search"}]
called = client.responses.create(model=model.replace("gpt", "gpt-tools"), input="Say hello", tools=tools)
print(
    json.dumps(
        {
            "whole": whole.output_text,
            "usage": [whole.usage.input_tokens, whole.usage.output_tokens],
            "model": whole.model,
            "stream": streamed(),
            "tool": [called.output[0].name, json.loads(called.output[0].arguments)],
            "previous": client.responses.create(model=model, input="Say hello", previous_response_id=whole.id).output_text,
        }
    )
)
