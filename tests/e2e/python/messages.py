"""A message whole and streamed, a call of a tool, and a count of tokens: what came, and which exceptions are raised."""

import json
import sys

import anthropic
from anthropic import Anthropic

client = Anthropic()
model = sys.argv[1]
asked = {"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": "Say hello"}]}


def raised(call):
    try:
        call()
    except anthropic.APIStatusError as error:
        kind = (error.body or {}).get("error", {}).get("type")
        return {"class": type(error).__name__, "status": error.status_code, "type": kind, "id": error.request_id}
    except anthropic.APIError as error:
        return {"class": type(error).__name__}
    return None


def streamed(**more):
    with client.messages.stream(**asked, **more) as stream:
        text = "".join(stream.text_stream)
        return {"text": text, "tokens": stream.get_final_message().usage.output_tokens}


if len(sys.argv) > 2:
    sim = json.loads(sys.argv[2])
    more = {"extra_body": {"sim": sim}} if sim else {}
    call = (lambda: streamed(**more)) if "mode" in sim else (lambda: client.messages.create(**asked, **more))
    print(json.dumps(raised(call)))
    sys.exit(0)

whole = client.messages.create(**asked)
schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
tool = {"name": "weather", "description": "Tell the weather.", "input_schema": schema}
counted = client.messages.count_tokens(model=model, messages=asked["messages"])
called = client.messages.create(**asked | {"model": sys.argv[1].replace("claude", "claude-tools")}, tools=[tool])
print(
    json.dumps(
        {
            "whole": whole.content[0].text,
            "usage": [whole.usage.input_tokens, whole.usage.output_tokens],
            "model": whole.model,
            "stream": streamed(),
            "count": counted.input_tokens,
            "tool": [called.content[0].name, called.content[0].input, called.stop_reason],
        }
    )
)
