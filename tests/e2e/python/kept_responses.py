"""Responses that are kept: read, listed, gone on from, counted, compacted, ended; and what another key is told."""

import json
import sys

import openai
from openai import OpenAI

client = OpenAI()
stranger = OpenAI(api_key=sys.argv[1])
one, other, both = sys.argv[2:5]


def raised(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.code, error.body]
    return None


def streamed(**more):
    last = None
    for event in client.responses.create(model=one, input="Say hello", stream=True, **more):
        last = event
    return last.response


def text(item):
    return item.content[0].text


first = client.responses.create(model=other, input="Say hello")
read = client.responses.retrieve(first.id)
second = client.responses.create(model=both, input="And more", previous_response_id=first.id)
begun = streamed()
gone_on = streamed(previous_response_id=begun.id)
unkept = client.responses.create(model=one, input="x", store=False)
counted = client.responses.input_tokens.count(model=one, input="Say hello", previous_response_id=begun.id)
compacted = client.responses.compact(model=one, input="Say hello")
items = client.responses.input_items.list(first.id, limit=1, order="asc")
deleted = client.delete("/responses/" + second.id, cast_to=object)
unknown = "resp_" + "0" * 22
foreign = [raised(lambda: who.responses.retrieve(id)) for who, id in [(stranger, first.id), (client, unknown), (client, "x"), (client, second.id), (client, unkept.id)]]
ids = [first.id, begun.id, "resp_" + "0" * 22, "x"]
refused = [raised(lambda: stranger.responses.create(model=one, input="x", previous_response_id=id)) for id in ids]
print(
    json.dumps(
        {
            "read": [read.id == first.id, read.model, read.output_text, read.previous_response_id],
            "second": [second.model, second.previous_response_id == first.id],
            "streamed": [begun.id != gone_on.id, gone_on.previous_response_id == begun.id, gone_on.model],
            "kept_stream": client.responses.retrieve(gone_on.id).previous_response_id == begun.id,
            "items": [text(item) for item in items],
            "counted": counted.input_tokens,
            "compacted": [compacted.object, compacted.output[0].type, compacted.usage.total_tokens],
            "deleted": [deleted["id"] == second.id, deleted["deleted"]],
            "cancel": raised(lambda: client.responses.cancel(first.id))[:2],
            "unknown": [len({json.dumps(answer) for answer in foreign}), foreign[0][:2]],
            "refused": [len({json.dumps(answer) for answer in refused}), refused[0][:2]],
            "ids": [first.id, begun.id, gone_on.id],
        }
    )
)
