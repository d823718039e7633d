//! An identity provider of the other party: it speaks OpenID Connect over HTTP on loopback, signs with ES256, consents for
//! whoever comes, and is strict about what a client must prove.

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// The client that it knows, and its secret.
pub const CLIENT: (&str, &str) = ("claviger", "issuer-secret-51c0");

/// The provider; it ends with its value.
pub struct Issuer {
    /// Its URL.
    pub url: String,
    known: Arc<Known>,
    task: JoinHandle<()>,
}

struct Known {
    url: String,
    /// The keys it has signed with, the newest last; it shows that one alone.
    keys: Mutex<Vec<EcdsaKeyPair>>,
    /// What it says about whoever signs in next.
    person: Mutex<Value>,
    /// Code → what was asked for it.
    codes: Mutex<HashMap<String, HashMap<String, String>>>,
}

impl Issuer {
    /// Starts one.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let keys = Mutex::new(vec![new_key()?]);
        let known = Arc::new(Known { url: url.clone(), keys, person: Mutex::default(), codes: Mutex::default() });
        let served = known.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, served.clone()));
            }
        });
        Ok(Self { url, known, task })
    }

    /// Says this about whoever signs in next: claims such as `sub` and `email`.
    pub async fn says(&self, person: Value) {
        *self.known.person.lock().await = person;
    }

    /// Signs with another key from now on, and shows it in place of the former.
    ///
    /// # Errors
    /// When no key can be made.
    pub async fn rotate(&self) -> Result<()> {
        self.known.keys.lock().await.push(new_key()?);
        Ok(())
    }

    /// A token of these claims, of this issuer and good for five minutes unless they say otherwise.
    pub async fn token(&self, claims: &Value) -> String {
        self.known.token(claims, 1).await
    }

    /// The same, by the key before the last.
    pub async fn token_by_former(&self, claims: &Value) -> String {
        self.known.token(claims, 2).await
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn new_key() -> Result<EcdsaKeyPair> {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("no key")
}

async fn serve(mut stream: TcpStream, known: Arc<Known>) -> Result<()> {
    let mut read = Vec::new();
    let (head, body) = loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await?;
        read.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            anyhow::ensure!(count > 0, "the client left");
            continue;
        };
        let length = header(head, "content-length").parse().unwrap_or(0);
        if body.len() >= length {
            break (head.to_owned(), body.to_owned());
        }
    };
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (status, more, body) = known.answer(path, query, &head, &body).await;
    let answer = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n{more}\r\n{body}",
        body.len()
    );
    Ok(stream.write_all(answer.as_bytes()).await?)
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value.trim())
}

/// The names and values of a form or query.
fn parameters(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits: String = rest.by_ref().take(2).map(char::from).collect();
            bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Known {
    async fn answer(&self, path: &str, query: &str, head: &str, body: &str) -> (u16, String, String) {
        let done = |value: Value| (200, String::new(), value.to_string());
        match path {
            "/.well-known/openid-configuration" => done(json!({
                "issuer": self.url,
                "authorization_endpoint": format!("{}/authorize", self.url),
                "token_endpoint": format!("{}/token", self.url),
                "jwks_uri": format!("{}/keys", self.url),
            })),
            "/keys" => {
                let keys = self.keys.lock().await;
                let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
                let shown = keys.last().map(|key| {
                    let point = key.public_key().as_ref();
                    let (x, y) = (part(&point[1..33]), part(&point[33..]));
                    json!({ "kty": "EC", "crv": "P-256", "kid": format!("k{}", keys.len()), "x": x, "y": y })
                });
                done(json!({ "keys": shown.as_slice() }))
            }
            "/authorize" => self.authorize(parameters(query)).await,
            "/token" => match self.exchange(head, parameters(body)).await {
                Some(token) => done(json!({ "id_token": token, "token_type": "Bearer" })),
                None => (400, String::new(), json!({ "error": "invalid_grant" }).to_string()),
            },
            _ => (404, String::new(), String::new()),
        }
    }

    async fn authorize(&self, asked: HashMap<String, String>) -> (u16, String, String) {
        let has = |name: &str| asked.get(name).is_some_and(|value| !value.is_empty());
        let is_whole = ["state", "nonce", "redirect_uri", "code_challenge"].into_iter().all(has);
        let is_known = asked.get("client_id").is_some_and(|id| id == CLIENT.0);
        if !is_whole || !is_known || asked.get("code_challenge_method").is_none_or(|method| method != "S256") {
            return (400, String::new(), String::new());
        }
        let mut codes = self.codes.lock().await;
        let code = format!("code{}", codes.len() + 1);
        let to = format!("{}?code={code}&state={}", asked["redirect_uri"], asked["state"]);
        codes.insert(code, asked);
        (302, format!("location: {to}\r\n"), String::new())
    }

    /// A code, once, for whoever knows the client's secret and the verifier of its challenge.
    async fn exchange(&self, head: &str, form: HashMap<String, String>) -> Option<String> {
        let expected = format!("Basic {}", STANDARD.encode(format!("{}:{}", CLIENT.0, CLIENT.1)));
        let asked = self.codes.lock().await.insert(form.get("code")?.clone(), HashMap::new())?;
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, form.get("code_verifier")?.as_bytes()));
        let is_theirs = header(head, "authorization") == expected
            && asked.get("code_challenge")? == &challenge
            && asked.get("redirect_uri")? == form.get("redirect_uri")?;
        if !is_theirs {
            return None;
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
        let mut claims = json!({
            "iss": self.url, "aud": CLIENT.0, "iat": now, "exp": now + 300, "auth_time": now, "nonce": asked.get("nonce")?,
        });
        for (name, value) in self.person.lock().await.as_object()? {
            claims[name] = value.clone();
        }
        Some(self.token(&claims, 1).await)
    }

    /// A token signed with one of the keys, counted from the last.
    async fn token(&self, claims: &Value, from_last: usize) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut whole = json!({ "iss": self.url, "iat": now, "exp": now + 300 });
        for (name, value) in claims.as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        let keys = self.keys.lock().await;
        let number = keys.len() + 1 - from_last;
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&json!({ "alg": "ES256", "kid": format!("k{number}") })), part(&whole));
        let signed = keys[number - 1].sign(&SystemRandom::new(), message.as_bytes());
        let signature = signed.map(|signature| URL_SAFE_NO_PAD.encode(signature.as_ref())).unwrap_or_default();
        format!("{message}.{signature}")
    }
}
