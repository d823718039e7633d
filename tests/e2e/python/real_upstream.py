"""Calls a model that is served by somebody else's server behind Claviger: whole, streamed, and with too long a prompt.

Reads OPENAI_API_KEY and OPENAI_BASE_URL from the environment; prints one JSON object.

    python real_upstream.py MODEL
"""

import json
import sys

import openai

MESSAGES = [{"role": "user", "content": "Say hello"}]
TOKENS_MAX = 12


def whole(client, model):
    raw = client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES, max_tokens=TOKENS_MAX)
    completion = raw.parse()
    return {
        "request_id": raw.headers["x-request-id"],
        "model": completion.model,
        "content": completion.choices[0].message.content,
        "finish_reason": completion.choices[0].finish_reason,
        "usage": completion.usage.model_dump(exclude_none=True),
    }


def streamed(client, model, wants_usage):
    options = {"stream_options": {"include_usage": True}} if wants_usage else {}
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=MESSAGES, max_tokens=TOKENS_MAX, stream=True, **options
    )
    content, finish_reason, usage, chunks, models = "", None, None, 0, set()
    for chunk in raw.parse():
        models.add(chunk.model)
        if chunk.usage is not None:
            usage = chunk.usage.model_dump(exclude_none=True)
        for choice in chunk.choices:
            chunks += 1
            content += choice.delta.content or ""
            finish_reason = choice.finish_reason or finish_reason
    return {
        "request_id": raw.headers["x-request-id"],
        "models": sorted(models),
        "content": content,
        "finish_reason": finish_reason,
        "chunks": chunks,
        "usage": usage,
    }


def too_long(client, model):
    """More tokens than the server's context holds: its own refusal, in the shape the SDK understands."""
    try:
        client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "word " * 400}], max_tokens=TOKENS_MAX
        )
    except openai.APIStatusError as error:
        return {
            "request_id": error.response.headers["x-request-id"],
            "type": type(error).__name__,
            "status": error.status_code,
            "code": error.code,
            "message": str(error),
        }
    return None


def streamed_too_long(client, model):
    """llama.cpp's Python server answers this one with status 200 and an empty body: nobody must take it for an answer."""
    try:
        chunks = list(
            client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": "word " * 400}], max_tokens=TOKENS_MAX, stream=True
            )
        )
        return {"chunks": len(chunks)}
    except openai.APIError as error:
        return {"type": type(error).__name__, "code": error.code, "message": str(error)}


def main():
    client = openai.OpenAI(max_retries=0, timeout=30)
    model = sys.argv[1]
    print(
        json.dumps(
            {
                "whole": whole(client, model),
                "streamed": streamed(client, model, wants_usage=False),
                "streamed_with_usage": streamed(client, model, wants_usage=True),
                "too_long": too_long(client, model),
                "streamed_too_long": streamed_too_long(client, model),
            }
        )
    )


main()
