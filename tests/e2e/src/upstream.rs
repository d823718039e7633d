//! The scripted upstream: `claviger simulate` as a process, and its own record of what arrived.

use crate::client::Client;
use crate::ports;
use crate::program::{Program, binary};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::Path;
use tokio::process::Command;

/// A running upstream.
pub struct Upstream {
    program: Program,
    client: Client,
    url: String,
}

/// One request as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Seen(pub Value);

impl Seen {
    /// The path it came to.
    pub fn path(&self) -> &str {
        self.0["path"].as_str().unwrap_or_default()
    }

    /// Its header names and values, names in lower case.
    pub fn headers(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match &self.0["headers"] {
            Value::Array(list) => {
                list.iter().map(|pair| (text(&pair[0]).to_ascii_lowercase(), text(&pair[1]))).collect()
            }
            Value::Object(map) => map.iter().map(|(name, value)| (name.to_ascii_lowercase(), text(value))).collect(),
            _ => Vec::new(),
        }
    }

    /// One header's value; empty when it did not come.
    pub fn header(&self, name: &str) -> String {
        self.headers().into_iter().find(|(found, _)| found == name).map(|(_, value)| value).unwrap_or_default()
    }

    /// The body as it came.
    pub fn body(&self) -> String {
        match &self.0["body"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body()).unwrap_or_default()
    }

    /// How it ended: `complete`, or cut by the peer.
    pub fn ending(&self) -> String {
        match &self.0["ended"] {
            Value::String(text) => text.clone(),
            other => other["how"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

impl Upstream {
    /// Starts one with the given shape; with a key file only that credential is let in.
    ///
    /// # Errors
    /// When it does not answer within ten seconds.
    pub async fn start(folder: &Path, name: &str, shape: &str, key_file: &Path, script: Option<&Path>) -> Result<Self> {
        let listen = format!("127.0.0.1:{}", ports::free()?);
        let mut command = Command::new(binary("claviger")?);
        command
            .args(["simulate", "--listen", &listen, "--shape", shape, "--key-file"])
            .arg(key_file)
            .current_dir(folder);
        if let Some(script) = script {
            command.arg("--script").arg(script);
        }
        let program = Program::start(command, &folder.join(format!("{name}.log")))?;
        let url = format!("http://{listen}");
        let mut upstream = Self { program, client: Client::new(&url), url };
        let (program, client) = (&mut upstream.program, &upstream.client);
        crate::eventually(10, "the simulator answers", async || {
            program.ensure_running()?;
            Ok(client.send("GET", "/_sim/stats", &[], b"").await.ok())
        })
        .await?;
        Ok(upstream)
    }

    /// Where it listens, without a path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every request it still remembers, oldest first.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub async fn seen(&self) -> Result<Vec<Seen>> {
        let answer = self.client.send("GET", "/_sim/requests?after=0", &[], b"").await?;
        ensure!(answer.status == 200, "the record of the simulator: {}", answer.text());
        let list = match answer.json() {
            Value::Array(list) => list,
            other => {
                other["data"].as_array().or(other["requests"].as_array()).cloned().context("no list of requests")?
            }
        };
        Ok(list.into_iter().map(Seen).collect())
    }

    /// How many requests arrived.
    ///
    /// # Errors
    /// As [`Upstream::seen`].
    pub async fn count(&self) -> Result<usize> {
        Ok(self.seen().await?.len())
    }

    /// Empties its record.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn forget(&self) -> Result<()> {
        let answer = self.client.send("DELETE", "/_sim/requests", &[], b"").await?;
        ensure!(answer.status < 300, "emptying the record: {}", answer.text());
        Ok(())
    }

    /// Gives it other rules, from here on.
    ///
    /// # Errors
    /// When it does not take them.
    pub async fn script(&self, rules: &Value) -> Result<()> {
        let answer = self.client.send("PUT", "/_sim/script", &[], rules.to_string().as_bytes()).await?;
        ensure!(answer.status < 300, "the script: {}", answer.text());
        Ok(())
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it was gone already.
    pub async fn kill(&mut self) -> Result<()> {
        self.program.kill().await
    }

    /// Its counters: open connections, requests in flight.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn stats(&self) -> Result<Value> {
        Ok(self.client.send("GET", "/_sim/stats", &[], b"").await?.json())
    }
}
