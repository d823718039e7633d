"""Uploads a file of so many MiB; prints the status and the code that came back."""

import io
import json
import struct
import sys

from openai import APIStatusError, OpenAI

size = int(sys.argv[1]) * 1024 * 1024
head = b"RIFF" + struct.pack("<I", size - 8) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
sound = head + b"data" + struct.pack("<I", size - 44) + b"a" * (size - 44)
client = OpenAI(max_retries=0)
try:
    client.audio.transcriptions.create(model="paid/hear", file=("long.wav", io.BytesIO(sound)))
    print(json.dumps({"status": 200, "code": None}))
except APIStatusError as error:
    print(json.dumps({"status": error.status_code, "code": error.code}))
