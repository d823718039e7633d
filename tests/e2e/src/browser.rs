//! A browser without a screen: it keeps its cookie, and says which page a request comes from.

use crate::client::{Answer, Client};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// One browser of one person.
#[derive(Clone)]
pub struct Browser {
    client: Client,
    origin: String,
    /// The cookie, `name=value`; empty without one.
    pub cookie: String,
    /// The organization whose pages are open.
    pub organization: String,
}

impl Browser {
    /// A browser on the console at `url`, signed in as nobody.
    pub fn new(url: &str) -> Self {
        Self { client: Client::new(url), origin: url.to_owned(), cookie: String::new(), organization: String::new() }
    }

    /// Signs in.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn signed_in(url: &str, email: &str, password: &str) -> Result<Self> {
        let mut browser = Self::new(url);
        let answer = browser.post("/api/auth/sign_in", &json!({ "email": email, "password": password })).await?;
        ensure!(answer.status == 200, "sign-in answered {}: {}", answer.status, answer.text());
        Ok(browser)
    }

    /// Any request.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let mut headers = vec![("origin", self.origin.as_str())];
        if !self.cookie.is_empty() {
            headers.push(("cookie", self.cookie.as_str()));
        }
        if !self.organization.is_empty() {
            headers.push(("x-claviger-organization", self.organization.as_str()));
        }
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let answer = self.client.send(method, path, &headers, bytes.as_bytes()).await?;
        let set = answer.header("set-cookie");
        if let Some(pair) = set.split(';').next().filter(|pair| !pair.is_empty()) {
            self.cookie = if pair.ends_with('=') { String::new() } else { pair.to_owned() };
        }
        Ok(answer)
    }

    /// Reads.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get(&mut self, path: &str) -> Result<Answer> {
        self.send("GET", path, None).await
    }

    /// Writes.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn post(&mut self, path: &str, body: &Value) -> Result<Answer> {
        self.send("POST", path, Some(body)).await
    }

    /// Ends something.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn delete(&mut self, path: &str) -> Result<Answer> {
        self.send("DELETE", path, None).await
    }

    /// Who is signed in.
    ///
    /// # Errors
    /// When nobody is.
    pub async fn me(&mut self) -> Result<Value> {
        let answer = self.get("/api/me").await?;
        ensure!(answer.status == 200, "me answered {}: {}", answer.status, answer.text());
        Ok(answer.json())
    }
}
