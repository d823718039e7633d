//! Rows 1 to 24 of the table of bad inputs: framing, heads, deadlines. Each with its status, its code, and what becomes of
//! the connection. `¤` in the table means: empty body, connection closed, no request existed.
//!
//! Not here, because there is nothing yet to ask: row 12 (the console's Host list comes with the console), row 22 (HTTP/2
//! is not served; a preface is row 19), row 23 (a plain listener on a public address is refused at start, `first_run.rs`).

use claviger_e2e::{Fate, Raw, RawAnswer, Result, World, eventually, now};
use serde_json::json;
use std::time::Duration;

const BODY: &str = r#"{"model":"free/echo","messages":[{"role":"user","content":"hi"}]}"#;
const SOON: Duration = Duration::from_secs(3);

fn post(world: &World, key: &str, more: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n{more}\r\n",
        world.address()
    )
}

fn get(world: &World, key: &str, more: &str) -> String {
    format!("GET /v1/models HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\n{more}\r\n", world.address())
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// Sends bytes on a new connection and gives the answer and the connection's fate.
async fn ask(world: &World, bytes: impl AsRef<[u8]>) -> Result<(RawAnswer, Fate)> {
    let mut connection = Raw::connect(world.address()).await?;
    connection.send(bytes).await?;
    let answer = connection.answer().await?;
    let (fate, _) = connection.fate(SOON).await;
    Ok((answer, fate))
}

/// The refusal of the parser: this status, nothing else, closed.
async fn assert_parser_refuses(world: &World, status: u16, name: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
    let (answer, fate) = ask(world, bytes).await.map_err(|error| error.context(name.to_owned()))?;
    assert_eq!((answer.status, answer.body.as_str(), fate), (status, "", Fate::Closed), "{name}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_1_length_and_chunked_together_are_served_as_chunked_and_closed() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("framing").await?;
    for lines in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n"]
    {
        world.upstream.forget().await?;
        let second = format!("{}{BODY}", post(&world, &key, &format!("Content-Length: {}\r\n", BODY.len())));
        let bytes = format!("{}{}{second}", post(&world, &key, lines), chunked(BODY));
        let (answer, fate) = ask(&world, bytes).await?;
        assert_eq!((answer.status, answer.header("connection"), fate), (200, "close", Fate::Closed), "{lines:?}");
        let seen = world.upstream.seen().await?;
        assert_eq!(seen.len(), 1, "the pipelined request is never read");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_2_to_9_odd_framing() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("framing").await?;
    for length in ["3\r\nContent-Length: 4", "3, 3", "+3", "-1", "0x3", "123456789012345678901234"] {
        let bytes = format!("{}abc", post(&world, &key, &format!("Content-Length: {length}\r\n")));
        assert_parser_refuses(&world, 400, &format!("row 2, {length:?}"), bytes).await?;
    }
    let equal = format!("Content-Length: {0}\r\nContent-Length: {0}\r\n", BODY.len());
    assert_eq!(ask(&world, format!("{}{BODY}", post(&world, &key, &equal))).await?.0.status, 200, "row 3");

    for coding in ["xchunked", "chunked, identity", "chunked, chunked"] {
        let bytes = format!("{}{}", post(&world, &key, &format!("Transfer-Encoding: {coding}\r\n")), chunked(BODY));
        assert_parser_refuses(&world, 400, &format!("row 4, {coding}"), bytes).await?;
    }
    let spaced = format!("{}{}", post(&world, &key, "Transfer-Encoding : chunked\r\n"), chunked(BODY));
    assert_parser_refuses(&world, 400, "row 4, space", spaced).await?;
    let old = post(&world, &key, "Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0");
    assert_parser_refuses(&world, 400, "row 4, HTTP/1.0", format!("{old}{}", chunked(BODY))).await?;

    let gzip = format!("{}{}", post(&world, &key, "Transfer-Encoding: gzip, chunked\r\n"), chunked(BODY));
    let (answer, fate) = ask(&world, gzip).await?;
    assert_eq!(
        (answer.status, answer.code().as_str(), fate),
        (501, "unsupported_transfer_coding", Fate::Closed),
        "row 5"
    );
    assert_eq!(answer.header("x-should-retry"), "false", "row 5");

    for (name, line) in [
        ("obs-fold", "X-A: b\r\n c\r\n"),
        ("bare CR", "X-A: b\rc\r\n"),
        ("NUL", "X-A: b\0c\r\n"),
        ("name", "X-Ä: b\r\n"),
    ] {
        assert_parser_refuses(&world, 400, &format!("row 6, {name}"), get(&world, &key, line)).await?;
    }
    let bare = get(&world, &key, "").replace("\r\n", "\n");
    assert_eq!(ask(&world, bare).await?.0.status, 200, "row 7");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_8_bad_chunks_are_refused_and_closed() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("chunks").await?;
    let head = post(&world, &key, "Transfer-Encoding: chunked\r\n");
    let extension = format!("41;{}\r\n", "e".repeat(1024 * 1024));
    let trailers: String = (0..2_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let cases = [
        ("negative", "-1\r\nabc\r\n0\r\n\r\n".to_owned()),
        ("overflow", "fffffffffffffffff\r\nabc\r\n0\r\n\r\n".to_owned()),
        ("bare LF", format!("{:x}\n{BODY}\r\n0\r\n\r\n", BODY.len())),
        ("garbage", format!("{:x}\r\n{BODY}garbage\r\n0\r\n\r\n", BODY.len())),
        ("extension", extension),
        ("trailers", format!("{:x}\r\n{BODY}\r\n0\r\n{trailers}\r\n", BODY.len())),
    ];
    for (name, chunks) in cases {
        let mut connection = Raw::connect(world.address()).await?;
        connection.send(&head).await?;
        // The server may refuse before it has taken everything.
        let _ = connection.send(&chunks).await;
        let answer = connection.answer().await.map_err(|error| error.context(format!("row 8, {name}")))?;
        assert_eq!(answer.status, 400, "row 8, {name}: {}", answer.body);
        assert_eq!(connection.fate(SOON).await.0, Fate::Closed, "row 8, {name}");
    }
    assert_eq!(world.upstream.count().await?, 0, "nothing of it reached the upstream");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_9_to_15_trailers_hosts_methods_upgrades() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("heads").await?;
    let trailer = format!(
        "{}{:x}\r\n{BODY}\r\n0\r\nAuthorization: Bearer leak-trailer\r\n\r\n",
        post(&world, &key, "Transfer-Encoding: chunked\r\nTrailer: Authorization\r\n"),
        BODY.len()
    );
    assert_eq!(ask(&world, trailer).await?.0.status, 200, "row 9");
    assert!(!format!("{:?}", world.upstream.seen().await?).contains("leak-trailer"), "row 9");

    let mut short = Raw::connect(world.address()).await?;
    short.send(format!("{}{{", post(&world, &key, "Content-Length: 100\r\n"))).await?;
    short.finish_sending().await?;
    let answer = short.answer().await?;
    assert_eq!((answer.status, answer.code().as_str()), (400, "incomplete_body"), "row 10");
    assert_eq!(short.fate(SOON).await.0, Fate::Closed, "row 10");

    let bearer = format!("Authorization: Bearer {key}\r\n");
    for (name, bytes) in [
        ("none", format!("GET /v1/models HTTP/1.1\r\n{bearer}\r\n")),
        ("none in 1.0", format!("GET /v1/models HTTP/1.0\r\n{bearer}\r\n")),
        ("two", get(&world, &key, "Host: b\r\n")),
        ("path", format!("GET /v1/models HTTP/1.1\r\nHost: a/admin?x=\r\n{bearer}\r\n")),
    ] {
        let (answer, fate) = ask(&world, bytes).await?;
        assert_eq!(
            (answer.status, answer.code().as_str(), fate),
            (400, "invalid_host", Fate::Closed),
            "row 11, {name}"
        );
    }
    let absolute = get(&world, &key, "").replace("GET /v1/models", "GET http://evil/v1/models");
    assert_eq!(ask(&world, absolute).await?.0.status, 200, "row 13");

    for method in ["TRACE", "get", "PUT"] {
        let (answer, _) = ask(&world, get(&world, &key, "").replacen("GET", method, 1)).await?;
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "row 14, {method}");
        assert!(answer.header("allow").contains("GET"), "row 14, {method}: {}", answer.head);
    }
    let connect = format!("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n{bearer}\r\n");
    let (answer, fate) = ask(&world, connect).await?;
    assert_eq!(
        (answer.status, answer.code().as_str(), fate),
        (405, "method_not_allowed", Fate::Closed),
        "row 14, CONNECT"
    );
    assert!(answer.head.contains("allow:"), "row 14, CONNECT");

    for upgrade in ["websocket", "h2c"] {
        let mut connection = Raw::connect(world.address()).await?;
        let lines = format!("Connection: Upgrade\r\nUpgrade: {upgrade}\r\n");
        connection.send(format!("{}{}", get(&world, &key, &lines), get(&world, &key, ""))).await?;
        assert_eq!(connection.answer().await?.status, 200, "row 15, {upgrade}");
        assert_eq!(connection.answer().await?.status, 200, "row 15, {upgrade}: the bytes are a normal request");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_16_and_17_too_large_heads() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("heads").await?;
    let many: String = (0..101).map(|number| format!("x-{number}: y\r\n")).collect();
    assert_parser_refuses(&world, 431, "row 16, many", get(&world, &key, &many)).await?;
    let long = format!("x-long: {}\r\n", "a".repeat(33 * 1024));
    assert_parser_refuses(&world, 431, "row 16, long", get(&world, &key, &long)).await?;
    let fits: String = (0..3).map(|number| format!("x-{number}: {}\r\n", "a".repeat(10 * 1000))).collect();
    assert_eq!(ask(&world, get(&world, &key, &fits)).await?.0.status, 200, "30 KB of head are served");
    let target =
        |size: usize| get(&world, &key, "").replace("/v1/models", &format!("/v1/models?q={}", "a".repeat(size)));
    assert_parser_refuses(&world, 414, "row 17, target", target(9 * 1024)).await?;
    assert_parser_refuses(&world, 431, "row 17, head", target(33 * 1024)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_20_many_tiny_chunks_are_served() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("tiny").await?;
    let body = format!(r#"{{"model":"free/echo","messages":[{{"role":"user","content":"{}"}}]}}"#, "a".repeat(300_000));
    let mut bytes = post(&world, &key, "Transfer-Encoding: chunked\r\n").into_bytes();
    for byte in body.bytes() {
        bytes.extend_from_slice(&[b'1', b'\r', b'\n', byte, b'\r', b'\n']);
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    let (answer, _) = ask(&world, bytes).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn row_24_nobody_is_asked_to_send_a_body_in_vain() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("expect").await?;
    let lines = "Content-Length: 1073741824\r\nExpect: 100-continue\r\n";
    let anonymous = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n{lines}\r\n",
        world.address()
    );
    let (answer, fate) = ask(&world, anonymous).await?;
    assert_eq!((answer.status, answer.code().as_str(), fate), (401, "missing_api_key", Fate::Closed), "row 24");
    let (answer, _) = ask(&world, post(&world, &key, &lines.replace("100-continue", "200-ok"))).await?;
    assert_eq!((answer.status, answer.code().as_str()), (417, "expectation_failed"), "row 24");
    let mut connection = Raw::connect(world.address()).await?;
    let lines = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", BODY.len());
    connection.send(post(&world, &key, &lines)).await?;
    assert_eq!(connection.head().await?.status, 100, "a good key is asked for its body");
    connection.send(BODY).await?;
    assert_eq!(connection.answer().await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_body_leaves_the_connection_usable_when_it_is_small() -> Result<()> {
    let world = World::usual().await?;
    let mut connection = Raw::connect(world.address()).await?;
    for _ in 0..5 {
        let head = post(&world, "wrong", &format!("Content-Length: {}\r\n", BODY.len()));
        connection.send(head).await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
        connection.send(BODY).await?;
        let answer = connection.answer().await?;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_api_key"));
    }
    Ok(())
}

/// Rows 18 to 21: the deadlines, all at once because each only waits.
#[tokio::test(flavor = "multi_thread")]
async fn rows_18_to_21_every_silent_or_slow_connection_ends_at_its_deadline() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("slow").await?;
    let patience = Duration::from_secs(100);
    let silent = async {
        let mut connection = Raw::connect(world.address()).await?;
        Ok::<_, anyhow::Error>(connection.fate(patience).await)
    };
    let half_head = held_open(&world, "GET /v1/models HTT", patience);
    let preface = held_open(&world, "PRI * HTTP/2.0\r\n\r\nSM", patience);
    let idle = async {
        let mut connection = Raw::connect(world.address()).await?;
        connection.send(get(&world, &key, "")).await?;
        assert_eq!(connection.answer().await?.status, 200);
        Ok::<_, anyhow::Error>(connection.fate(patience).await)
    };
    let (silent, half_head, preface, idle, later, slow, stalled) = tokio::join!(
        silent,
        half_head,
        preface,
        idle,
        idle_after_a_long_answer(&world, &key, patience),
        slow_body(&world, &key),
        stalled_reader(&world, &key)
    );
    assert_deadline("row 18, half a head", half_head?, 10);
    assert_deadline("row 19, silence", silent?, 30);
    let (fate, after) = preface?;
    assert!(fate == Fate::Closed && after <= Duration::from_secs(12), "row 19, half a preface: {after:?}");
    assert_deadline("row 19, idle", idle?, 75);
    assert_deadline("row 19, idle after a long answer", later?, 75);
    slow?;
    stalled?;
    Ok(())
}

async fn idle_after_a_long_answer(world: &World, key: &str, patience: Duration) -> Result<(Fate, Duration)> {
    let body = json!({
        "model": "free/stream", "messages": [{ "role": "user", "content": "hi" }],
        "sim": { "tokens": 3, "first_ms": 12_000, "gap_ms": 0 },
    })
    .to_string();
    let mut connection = Raw::connect(world.address()).await?;
    connection.send(format!("{}{body}", post(world, key, &format!("Content-Length: {}\r\n", body.len())))).await?;
    assert_eq!(connection.answer().await?.status, 200);
    Ok(connection.fate(patience).await)
}

fn assert_deadline(name: &str, (fate, after): (Fate, Duration), seconds: u64) {
    assert_eq!(fate, Fate::Closed, "{name}");
    let expected = Duration::from_secs(seconds);
    let slack = Duration::from_secs(2);
    assert!(after + slack >= expected && after <= expected + slack, "{name}: closed after {after:?}, not {seconds} s");
}

async fn held_open(world: &World, bytes: &str, patience: Duration) -> Result<(Fate, Duration)> {
    let mut connection = Raw::connect(world.address()).await?;
    connection.send(bytes).await?;
    Ok(connection.fate(patience).await)
}

/// Row 20: a body that drips below 1 KiB a second is 408 once its grace of 10 s is over.
async fn slow_body(world: &World, key: &str) -> Result<()> {
    let mut connection = Raw::connect(world.address()).await?;
    connection.send(post(world, key, "Content-Length: 100000\r\n")).await?;
    let begun = now();
    while begun.elapsed() < Duration::from_secs(14) {
        if connection.send("{").await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let answer = connection.answer().await?;
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"), "row 20");
    assert_eq!(connection.fate(SOON).await.0, Fate::Closed, "row 20");
    Ok(())
}

/// Row 21: a client that stops reading is cut after 60 s, and its stream settled as one that the client left.
async fn stalled_reader(world: &World, key: &str) -> Result<()> {
    let body = json!({
        "model": "paid/stream", "stream": true, "messages": [{ "role": "user", "content": "hi" }],
        "max_tokens": 10_000, "sim": { "tokens": 10_000, "first_ms": 0, "gap_ms": 0 },
    })
    .to_string();
    let mut connection = Raw::connect_with_small_buffer(world.address()).await?;
    let begun = now();
    connection.send(format!("{}{body}", post(world, key, &format!("Content-Length: {}\r\n", body.len())))).await?;
    let head = connection.head().await?;
    assert_eq!(head.status, 200);
    let request = head.header("x-request-id").to_owned();
    let record = eventually(85, "row 21: the stalled stream is settled", async || {
        let answer = world.client.get(&format!("/v1/organization/requests/{request}"), &world.admin_key).await?;
        Ok((answer.status == 200).then(|| answer.json()))
    })
    .await?;
    assert!(begun.elapsed() >= Duration::from_secs(58), "row 21: cut after {:?}", begun.elapsed());
    assert_eq!(record["outcome"], "client_closed", "row 21: {record}");
    Ok(())
}
