"""Gives up waiting before the answer is there and asks again under one Idempotency-Key; prints what it got in the end."""

import json
import sys

from openai import OpenAI

client = OpenAI(timeout=0.7, max_retries=8)
done = client.chat.completions.with_raw_response.create(
    model=sys.argv[1],
    messages=[{"role": "user", "content": "Say hello"}],
    extra_headers={"Idempotency-Key": "order of " + sys.argv[2]},
    extra_body={"sim": {"mode": "slow", "first_ms": 1500}},
)
text = done.parse().choices[0].message.content
print(json.dumps({"text": text, "replayed": done.headers.get("idempotent-replayed")}))
