//! Requests in which two parsers may see different ones, sent through Claviger to three upstreams whose parsers agree about
//! little: each must see exactly the requests that were answered, and nothing of what was hidden.
//!
//! The same bytes through a forwarder that understands nothing show that the table bites: there every parser is fooled.

use claviger_e2e::{Counting, Plan, Raw, Result, Tap, Understood, World};
use std::fmt::Write as _;
use std::time::Duration;

/// Longer than any of these answers takes; a connection that waits for more is left then.
const QUIET: Duration = Duration::from_secs(3);

/// One way to hide a request, with how many requests a parser that follows RFC 9112 is to serve of it.
struct Vector {
    name: String,
    served: usize,
    bytes: Vec<u8>,
}

/// What every vector is written with.
struct Words<'a> {
    host: &'a str,
    key: &'a str,
    model: &'a str,
    number: usize,
}

impl Words<'_> {
    fn body(&self) -> String {
        let (model, number) = (self.model, self.number);
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"vector-{number}-"}}]}}"#)
    }

    fn head(&self, more: &str) -> String {
        let (host, key) = (self.host, self.key);
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\n{more}\r\n"
        )
    }

    fn sized(&self) -> String {
        let body = self.body();
        format!("{}{body}", self.head(&format!("Content-Length: {}\r\n", body.len())))
    }

    fn chunk(&self) -> String {
        let body = self.body();
        format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
    }

    /// What nobody is to execute: it has no right to be served, and says so wherever it turns up.
    fn hidden(&self) -> String {
        let body = format!("hidden-{}-", self.number);
        let host = self.host;
        format!("POST /hidden HTTP/1.1\r\nHost: {host}\r\nX-Hidden: 1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }
}

type Write = fn(&Words<'_>) -> String;

/// Two lengths, or a length and a coding.
const LENGTHS: &[(&str, usize, Write)] = &[
    ("CL.TE", 1, |w| {
        let rest = format!("{}{}", w.chunk(), w.hidden());
        format!("{}{rest}", w.head(&format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", rest.len())))
    }),
    ("CL.TE with the length of the first chunk", 1, |w| {
        format!("{}{}{}", w.head("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n"), w.chunk(), w.hidden())
    }),
    ("TE.CL", 1, |w| {
        format!("{}{}{}", w.head("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"), w.chunk(), w.hidden())
    }),
    ("TE.CL with the hidden request in the chunk", 0, |w| {
        let hidden = w.hidden();
        let chunks = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
        format!("{}{chunks}", w.head("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"))
    }),
    ("TE.0", 1, |w| {
        format!("{}{}{}", w.head("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), w.chunk(), w.hidden())
    }),
    ("0.CL", 0, |w| format!("{}{}", w.head("Content-Length: 0\r\n"), w.hidden())),
    ("no length at all", 0, |w| format!("{}{}", w.head(""), w.hidden())),
    ("a body under GET", 0, |w| {
        let hidden = w.hidden();
        let head = w.head(&format!("Content-Length: {}\r\n", hidden.len()));
        format!("{}{hidden}", head.replace("POST /v1/chat/completions", "GET /v1/models"))
    }),
    ("two lengths, the first right", 0, |w| {
        let length = w.body().len();
        let more = format!("Content-Length: {length}\r\nContent-Length: {}\r\n", length + w.hidden().len());
        format!("{}{}{}", w.head(&more), w.body(), w.hidden())
    }),
    ("two lengths, the second right", 0, |w| {
        let length = w.body().len();
        let more = format!("Content-Length: 0\r\nContent-Length: {length}\r\n");
        format!("{}{}{}", w.head(&more), w.body(), w.hidden())
    }),
    ("two equal lengths", 1, |w| {
        let length = w.body().len();
        format!("{}{}", w.head(&format!("Content-Length: {length}\r\nContent-Length: {length}\r\n")), w.body())
    }),
    ("a list of lengths", 0, |w| {
        let length = w.body().len();
        format!("{}{}{}", w.head(&format!("Content-Length: {length}, {length}\r\n")), w.body(), w.hidden())
    }),
    ("a length with a plus", 0, |w| {
        format!("{}{}{}", w.head(&format!("Content-Length: +{}\r\n", w.body().len())), w.body(), w.hidden())
    }),
    ("a length in hexadecimal", 0, |w| {
        format!("{}{}{}", w.head(&format!("Content-Length: 0x{:x}\r\n", w.body().len())), w.body(), w.hidden())
    }),
    ("a negative length", 0, |w| format!("{}{}{}", w.head("Content-Length: -1\r\n"), w.body(), w.hidden())),
    ("a length behind a space", 0, |w| {
        format!("{}{}{}", w.head(&format!("Content-Length : {}\r\n", w.body().len())), w.body(), w.hidden())
    }),
    ("a length that Connection takes away", 1, |w| {
        let more = format!("Content-Length: {}\r\nConnection: content-length\r\n", w.body().len());
        format!("{}{}", w.head(&more), w.body())
    }),
    ("a body that breaks off", 0, |w| format!("{}{}", w.head("Content-Length: 4000\r\n"), w.hidden())),
];

/// Codings that are none.
const CODINGS: &[(&str, usize, &str)] = &[
    ("xchunked", 0, "Transfer-Encoding: xchunked\r\n"),
    ("a list that does not end in chunked", 0, "Transfer-Encoding: chunked, identity\r\n"),
    ("chunked twice", 0, "Transfer-Encoding: chunked, chunked\r\n"),
    ("gzip before chunked", 0, "Transfer-Encoding: gzip, chunked\r\n"),
    ("two lines, one unknown", 0, "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n"),
    ("a space before the colon", 0, "Transfer-Encoding : chunked\r\n"),
    ("a folded line", 0, "X-A: b\r\n Transfer-Encoding: chunked\r\n"),
    ("a folded value", 0, "Transfer-Encoding:\r\n chunked\r\n"),
    ("a vertical tab", 0, "Transfer-Encoding: \u{b}chunked\r\n"),
    ("a NUL", 0, "Transfer-Encoding: chunked\0\r\n"),
    ("a bare CR", 0, "X-A: b\rTransfer-Encoding: chunked\r\n"),
    ("in quotes", 0, "Transfer-Encoding: \"chunked\"\r\n"),
    ("under HTTP/1.0", 0, "Transfer-Encoding: chunked\r\nX-Old: 1\r\n"),
    ("an underscore", 0, "Transfer_Encoding: chunked\r\n"),
    ("in capitals", 1, "TRANSFER-ENCODING: CHUNKED\r\n"),
    ("a tab before it", 1, "Transfer-Encoding:\tchunked\r\n"),
];

/// Chunks that two parsers count differently.
const CHUNKS: &[(&str, usize, Write)] = &[
    ("an extension", 1, |w| w.chunk().replacen("\r\n", ";a=b;c=\"d\"\r\n", 1)),
    ("an extension that looks like a chunk", 1, |w| w.chunk().replacen("\r\n", ";0\r\n", 1)),
    ("an extension that ends in a bare LF", 0, |w| w.chunk().replacen("\r\n", ";a\n", 1)),
    ("an extension with a bare CR", 0, |w| w.chunk().replacen("\r\n", ";a\rb\r\n", 1)),
    ("a size that ends in a bare LF", 0, |w| w.chunk().replacen("\r\n", "\n", 1)),
    ("a size with a prefix", 0, |w| format!("0x{}", w.chunk())),
    ("a size with a plus", 0, |w| format!("+{}", w.chunk())),
    ("a negative size", 0, |w| format!("-{}", w.chunk())),
    ("a size beyond 64 bits", 0, |w| format!("1000000000000000{}", w.chunk())),
    ("a size with an underscore", 0, |w| format!("0_{}", w.chunk())),
    ("no line end behind the data", 0, |w| w.chunk().replacen("\r\n0\r\n", "0\r\n", 1)),
    ("two bytes too many in place of the line end", 0, |w| w.chunk().replacen("\r\n0\r\n", "xx0\r\n", 1)),
    ("a trailer with a length", 1, |w| w.chunk().replace("0\r\n\r\n", "0\r\nContent-Length: 4000\r\n\r\n")),
    ("a trailer with a coding", 1, |w| w.chunk().replace("0\r\n\r\n", "0\r\nTransfer-Encoding: chunked\r\n\r\n")),
    ("a trailer that is folded", 0, |w| w.chunk().replace("0\r\n\r\n", "0\r\nX-A: b\r\n c\r\n\r\n")),
    ("no end", 0, |w| w.chunk().replace("0\r\n\r\n", "")),
];

/// What stands around a request.
const AROUND: &[(&str, usize, Write)] = &[
    ("a second request without a key behind it", 1, |w| format!("{}{}", w.sized(), w.hidden())),
    ("garbage behind it", 1, |w| format!("{}GARBAGE\r\n\r\n{}", w.sized(), w.hidden())),
    ("line ends behind it, then a second", 1, |w| format!("{}\r\n\r\n{}", w.sized(), w.hidden())),
    ("two good ones at once", 2, |w| format!("{0}{0}", w.sized())),
    ("a bare LF for every line end of the head", 1, |w| {
        w.head(&format!("Content-Length: {}\r\n", w.body().len())).replace("\r\n", "\n") + &w.body()
    }),
    ("a websocket and a hidden request", 1, |w| {
        let more = format!("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: {}\r\n", w.body().len());
        format!("{}{}{}", w.head(&more), w.body(), w.hidden())
    }),
    ("h2c and a hidden request", 1, |w| {
        let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
        let more = format!("{upgrade}Content-Length: {}\r\n", w.body().len());
        format!("{}{}{}", w.head(&more), w.body(), w.hidden())
    }),
    ("the preface of HTTP/2", 0, |w| format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{}", w.hidden())),
    ("an absolute target", 1, |w| w.sized().replacen("POST /v1", "POST http://elsewhere.example/v1", 1)),
    ("a target with a request in it", 1, |w| w.sized().replacen("completions ", "completions HTTP/1.1\r\nX-A: b ", 1)),
    ("a target with a tab", 0, |w| w.sized().replacen("completions ", "completions\t", 1)),
    ("two hosts", 0, |w| w.sized().replacen("\r\n", "\r\nHost: elsewhere.example\r\n", 1)),
    ("a space before the first header", 0, |w| w.sized().replacen("\r\n", "\r\n ", 1)),
    ("an expectation and a hidden request", 1, |w| {
        let more = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", w.body().len());
        format!("{}{}{}", w.head(&more), w.body(), w.hidden())
    }),
    ("a request as the question", 1, |w| {
        let hidden = serde_json::Value::from(w.hidden()).to_string();
        let body = w.body().replace("\"}]", &format!(" \"}},{{\"role\":\"user\",\"content\":{hidden}}}]"));
        format!("{}{body}", w.head(&format!("Content-Length: {}\r\n", body.len())))
    }),
    ("line ends in a header that is passed on", 0, |w| {
        w.sized().replacen("\r\n", "\r\nOpenAI-Beta: a\nTransfer-Encoding: chunked\r\n", 1)
    }),
];

/// The whole table, for one upstream.
fn vectors(host: &str, key: &str, model: &str) -> Vec<Vector> {
    let mut all: Vec<Vector> = Vec::new();
    let mut add = |name: &str, served: usize, write: &dyn Fn(&Words<'_>) -> String| {
        let words = Words { host, key, model, number: all.len() };
        all.push(Vector { name: name.to_owned(), served, bytes: write(&words).into_bytes() });
    };
    for (name, served, write) in LENGTHS.iter().chain(AROUND) {
        add(name, *served, write);
    }
    for (name, served, line) in CODINGS {
        // A coding that is none beside a length that covers everything: whoever believes in it sees the hidden request.
        add(&format!("coding: {name}"), *served, &|w| {
            let (chunk, hidden) = (w.chunk(), w.hidden());
            let more = format!("{line}Content-Length: {}\r\n", chunk.len() + hidden.len());
            let head = w.head(&more);
            let head = if line.contains("X-Old") { head.replace("HTTP/1.1", "HTTP/1.0") } else { head };
            format!("{head}{chunk}{hidden}")
        });
    }
    for (name, served, write) in CHUNKS {
        add(&format!("chunk: {name}"), *served, &|w| {
            format!("{}{}{}", w.head("Transfer-Encoding: chunked\r\n"), write(w), w.hidden())
        });
    }
    all
}

/// Sends every vector on a connection of its own, all at once, and gives what came back to each.
async fn send_all(address: &str, vectors: &[Vector]) -> Result<Vec<String>> {
    let sent = vectors.iter().map(async |vector| {
        let mut connection = Raw::connect(address).await?;
        // Whoever refuses early may have closed before everything was sent.
        let _ = connection.send(&vector.bytes).await;
        Ok::<_, anyhow::Error>(connection.heard(QUIET).await)
    });
    futures_util::future::try_join_all(sent).await
}

/// Where an upstream saw something else than what was to be served; an empty list is what is wanted.
fn faults(vectors: &[Vector], seen: &[Understood]) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, vector) in vectors.iter().enumerate() {
        let marker = format!("\"content\":\"vector-{number}-");
        let count = seen.iter().filter(|request| request.body.contains(&marker)).count();
        if count != vector.served {
            faults.push(format!("{}: seen {count} times, to be served {}", vector.name, vector.served));
        }
    }
    let odd = |request: &&Understood| {
        let is_whole = serde_json::from_str::<serde_json::Value>(&request.body).is_ok();
        !request.target.ends_with("/v1/chat/completions")
            || request.head.to_lowercase().contains("x-hidden")
            || !is_whole
    };
    for request in seen.iter().filter(odd) {
        faults.push(format!("executed: {} {:?}", request.target, request.body));
    }
    faults
}

async fn upstreams(world: &std::path::Path) -> Result<[(&'static str, Counting); 3]> {
    let (python, node, hyper) = tokio::join!(Counting::python(world), Counting::node(world), Counting::hyper());
    Ok([("python", python?), ("node", node?), ("hyper", hyper?)])
}

#[tokio::test(flavor = "multi_thread")]
async fn three_parsers_behind_claviger_see_exactly_the_requests_that_were_answered() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let upstreams = upstreams(folder.path()).await?;
    let mut tables = String::new();
    for (name, upstream) in &upstreams {
        let url = format!("http://{}", upstream.address());
        writeln!(tables, "[[provider]]\nname = \"{name}\"\ndialect = \"openai\"\nbase_url = \"{url}/v1\"")?;
        writeln!(tables, "[[model]]\nid = \"via/{name}\"\nfree = true\ncontext = 4096\nmax_output = 512")?;
        writeln!(tables, "tiers = [[{{ provider = \"{name}\", model = \"m\" }}]]")?;
    }
    let world: World = Plan::default().more(&tables).start().await?;
    let key = world.key("smuggler").await?;
    for (name, upstream) in &upstreams {
        let vectors = vectors(world.address(), &key, &format!("via/{name}"));
        let heard = send_all(world.address(), &vectors).await?;
        for (vector, heard) in vectors.iter().zip(&heard) {
            let served = heard.matches("HTTP/1.1 200 OK").count() - heard.matches("\"object\":\"list\"").count();
            assert_eq!(served, vector.served, "{name}, {}: {heard}", vector.name);
        }
        assert_eq!(faults(&vectors, &upstream.seen()?), Vec::<String>::new(), "{name}");
        // Whatever was left behind on a kept connection would now come before this.
        let before = upstream.seen()?.len();
        for _ in 0..4 {
            assert_eq!(world.ask(&key, &format!("via/{name}")).await?.status, 200, "{name}");
        }
        assert_eq!(upstream.seen()?.len(), before + 4, "{name}");
    }
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_parser_is_fooled_behind_a_forwarder_that_understands_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (name, upstream) in &upstreams(folder.path()).await? {
        let tap = Tap::to(upstream.address()).await?;
        let address = tap.url().trim_start_matches("http://");
        let vectors = vectors(address, "none", "m");
        send_all(address, &vectors).await?;
        let faults = faults(&vectors, &upstream.seen()?);
        let executed = faults.iter().filter(|fault| fault.starts_with("executed: /hidden")).count();
        println!("{name}: {} faults, {executed} hidden requests executed", faults.len());
        assert!(faults.len() > 20 && executed > 3, "{name}: {faults:#?}");
    }
    Ok(())
}
