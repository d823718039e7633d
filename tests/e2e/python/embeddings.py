"""Asks for vectors of a model, from an upstream that answers in the form of the second argument; prints two numbers."""

import json
import sys

from openai import OpenAI

client = OpenAI()
answer = client.embeddings.create(
    model=sys.argv[1], input=["Say hello", "a"], extra_body={"sim": {"mode": sys.argv[2]}}
)
vector = answer.data[0].embedding
print(json.dumps({"vectors": len(answer.data), "length": len(vector), "first": vector[0], "model": answer.model}))
