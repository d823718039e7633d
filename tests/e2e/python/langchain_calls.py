"""LangChain on a base URL alone: a message, a stream, a structured answer, vectors, and a refusal."""

import json
import os

import openai
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


class City(BaseModel):
    """A city."""

    name: str
    inhabitants: int


chat = ChatOpenAI(model="paid/echo")
whole = chat.invoke("Say hello")
streamed = "".join(chunk.text for chunk in chat.stream("Say hello"))
structured = ChatOpenAI(model="paid/json").with_structured_output(City).invoke("Which city?")
embeddings = OpenAIEmbeddings(model="paid/embed", check_embedding_ctx_length=False)
vectors = embeddings.embed_documents(["Say hello", "a"])
try:
    ChatOpenAI(model="paid/echo", api_key=os.environ["REVOKED"]).invoke("Say hello")
    refused = None
except openai.AuthenticationError as error:
    refused = error.code
print(
    json.dumps(
        {
            "whole": whole.text,
            "tokens": whole.usage_metadata["total_tokens"],
            "stream": streamed,
            "structured": structured.model_dump(),
            "vectors": [len(vector) for vector in vectors],
            "refused": refused,
        }
    )
)
