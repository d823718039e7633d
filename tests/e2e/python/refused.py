"""A call that is refused: which exception, with which details."""

import json
import os

import openai
from openai import OpenAI

extra = os.environ.get("EXTRA_X_API_KEY")
client = OpenAI(default_headers={"X-API-Key": extra} if extra else None)
try:
    client.chat.completions.create(
        model="paid/echo", messages=[{"role": "user", "content": "Say hello"}]
    )
    print(json.dumps({"class": None}))
except openai.APIStatusError as error:
    print(
        json.dumps(
            {
                "class": type(error).__name__,
                "status": error.status_code,
                "type": error.type,
                "code": error.code,
                "request_id": error.request_id,
            }
        )
    )
