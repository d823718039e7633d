//! No answer for nothing: every model of the catalog × every endpoint it serves × {whole, streamed} × {usage reported, not
//! reported} costs more than zero, unless the model is free. On the real path: admission, upstream, settlement, record.

use claviger_e2e::{Answer, Plan, Result, Upstream, World, text};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// One endpoint: its path, the shape of a server that has it, that server's model, whether it streams, and every base that
/// may price it, each with prices so low that only a rounding up shows them.
struct Endpoint {
    name: &'static str,
    path: &'static str,
    shape: &'static str,
    model: &'static str,
    streams: bool,
    bases: &'static [&'static [&'static str]],
}

const TEXT: &[&[&str]] = &[&["input_token", "output_token"], &["output_token"], &["request"]];
const SOUND: &[&[&str]] = &[&["audio_second"], &["input_token", "output_token"], &["request"]];

const fn endpoint(
    name: &'static str,
    path: &'static str,
    model: &'static str,
    bases: &'static [&'static [&'static str]],
) -> Endpoint {
    Endpoint { name, path, shape: "openai", model, streams: true, bases }
}

const ENDPOINTS: &[Endpoint] = &[
    endpoint("chat.completions", "chat/completions", "echo", TEXT),
    endpoint("completions", "completions", "echo", TEXT),
    endpoint("responses", "responses", "echo", TEXT),
    Endpoint { shape: "anthropic", ..endpoint("messages", "messages", "echo", TEXT) },
    Endpoint { streams: false, ..endpoint("embeddings", "embeddings", "sim-embed", &[&["input_token"], &["request"]]) },
    Endpoint {
        shape: "vllm",
        streams: false,
        ..endpoint("rerank", "rerank", "sim-rerank", &[&["search_unit"], &["input_token"], &["request"]])
    },
    endpoint(
        "images",
        "images/generations",
        "sim-image",
        &[&["image"], &["input_token", "image_output_token"], &["request"]],
    ),
    // Another path of the same endpoint, so its models are those above.
    endpoint("images", "images/edits", "sim-image", &[]),
    endpoint(
        "audio.speech",
        "audio/speech",
        "sim-speech",
        &[&["character"], &["input_token", "audio_output_token"], &["request"]],
    ),
    endpoint("audio.transcriptions", "audio/transcriptions", "sim-transcribe", SOUND),
    Endpoint { streams: false, ..endpoint("audio.translations", "audio/translations", "sim-transcribe", SOUND) },
];

/// The catalog: a model for every endpoint and base, and a free one for each endpoint.
fn catalog(upstreams: &[(&str, String)], key_file: &str) -> Result<String> {
    let mut tables = String::new();
    for (shape, url) in upstreams {
        writeln!(
            tables,
            "[[provider]]\nname = \"{shape}\"\ndialect = \"{shape}\"\nbase_url = \"{url}/v1\"\nkey_file = \"{key_file}\""
        )?;
    }
    for endpoint in ENDPOINTS.iter().filter(|endpoint| !endpoint.bases.is_empty()) {
        let free: &[&str] = &[];
        for meters in endpoint.bases.iter().copied().chain([free]) {
            let (name, shape, model) = (endpoint.name, endpoint.shape, endpoint.model);
            let id = format!("cost/{name}/{}", if meters.is_empty() { "free".to_owned() } else { meters.join("+") });
            writeln!(tables, "[[model]]\nid = \"{id}\"\nendpoints = [\"{name}\"]\nfree = {}", meters.is_empty())?;
            writeln!(
                tables,
                "context = 4096\nmax_output = 512\ntiers = [[{{ provider = \"{shape}\", model = \"{model}\" }}]]"
            )?;
            for meter in meters {
                writeln!(tables, "[[price]]\nmodel = \"{id}\"\nmeter = \"{meter}\"\nsell = \"0.000001\"")?;
            }
        }
    }
    Ok(tables)
}

fn body(endpoint: &str, model: &str, stream: bool, mode: Option<&str>) -> Value {
    let mut body = match endpoint {
        "responses" => json!({ "input": "Say hello" }),
        "completions" => json!({ "prompt": "Say hello" }),
        "embeddings" => json!({ "input": "Say hello" }),
        "rerank" => json!({ "query": "red apples", "documents": ["green pears", "apples, red"] }),
        "images" => json!({ "prompt": "a red apple", "size": "8x8" }),
        "audio.speech" => json!({ "input": "Say hello!" }),
        _ => json!({ "messages": [{ "role": "user", "content": "Say hello" }], "max_tokens": 100 }),
    };
    body["model"] = json!(model);
    if stream && endpoint == "audio.speech" {
        body["stream_format"] = json!("sse");
    } else if stream {
        body["stream"] = json!(true);
    }
    if let Some(mode) = mode {
        body["sim"] = json!({ "mode": mode });
    }
    body
}

/// A form with a quarter of a second of silence, or with a picture of one point and what is to become of it.
fn form(path: &str, model: &str, stream: bool, mode: Option<&str>) -> Vec<u8> {
    let mut body = Vec::new();
    let mut part = |name: &str, value: &[u8]| {
        body.extend_from_slice(format!("--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n").as_bytes());
        body.extend_from_slice(value);
        body.extend_from_slice(b"\r\n");
    };
    if path == "images/edits" {
        part("\"image\"; filename=\"a.png\"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0");
        part("\"prompt\"", b"a red apple");
        part("\"size\"", b"8x8");
    } else {
        let mut sound =
            b"RIFF\xc4\x0f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\xa0\x0f\0\0"
                .to_vec();
        sound.resize(sound.len() + 4000, b' ');
        part("\"file\"; filename=\"a.wav\"", &sound);
    }
    part("\"model\"", model.as_bytes());
    if stream {
        part("\"stream\"", b"true");
    }
    if let Some(mode) = mode {
        part("\"sim\"", json!({ "mode": mode }).to_string().as_bytes());
    }
    body.extend_from_slice(b"--b--\r\n");
    body
}

async fn ask(world: &World, key: &str, to: &Endpoint, model: &str, stream: bool, mode: Option<&str>) -> Result<Answer> {
    let path = format!("/v1/{}", to.path);
    if ["audio/transcriptions", "audio/translations", "images/edits"].contains(&to.path) {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "multipart/form-data; boundary=b")];
        return world.client.send("POST", &path, &headers, &form(to.path, model, stream, mode)).await;
    }
    world.client.post(&path, key, &body(to.name, model, stream, mode)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_model_at_every_endpoint_costs_more_than_zero_unless_it_is_free() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "sk-upstream-of-the-costs-4be1")?;
    std::fs::set_permissions(&key_file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let mut upstreams = Vec::new();
    for shape in ["openai", "vllm", "anthropic"] {
        upstreams.push((shape, Upstream::start(folder.path(), shape, shape, &key_file, None).await?));
    }
    let urls: Vec<_> = upstreams.iter().map(|(shape, upstream)| (*shape, upstream.url().to_owned())).collect();
    let world = Plan::default().more(&catalog(&urls, &key_file.display().to_string())?).start().await?;
    let key = world.key("costs").await?;

    let models = world.client.get("/v1/models", &key).await?.json();
    let mut calls = Vec::new();
    for model in models["data"].as_array().into_iter().flatten() {
        let serves = |to: &&Endpoint| model["endpoints"].as_array().is_some_and(|list| list.contains(&json!(to.name)));
        for to in ENDPOINTS.iter().filter(serves) {
            for stream in [false, true].into_iter().take(1 + usize::from(to.streams)) {
                calls.extend([None, Some("no-usage")].map(|mode| (text(&model["id"]), to, stream, mode)));
            }
        }
    }
    let mut asked = BTreeMap::new();
    for some in calls.chunks(16) {
        let answers = some.iter().map(|(id, to, stream, mode)| ask(&world, &key, to, id, *stream, *mode));
        for ((id, to, stream, mode), answer) in some.iter().zip(try_join_all(answers).await?) {
            let what = format!("{id} at {}, streamed: {stream}, {}", to.path, mode.unwrap_or("usage"));
            // The simulator's kind of server may lack an endpoint that the model names, and one model only breaks.
            let may_fail = !id.starts_with("cost/");
            assert!(answer.status == 200 || may_fail, "{what}: {} {}", answer.status, answer.text());
            if answer.status == 200 {
                asked.insert(answer.header("x-request-id").to_owned(), (id.clone(), what));
            }
        }
    }
    let covered: BTreeSet<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.name).collect();
    let (mut charged, mut broken) = (BTreeSet::new(), 0);
    let records = claviger_e2e::eventually(15, "every answer is recorded", async || {
        let records = world.records(1000).await?;
        Ok((records.len() >= asked.len()).then_some(records))
    })
    .await?;
    for record in &records {
        let Some((id, what)) = asked.get(&text(&record["id"])) else { continue };
        if record["outcome"] != "complete" {
            // An upstream that breaks off has nothing to be charged for (`money.md` §7, row 12).
            assert_eq!(id, "paid/broken", "{what}: {record}");
            broken += 1;
            continue;
        }
        let charge: f64 = text(&record["charge"]).parse()?;
        assert_eq!(charge > 0.0, !id.ends_with("free") && !id.starts_with("free/"), "{what}: {record}");
        charged.insert((text(&record["endpoint"]), what.clone()));
    }
    assert_eq!(charged.len() + broken, asked.len(), "every answer has its record");
    let reached: BTreeSet<&str> = charged.iter().map(|(endpoint, _)| endpoint.as_str()).collect();
    assert_eq!(reached, covered);
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}
