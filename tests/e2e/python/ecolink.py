"""The Python snippet of the first seed document; key and base URL are arguments."""

import sys

from openai import OpenAI

client = OpenAI(
    api_key=sys.argv[1],
    base_url=sys.argv[2],
)
resp = client.chat.completions.create(
    model="meta-llama/Llama-3.1-8B-Instruct",
    messages=[{"role": "user", "content": "Say hello"}],
)
print(resp.choices[0].message.content)
