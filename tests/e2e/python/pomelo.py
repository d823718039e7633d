"""The call of the fifth seed document; `gpt-4` is an alias here."""

from openai import OpenAI

client = OpenAI()
response = client.chat.completions.create(
    model="gpt-4", messages=[{"role": "user", "content": "Hello world"}]
)
print(f"{response.model}: {response.choices[0].message.content}")
