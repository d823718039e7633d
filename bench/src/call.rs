//! The requests of a run, rendered once: the generator must cost less than what it measures.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::load::Answer;

/// A step through the keys that visits all of them in scattered order: a prime beyond any count of keys used here.
const KEY_STRIDE: u64 = 1_000_003;

/// A user message that makes the whole body about 350 bytes long, as a short chat turn is.
const PROMPT: &str = "Summarise in two sentences what the keeper of the keys did on the day the gate was closed, \
    name the gate, and say who asked for it to be opened again before the evening came.";

/// Where to call, and one rendered request for each key.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) address: SocketAddrV4,
    /// What they ask for.
    pub(crate) answer: Answer,
    requests: Vec<Vec<u8>>,
}

impl Calls {
    /// Reads `--url`, `--model` and `--keys-file` (one key a line).
    ///
    /// # Errors
    /// When the address is not a loopback address, or the keys cannot be read.
    pub(crate) fn from_arguments(arguments: &mut Arguments, answer: Answer) -> anyhow::Result<Self> {
        let (address, path) = loopback_url(&arguments.required::<String>("url")?)?;
        let model = arguments.required::<String>("model")?;
        let file = arguments.required::<String>("keys-file")?;
        let keys = read_keys(Path::new(&file))?;
        let (content_type, body) = answer.body(&model);
        let some = keys.iter().take(answer.requests_max());
        let requests = some.map(|key| render("POST", &path, address, key, content_type, &body)).collect();
        Ok(Self { address, answer, requests })
    }

    /// The request of the n-th call.
    pub(crate) fn request(&self, number: u64) -> &[u8] {
        let count = self.requests.len() as u64;
        &self.requests[(number.wrapping_mul(KEY_STRIDE) % count) as usize]
    }
}

/// Renders one HTTP/1.1 request with a bearer credential and a body.
pub(crate) fn render(
    method: &str,
    path: &str,
    address: SocketAddrV4,
    key: &str,
    content_type: &str,
    body: &[u8],
) -> Vec<u8> {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nContent-Type: {content_type}\r\n\
         Accept: application/json\r\nUser-Agent: claviger-bench\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The body of a chat call; `extra` members are added to it.
pub(crate) fn chat_body(model: &str, extra: Value) -> Value {
    let mut body = json!({
        "model": model,
        "messages": [
            { "role": "system", "content": "You answer briefly and truthfully." },
            { "role": "user", "content": PROMPT },
        ],
        "temperature": 0.2,
    });
    if let (Some(body), Value::Object(extra)) = (body.as_object_mut(), extra) {
        body.extend(extra);
    }
    body
}

/// Splits `http://127.x.y.z:port/path`.
fn loopback_url(url: &str) -> anyhow::Result<(SocketAddrV4, String)> {
    let rest = url.strip_prefix("http://").with_context(|| format!("{url:?} is not an http:// address"))?;
    let (address, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address: SocketAddrV4 = address.parse().with_context(|| format!("{url:?} names no address and port"))?;
    ensure!(address.ip().is_loopback(), "{address} is no loopback address: the bench loads nothing else");
    Ok((address, format!("/{path}")))
}

fn read_keys(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("keys of {}", file.display()))?;
    let keys: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if keys.is_empty() {
        bail!("{} holds no key", file.display());
    }
    Ok(keys)
}

/// The n-th source address of a run with very many connections: servers bound connections by client address.
pub(crate) fn source_address(connection: usize) -> SocketAddrV4 {
    const CONNECTIONS_PER_ADDRESS: usize = 500;
    let host = (connection / CONNECTIONS_PER_ADDRESS) % 200 + 1;
    SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, host as u8), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_loaded() {
        let (address, path) = loopback_url("http://127.0.0.1:9100/v1/chat/completions").unwrap();
        assert_eq!((address.port(), path.as_str()), (9100, "/v1/chat/completions"));
        assert!(loopback_url("http://10.0.0.1:80/").is_err());
        assert!(loopback_url("https://127.0.0.1:80/").is_err());
        assert!(loopback_url("http://example.com/").is_err());
    }

    #[test]
    fn every_key_is_visited_before_one_is_visited_again() {
        let calls = Calls {
            address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
            answer: Answer::Json,
            requests: (0..1000_u32).map(|key| key.to_be_bytes().to_vec()).collect(),
        };
        let mut seen: Vec<&[u8]> = (0..1000).map(|number| calls.request(number)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1000);
    }

    #[test]
    fn a_request_is_about_as_long_as_a_short_chat_turn() {
        let length = chat_body("bench", json!({ "max_tokens": 64 })).to_string().len();
        assert!((320..400).contains(&length), "{length}");
    }
}
