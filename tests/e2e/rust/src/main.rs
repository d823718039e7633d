//! The Rust client on a base URL alone, the strictest parser among the clients: models, a message whole and streamed with
//! each finish reason, a tool, vectors, a response, and what is refused. Prints one JSON object; it knows no expectation.

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::types::chat::{ChatCompletionMessageToolCalls, CreateChatCompletionRequest};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

fn chat(more: Value) -> CreateChatCompletionRequest {
    let mut body = json!({ "model": "paid/echo", "messages": [{ "role": "user", "content": "Say hello" }] });
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    serde_json::from_value(body).expect("a request of the client's own type")
}

fn told(error: &OpenAIError) -> Value {
    match error {
        OpenAIError::ApiError(error) => {
            json!({ "status": error.status_code.as_u16(), "type": error.api_error.r#type, "code": error.api_error.code })
        }
        OpenAIError::StreamError(_) => json!({ "stream": true }),
        other => json!({ "other": other.to_string() }),
    }
}

async fn whole(client: &Client<OpenAIConfig>, more: Value) -> Value {
    match client.chat().create(chat(more)).await {
        Err(error) => told(&error),
        Ok(answer) => {
            let choice = &answer.choices[0];
            let calls: Vec<Value> = choice.message.tool_calls.iter().flatten().map(called).collect();
            let total = answer.usage.as_ref().map(|usage| usage.total_tokens);
            json!({ "text": choice.message.content, "calls": calls, "end": choice.finish_reason, "tokens": total })
        }
    }
}

fn called(call: &ChatCompletionMessageToolCalls) -> Value {
    match call {
        ChatCompletionMessageToolCalls::Function(call) => json!([call.function.name, call.function.arguments]),
        ChatCompletionMessageToolCalls::Custom(call) => json!([call.custom_tool.name]),
    }
}

async fn streamed(client: &Client<OpenAIConfig>, more: Value) -> Value {
    let mut stream = match client.chat().create_stream(chat(more)).await {
        Ok(stream) => stream,
        Err(error) => return told(&error),
    };
    let (mut text, mut end, mut usages, mut fault) = (String::new(), Value::Null, 0, Value::Null);
    while let Some(chunk) = stream.next().await {
        match chunk {
            Err(error) => fault = json!(error.to_string()),
            Ok(chunk) => {
                usages += u32::from(chunk.usage.is_some());
                for choice in chunk.choices {
                    text += choice.delta.content.as_deref().unwrap_or_default();
                    end = choice.finish_reason.map_or(end, |reason| json!(reason));
                }
            }
        }
    }
    json!({ "text": text, "end": end, "usages": usages, "fault": fault })
}

async fn response(client: &Client<OpenAIConfig>) -> Value {
    let request = serde_json::from_value(json!({ "model": "paid/gpt", "input": "Say hello" })).expect("a request");
    match client.responses().create(request).await {
        Ok(answer) => json!(answer.output_text()),
        Err(error) => told(&error),
    }
}

async fn vectors(client: &Client<OpenAIConfig>) -> Value {
    let body = json!({ "model": "paid/embed", "input": ["Say hello", "a"] });
    match client.embeddings().create(serde_json::from_value(body).expect("a request")).await {
        Ok(answer) => json!(answer.data.iter().map(|vector| vector.embedding.len()).collect::<Vec<_>>()),
        Err(error) => told(&error),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let client = Client::new();
    if std::env::args().nth(1).is_some_and(|word| word == "refused") {
        return println!("{}", whole(&client, json!({})).await);
    }
    let models = client.models().list().await.map(|list| list.data.len()).unwrap_or_default();
    let one = client.models().retrieve("meta-llama/Llama-3.1-8B-Instruct").await;
    let weather = json!({ "type": "object", "required": ["city"], "properties": { "city": { "type": "string" } } });
    let tools = json!([{ "type": "function", "function": { "name": "weather", "parameters": weather } }]);
    let usage = json!({ "stream": true, "stream_options": { "include_usage": true } });
    let said = json!({
        "models": models > 10,
        "model": one.map_or_else(|error| told(&error), |model| json!(model.id)),
        "whole": whole(&client, json!({})).await,
        "short": whole(&client, json!({ "max_completion_tokens": 1 })).await,
        "tool": whole(&client, json!({ "model": "paid/tools", "tools": tools })).await,
        "stream": streamed(&client, json!({ "stream": true })).await,
        "stream_with_usage": streamed(&client, usage).await,
        "broken": streamed(&client, json!({ "stream": true, "model": "paid/broken" })).await,
        "vectors": vectors(&client).await,
        "response": response(&client).await,
        "unknown": whole(&client, json!({ "model": "no/such" })).await,
    });
    println!("{said}");
}
