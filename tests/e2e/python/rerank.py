"""Ranks documents by the Cohere SDK, at the base URL of the first argument with the model of the second."""

import json
import os
import sys

import cohere

client = cohere.ClientV2(api_key=os.environ["CO_API_KEY"], base_url=sys.argv[1])
answer = client.rerank(
    model=sys.argv[2], query="red apples", documents=["green pears", "apples, red", "an apple is red"], top_n=2
)
print(
    json.dumps(
        {
            "order": [result.index for result in answer.results],
            "scores": [result.relevance_score for result in answer.results],
            "units": answer.meta.billed_units.search_units,
        }
    )
)
