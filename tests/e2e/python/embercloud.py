"""No key in the code: the SDK reads OPENAI_API_KEY and OPENAI_BASE_URL."""

from openai import OpenAI

client = OpenAI()
response = client.chat.completions.create(
    model="glm-4.7",
    messages=[{"role": "user", "content": "Hello!"}],
)
print(response.choices[0].message.content)
