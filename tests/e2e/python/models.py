"""Lists the models and retrieves the one named by the argument."""

import json
import sys

from openai import OpenAI

client = OpenAI()
wanted = sys.argv[1]
print(
    json.dumps(
        {
            "listed": any(model.id == wanted for model in client.models.list()),
            "retrieved": client.models.retrieve(wanted).id,
        }
    )
)
