//! What this machine has already: model servers on their usual ports of loopback, and variables that hold credentials of
//! hosted ones (`console.md` §1).
//!
//! Nothing is used because it was found: it is offered, and whoever wants it says so; who wants all of it says that in the
//! configuration (`enable`). Servers are asked without a
//! credential, all within 300 ms; of variables only the names are looked at.

use crate::config::Variables;
use crate::provider_client::list_models;
use claviger_control::{Found, models_of};
use claviger_domain::catalog::{Dialect, Provider, Timeouts};
use claviger_domain::egress::Reach;
use claviger_domain::limits;
use claviger_domain::secret::Secret;
use std::time::Duration;
use tokio::task::JoinSet;

/// A kind of server: what it is called here and by people, how it speaks, where it listens unless told otherwise.
const SERVERS: &[(&str, &str, Dialect, u16)] = &[
    ("ollama", "Ollama", Dialect::Ollama, 11434),
    ("vllm", "vLLM", Dialect::Vllm, 8000),
    ("sglang", "SGLang", Dialect::Sglang, 30000),
    ("llamacpp", "llama.cpp", Dialect::LlamaCpp, 8080),
    ("lm-studio", "LM Studio", Dialect::Compatible, 1234),
    ("xinference", "Xinference", Dialect::Compatible, 9997),
];

/// A variable that its vendor's documentation names, and where its credential belongs.
const VARIABLES: &[(&str, &str, &str, &str)] = &[
    ("openai", "OPENAI_API_KEY", "openai", "https://api.openai.com"),
    ("anthropic", "ANTHROPIC_API_KEY", "anthropic", "https://api.anthropic.com"),
    ("gemini", "GEMINI_API_KEY", "gemini", "https://generativelanguage.googleapis.com/v1beta/openai"),
    ("deepseek", "DEEPSEEK_API_KEY", "compatible", "https://api.deepseek.com"),
    ("dashscope", "DASHSCOPE_API_KEY", "compatible", "https://dashscope.aliyuncs.com/compatible-mode"),
    ("mistral", "MISTRAL_API_KEY", "compatible", "https://api.mistral.ai"),
    ("openrouter", "OPENROUTER_API_KEY", "compatible", "https://openrouter.ai/api"),
];

/// Looks at every known port and variable.
pub(crate) async fn look(variables: &Variables) -> Vec<Found> {
    let mut found: Vec<Found> = named(variables);
    found.extend(listening(SERVERS).await);
    found
}

/// Variables that are set.
fn named(variables: &Variables) -> Vec<Found> {
    let is_set = |variable: &str| variables.find(variable).is_some_and(|value| !value.trim().is_empty());
    let of = |(name, variable, dialect, base_url): &(&'static str, &'static str, &str, &str)| {
        // A dialect that this program does not know yet is none it can offer.
        let dialect = Dialect::from_name(dialect).filter(|_| is_set(variable))?;
        let (label, base_url) = ((*variable).to_owned(), (*base_url).to_owned());
        Some(Found { name, label, dialect, base_url, variable: Some(variable), models: None })
    };
    VARIABLES.iter().filter_map(of).collect()
}

/// Servers that list models to whoever asks.
async fn listening(servers: &[(&'static str, &'static str, Dialect, u16)]) -> Vec<Found> {
    let mut asked = JoinSet::new();
    for (place, (name, label, dialect, port)) in servers.iter().copied().enumerate() {
        asked.spawn(async move {
            let base_url = format!("http://127.0.0.1:{port}");
            let told = list_models(&provider(name, dialect, &base_url, None), limits::DETECTION_PATIENCE).await.ok()?;
            let models = Some(models_of(&told)?);
            let label = format!("{label} on 127.0.0.1:{port}");
            Some((place, Found { name, label, dialect, base_url, variable: None, models }))
        });
    }
    let mut found: Vec<(usize, Found)> = asked.join_all().await.into_iter().flatten().collect();
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, found)| found).collect()
}

/// What was found, as a provider of the platform.
pub(crate) fn provider(name: &str, dialect: Dialect, base_url: &str, credential: Option<Secret<String>>) -> Provider {
    Provider {
        name: name.to_owned(),
        row: None,
        reach: Reach::Anywhere,
        dialect,
        base_url: base_url.to_owned(),
        credential,
        concurrency_max: 0,
        timeouts: Timeouts::default(),
        drain: Duration::from_secs(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// Answers one request with this, and gives its head.
    async fn answer(listener: &TcpListener, reply: &str) -> String {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        let mut head = vec![0; 1024];
        let read = stream.read(&mut head).await.expect("asked");
        stream.write_all(reply.as_bytes()).await.expect("answered");
        String::from_utf8_lossy(&head[..read]).into_owned()
    }

    fn json(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[tokio::test]
    async fn servers_that_list_models_are_found_and_others_are_not() {
        let mut listeners = Vec::new();
        for _ in 0..4 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("bound"));
        }
        let port = |place: usize| listeners[place].local_addr().expect("bound").port();
        let servers = [
            ("ollama", "Ollama", Dialect::Ollama, port(0)),
            ("vllm", "vLLM", Dialect::Vllm, port(1)),
            ("web", "a site", Dialect::Compatible, port(2)),
            ("silent", "silence", Dialect::Compatible, port(3)),
        ];
        let listing = json("200 OK", r#"{"object":"list","data":[{"id":"llama3"},{"id":"qwen"}]}"#);
        let refused = json("401 Unauthorized", r#"{"error":"Unauthorized"}"#);
        let page = json("200 OK", "<html>hello</html>");
        let (found, asked, ..) = tokio::join!(
            listening(&servers),
            answer(&listeners[0], &listing),
            answer(&listeners[1], &refused),
            answer(&listeners[2], &page),
        );
        assert!(asked.starts_with("GET /v1/models HTTP/1.1\r\n") && !asked.contains("authorization"), "{asked}");
        let found: Vec<_> = found.into_iter().map(|found| (found.name, found.label, found.models)).collect();
        let models = Some(vec!["llama3".to_owned(), "qwen".to_owned()]);
        assert_eq!(found, [("ollama", format!("Ollama on 127.0.0.1:{}", port(0)), models)]);
    }

    #[test]
    fn variables_are_found_by_name_and_their_values_go_nowhere() {
        let variables = Variables::new(
            [("OPENAI_API_KEY", "sk-very-secret"), ("MISTRAL_API_KEY", " "), ("PATH", "/bin")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let found = named(&variables);
        assert_eq!(found.iter().map(|found| found.name).collect::<Vec<_>>(), ["openai"], "an empty one is none");
        assert_eq!(found[0].variable, Some("OPENAI_API_KEY"));
        assert!(!format!("{found:?}").contains("very-secret"));
    }
}
