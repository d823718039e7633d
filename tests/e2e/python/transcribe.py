"""Transcribes the file of the first argument in every form, and translates it; prints what came."""

import json
import sys

from openai import OpenAI

client = OpenAI()


def of(form, **more):
    with open(sys.argv[1], "rb") as file:
        return client.audio.transcriptions.create(model="paid/hear", file=file, response_format=form, **more)


with open(sys.argv[1], "rb") as file:
    translated = client.audio.translations.create(model="paid/hear", file=file)
events = [event.type for event in of("json", stream=True)]
print(
    json.dumps(
        {
            "json": of("json").text,
            "text": of("text").strip(),
            "seconds": int(float(of("verbose_json").duration)),
            "events": events,
            "translated": translated.text,
        }
    )
)
