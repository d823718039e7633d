"""LiteLLM as a client on a base URL alone: a message, a stream, vectors, sound; which exceptions it makes of refusals.

With addresses of servers, each with a key and a model, it ranks documents instead, by each provider whose form it speaks.
"""

import json
import os
import sys

import litellm

litellm.suppress_debug_info = True
MESSAGES = [{"role": "user", "content": "Say hello"}]
DOCUMENTS = ["green pears", "apples, red", "an apple is red"]
TOO_LONG = "This model's maximum context length is 512 tokens. However, you requested 900 tokens."


def raised(**more):
    try:
        litellm.completion(**{"model": "openai/paid/echo", "messages": MESSAGES, **more})
    except Exception as error:
        return [type(error).__name__, getattr(error, "status_code", None)]
    return None


def ranked(model, url, key):
    answer = litellm.rerank(
        model=model, query="red apples", documents=DOCUMENTS, top_n=2, api_base=url, api_key=key
    )
    return [[result["index"], result["relevance_score"]] for result in answer.results]


def calls():
    whole = litellm.completion(model="openai/paid/echo", messages=MESSAGES)
    text, usage = "", None
    stream = litellm.completion(
        model="openai/paid/echo", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    for chunk in stream:
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        usage = getattr(chunk, "usage", None) or usage
    vectors = litellm.embedding(model="openai/paid/embed", input=["Say hello", "a"])
    sound = litellm.speech(model="openai/paid/say", voice="alloy", input="Say hello!", response_format="wav")
    too_long = {"message": TOO_LONG, "type": "BadRequestError", "param": None, "code": 400}
    return {
        "whole": [whole.choices[0].message.content, whole.usage.total_tokens, whole.model],
        "stream": [text, usage.total_tokens],
        "vectors": [len(vector["embedding"]) for vector in vectors.data],
        "sound": len(sound.content),
        "revoked": raised(api_key=os.environ["REVOKED"]),
        "unknown": raised(model="openai/no/such"),
        "too_long": raised(max_tokens=9, sim={"mode": "status", "code": 400, "body": {"error": too_long}}),
        "failed": raised(sim={"mode": "status", "code": 500}),
    }


if len(sys.argv) == 1:
    print(json.dumps(calls()))
elif sys.argv[1] == "refused":
    print(json.dumps(raised()))
else:
    servers = zip(sys.argv[1::3], sys.argv[2::3], sys.argv[3::3])
    print(json.dumps([[ranked(f"{by}/{model}", url, key) for by in ("jina_ai", "cohere")] for url, key, model in servers]))
