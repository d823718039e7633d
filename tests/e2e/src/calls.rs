//! What nearly every test says: one chat, one key, one refusal.

use crate::client::Answer;
use crate::world::World;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// A short chat with this model.
pub fn chat(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Say hello" }] })
}

/// What [`Answer::refusal`] gives for this status and code.
pub fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// A JSON string; empty when it is none.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl World {
    /// One short chat.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn ask(&self, key: &str, model: &str) -> Result<Answer> {
        self.client.post("/v1/chat/completions", key, &chat(model)).await
    }

    /// One short chat with `free/echo` and these headers beside the key's.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn ask_from(&self, key: &str, more: &[(&str, &str)]) -> Result<Answer> {
        let bearer = format!("Bearer {key}");
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", "application/json")];
        headers.extend(more);
        self.client.send("POST", "/v1/chat/completions", &headers, chat("free/echo").to_string().as_bytes()).await
    }

    /// Creates an inference key with these fields beside a name, and gives its text.
    ///
    /// # Errors
    /// As [`World::create_key`].
    pub async fn key_with(&self, fields: &Value) -> Result<String> {
        let mut body = json!({ "name": "limited" });
        for (name, value) in fields.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let key = self.create_key(&body).await?;
        Ok(key["value"].as_str().context("no value in the reply of create")?.to_owned())
    }

    /// Path of the organization's first environment in the Administration API.
    ///
    /// # Errors
    /// When the list is refused.
    pub async fn environment_path(&self) -> Result<String> {
        let list = self.client.get("/v1/organization/projects", &self.admin_key).await?;
        let id = list.json()["data"][0]["id"].as_str().map(str::to_owned);
        Ok(format!("/v1/organization/projects/{}", id.with_context(|| list.text())?))
    }
}
