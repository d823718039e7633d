"""Asks a model that is served by somebody else's server behind Claviger for vectors, as the SDK does by itself and as numbers.

Reads OPENAI_API_KEY and OPENAI_BASE_URL from the environment; prints one JSON object.

    python real_vectors.py MODEL
"""

import json
import sys

import openai

client = openai.OpenAI(max_retries=0, timeout=30)


def embedded(**more):
    raw = client.embeddings.with_raw_response.create(model=sys.argv[1], input=["Say hello", "a"], **more)
    answer = raw.parse()
    return {
        "request_id": raw.headers["x-request-id"],
        "model": answer.model,
        "lengths": [len(vector.embedding) for vector in answer.data],
        "first": answer.data[0].embedding[0],
        "usage": answer.usage.model_dump(),
    }


print(json.dumps({"usual": embedded(), "floats": embedded(encoding_format="float")}))
