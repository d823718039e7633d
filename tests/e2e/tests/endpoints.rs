//! Endpoints other than chat by the official SDKs: what their answers look like, and what they cost.

use claviger_e2e::{Plan, Result, World, node, python, token_cost};
use serde_json::json;

/// Makes vectors.
const MODEL: &str = "paid/embed";

#[tokio::test(flavor = "multi_thread")]
async fn sdks_get_numbers_whether_the_upstream_sends_floats_or_base64() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("vectors").await?;
    let base = format!("{}/v1", world.url);
    let mut firsts = Vec::new();
    for mode in ["float-only", "base64-only"] {
        for script in
            [python("openai-1", "embeddings.py")?, python("openai-3", "embeddings.py")?, node("embeddings.mjs")?]
        {
            let script = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base);
            let printed = script.arg(MODEL).arg(mode).json().await?;
            assert_eq!((&printed["vectors"], &printed["length"]), (&json!(2), &json!(64)), "{mode}: {printed}");
            assert_eq!(printed["model"], MODEL, "{mode}");
            firsts.push(printed["first"].as_f64().unwrap_or_default());
        }
    }
    let first = firsts[0];
    assert!(first != 0.0 && firsts.iter().all(|other| (other - first).abs() < 1e-7), "{firsts:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_are_charged_by_what_goes_in_and_served_at_every_alias() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("vectors").await?;
    let body = |input: serde_json::Value| json!({ "model": MODEL, "input": input });
    let before = world.balance().await?;
    let mut charged = 0;
    for path in ["/v1/embeddings", "/embeddings", "/api/embeddings", "/api/v1/embeddings", "/openai/v1/embeddings"] {
        let answer = world.client.post(path, &key, &body(json!("Say hello"))).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let record = world.record(answer.header("x-request-id")).await?;
        assert_eq!((&record["endpoint"], &record["outcome"]), (&json!("embeddings"), &json!("complete")), "{record}");
        assert_eq!(record["usage_source"], "upstream_final", "{record}");
        charged += token_cost(3, 1_000_000_000, 0, 0);
    }
    // Without a report token ids are counted exactly.
    let mut silent = body(json!([[1, 2, 3], [4]]));
    silent["sim"] = json!({ "mode": "no-usage" });
    let answer = world.client.post("/v1/embeddings", &key, &silent).await?;
    let record = world.record(answer.header("x-request-id")).await?;
    assert_eq!(record["usage_source"], "computed", "{record}");
    charged += token_cost(4, 1_000_000_000, 0, 0);
    assert_eq!(before - world.balance().await?, charged);
    assert_eq!(world.held().await?, 0);

    let chat = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "hi" }] });
    let refused = world.client.post("/v1/chat/completions", &key, &chat).await?;
    assert_eq!(refused.refusal(), (400, "unsupported_endpoint".to_owned()));
    let refused = world.client.post("/v1/embeddings", &key, &json!({ "model": "paid/echo", "input": "a" })).await?;
    assert_eq!(refused.refusal(), (400, "unsupported_endpoint".to_owned()));
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_continue_texts_whole_and_streamed_and_pay_for_both() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("texts").await?;
    let base = format!("{}/v1", world.url);
    let before = world.balance().await?;
    // 4 tokens and 1 for the prompt, 4 for the echo.
    let cost = token_cost(5, 1_000_000_000, 4, 2_000_000_000);
    let scripts =
        [python("openai-1", "completions.py")?, python("openai-3", "completions.py")?, node("completions.mjs")?];
    let mut charged = 0;
    for script in scripts {
        let script = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base);
        let printed = script.arg("paid/text").json().await?;
        let expected =
            json!({ "whole": "Once upon a time", "stream": "Once upon a time", "tokens": 9, "model": "paid/text" });
        assert_eq!(printed, expected);
        charged += 2 * cost;
    }
    assert_eq!(before - world.balance().await?, charged);
    let cut = json!({ "model": "paid/text", "prompt": "Once upon a time", "max_tokens": 2 });
    let answer = world.client.post("/completions", &key, &cut).await?;
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "length", "{}", answer.text());
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ranking_has_one_form_and_one_price_whatever_server_made_it() -> Result<()> {
    let documents = ["green pears", "apples, red", "an apple is red"];
    let mut worlds = Vec::new();
    for (dialect, path) in
        [("vllm", "/v1/rerank"), ("sglang", "/v1/rerank"), ("llamacpp", "/v1/rerank"), ("tei", "/rerank")]
    {
        let world = Plan::default().dialect(dialect).start().await?;
        let key = world.key("ranks").await?;
        let before = world.balance().await?;
        let sdk = python("cohere", "rerank.py")?.env("CO_API_KEY", &key);
        let printed = sdk.arg(&world.url).arg("paid/rank").json().await?;
        assert_eq!(printed, json!({ "order": [1, 2], "scores": [1.0, 0.5], "units": 1.0 }), "{dialect}");
        let seen = world.upstream.seen().await?.pop().expect("a request");
        assert_eq!(seen.path(), path, "{dialect}");
        let list = if dialect == "tei" { "texts" } else { "documents" };
        assert_eq!(seen.json()[list], json!(documents), "{dialect}: {}", seen.body());

        let mut charged = 2_000_000;
        for path in ["/v1/rerank", "/rerank", "/v2/rerank", "/api/v1/rerank"] {
            let body = json!({ "model": "paid/rank-tokens", "query": "red apples", "documents": documents });
            let answer = world.client.post(path, &key, &body).await?;
            assert_eq!(answer.status, 200, "{dialect} {path}: {}", answer.text());
            let record = world.record(answer.header("x-request-id")).await?;
            assert_eq!((&record["endpoint"], &record["outcome"]), (&json!("rerank"), &json!("complete")), "{record}");
            // TEI says it in the head; llama.cpp and the others in the body.
            let source = if dialect == "tei" { "upstream_header" } else { "upstream_final" };
            assert_eq!(record["usage_source"], source, "{dialect}: {record}");
            charged += token_cost(19, 1_000_000_000, 0, 0);
        }
        assert_eq!(before - world.balance().await?, charged, "{dialect}");
        worlds.push((world, key));
    }
    // LiteLLM asks for the same in two forms, by its providers `jina_ai` and `cohere`.
    let mut sdk = python("litellm", "litellm_calls.py")?.env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
    let mut before = Vec::new();
    for (world, key) in &worlds {
        before.push(world.balance().await?);
        sdk = sdk.arg(&world.url).arg(key).arg("paid/rank");
    }
    let ranking = json!([[1, 1.0], [2, 0.5]]);
    assert_eq!(sdk.json().await?, json!(vec![[&ranking, &ranking]; worlds.len()]));
    for ((world, _), before) in worlds.iter().zip(before) {
        assert_eq!(before - world.balance().await?, 2 * 2_000_000);
        assert_eq!(world.held().await?, 0);
        world.verify_ledger().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_get_pictures_and_pay_for_each_or_for_its_tokens() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("pictures").await?;
    let base = format!("{}/v1", world.url);
    let before = world.balance().await?;
    // Two pictures each, 4 hundredths; by tokens 3 of the prompt and 200 of the pictures, once more streamed with 100.
    let (by_picture, by_tokens) = (80_000_000, token_cost(3, 5_000_000_000, 200, 40_000_000_000));
    let streamed = token_cost(3, 5_000_000_000, 100, 40_000_000_000);
    let mut charged = 0;
    for script in [python("openai-1", "images.py")?, python("openai-3", "images.py")?, node("images.mjs")?] {
        let script = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base);
        let printed = script.json().await?;
        assert_eq!(printed, json!({ "pictures": [2, 2], "png": true, "wide": 64 }));
        charged += by_picture + by_tokens;
    }
    let body = json!({ "model": "paid/draw-tokens", "prompt": "a red apple", "stream": true, "partial_images": 1 });
    let answer = world.client.post("/v1/images/generations", &key, &body).await?;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/event-stream; charset=utf-8"));
    let text = answer.text();
    assert!(
        text.contains("event: image_generation.partial_image") && text.contains("image_generation.completed"),
        "{text}"
    );
    let record = world.record(answer.header("x-request-id")).await?;
    assert_eq!(
        (&record["endpoint"], &record["usage_source"]),
        (&json!("images"), &json!("upstream_final")),
        "{record}"
    );
    charged += streamed;
    // An upstream that does not count: the pictures are counted here.
    let silent = json!({ "model": "paid/draw", "prompt": "a", "size": "8x8", "sim": { "mode": "no-usage" } });
    let answer = world.client.post("/images/generations", &key, &silent).await?;
    let record = world.record(answer.header("x-request-id")).await?;
    assert_eq!(record["usage_source"], "computed", "{record}");
    charged += 40_000_000;
    assert_eq!(before - world.balance().await?, charged);
    assert_eq!(world.held().await?, 0);
    let seen = world.upstream.seen().await?;
    assert!(seen.iter().all(|seen| seen.path() == "/v1/images/generations" && seen.json()["model"] == "sim-image"));
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_have_pictures_edited_and_pay_for_what_goes_in_and_comes_out() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("pictures").await?;
    let base = format!("{}/v1", world.url);
    let before = world.balance().await?;
    let mut charged = 0;
    for script in [python("openai-1", "edits.py")?, python("openai-3", "edits.py")?, node("edits.mjs")?] {
        let printed = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base).json().await?;
        let events = ["image_edit.partial_image", "image_edit.completed"];
        assert_eq!(printed, json!({ "pictures": [2, 1], "png": true, "events": events }));
        // Two pictures; by tokens 3 of the prompt and 10 of each picture and mask; once more without the mask.
        charged += 80_000_000;
        charged += token_cost(23, 5_000_000_000, 100, 40_000_000_000);
        charged += token_cost(13, 5_000_000_000, 100, 40_000_000_000);
    }
    assert_eq!(before - world.balance().await?, charged);
    assert_eq!(world.held().await?, 0);
    let record = world.records(1).await?.remove(0);
    assert_eq!((&record["endpoint"], &record["usage_source"]), (&json!("images"), &json!("upstream_final")));
    let seen = world.upstream.seen().await?;
    assert!(seen.iter().all(|seen| seen.path() == "/v1/images/edits" && !seen.body().contains("paid/draw")));
    // Variations are not adopted, and pictures in JSON are no form.
    let none = world.client.post("/v1/images/variations", &key, &json!({ "model": "paid/draw" })).await?;
    assert_eq!(none.refusal(), (404, "unknown_url".to_owned()));
    let none = world.client.post("/v1/images/edits", &key, &json!({ "model": "paid/draw" })).await?;
    assert_eq!(none.refusal(), (415, "unsupported_media_type".to_owned()));
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_hear_every_byte_and_pay_for_characters() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("speech").await?;
    let base = format!("{}/v1", world.url);
    let before = world.balance().await?;
    let mut charged = 0;
    for script in [python("openai-1", "speech.py")?, python("openai-3", "speech.py")?, node("speech.mjs")?] {
        let script = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base);
        let printed = script.json().await?;
        // Ten scalars of 800 bytes behind a head of 44.
        assert_eq!(printed, json!({ "bytes": 8044, "type": "audio/wav" }));
        charged += 150_000;
    }
    let record = world.records(1).await?.remove(0);
    assert_eq!((&record["endpoint"], &record["outcome"]), (&json!("audio.speech"), &json!("complete")), "{record}");
    assert_eq!(record["usage_source"], "computed", "{record}");
    // Sound that breaks off is cut off, and costs nothing.
    let cut = json!({ "model": "paid/say", "input": "hello", "response_format": "wav", "sim": { "mode": "cut", "bytes": 900 } });
    assert!(world.client.post("/v1/audio/speech", &key, &cut).await.is_err(), "the connection is cut");
    claviger_e2e::eventually(15, "the cut answer is recorded", async || {
        let record = world.records(1).await?.remove(0);
        Ok((record["outcome"] == "upstream_cut").then_some(()))
    })
    .await?;
    // A page under the name of sound is none.
    let page =
        json!({ "model": "paid/say", "input": "hello", "sim": { "mode": "status", "code": 200, "body": "<html>" } });
    let refused = world.client.post("/v1/audio/speech", &key, &page).await?;
    assert_eq!(refused.refusal(), (502, "upstream_error".to_owned()));
    // As events, with what they say of themselves.
    let events = json!({ "model": "paid/say", "input": "hello", "stream_format": "sse" });
    let answer = world.client.post("/v1/audio/speech", &key, &events).await?;
    assert_eq!(answer.text().matches("speech.audio.delta").count(), 5, "{}", answer.text());
    assert!(answer.text().contains("speech.audio.done"));
    charged += 75_000;
    assert_eq!(before - world.balance().await?, charged);
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

/// A WAV file of 8 kHz in 16 bits, of one letter: the record of the upstream shows it as it is.
fn sound(milliseconds: u32) -> Vec<u8> {
    let data = milliseconds * 16;
    let mut file = b"RIFF".to_vec();
    file.extend_from_slice(&(data + 36).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    file.extend_from_slice(&data.to_le_bytes());
    file.resize(file.len() + data as usize, b' ');
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn sdks_transcribe_a_file_and_pay_for_its_seconds_whoever_counted_them() -> Result<()> {
    // vLLM and Ollama count nothing that is not JSON, or nothing at all: then the file itself is read.
    for dialect in ["openai", "vllm"] {
        let world = Plan::default().dialect(dialect).start().await?;
        let key = world.key("sound").await?;
        let base = format!("{}/v1", world.url);
        let file = world.folder.path().join("speech.wav");
        std::fs::write(&file, sound(61_200))?;
        let before = world.balance().await?;
        let mut charged = 0;
        for script in
            [python("openai-1", "transcribe.py")?, python("openai-3", "transcribe.py")?, node("transcribe.mjs")?]
        {
            let script = script.env("OPENAI_API_KEY", &key).env("OPENAI_BASE_URL", &base);
            let printed = script.arg(&file.display().to_string()).json().await?;
            let text = printed["json"].as_str().unwrap_or_default().to_owned();
            assert!(text.starts_with("979244 bytes, sha256 "), "{dialect}: {printed}");
            let expected = json!({
                "json": text, "text": text, "translated": text, "seconds": 62,
                "events": ["transcript.text.delta", "transcript.text.done"],
            });
            assert_eq!(printed, expected, "{dialect}");
            // Five calls of 62 seconds.
            charged += 5 * 62 * 100_000;
        }
        let seen = world.upstream.seen().await?;
        assert!(seen.iter().all(|seen| seen.header("content-type").starts_with("multipart/form-data; boundary=")));
        assert!(seen.iter().all(|seen| seen.body().contains("sim-transcribe") && !seen.body().contains("paid/hear")));
        let sources: Vec<_> = world.records(5).await?.iter().map(|record| record["usage_source"].clone()).collect();
        assert!(sources.contains(&json!("computed")) && sources.contains(&json!("upstream_final")), "{sources:?}");
        assert_eq!(before - world.balance().await?, charged, "{dialect}");
        assert_eq!(world.held().await?, 0);
        world.verify_ledger().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_24_mebibytes_passes_and_one_of_26_is_too_large() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("sound").await?;
    for (size, expected) in
        [("24", json!({ "status": 200, "code": null })), ("26", json!({ "status": 413, "code": "request_too_large" }))]
    {
        let script = python("openai-3", "upload.py")?.env("OPENAI_API_KEY", &key);
        let printed = script.env("OPENAI_BASE_URL", &format!("{}/v1", world.url)).arg(size).json().await?;
        assert_eq!(printed, expected, "{size} MiB");
        let milliseconds = size.parse::<u32>()? * 1024 * 64 - 100;
        let file = world.folder.path().join("long.wav");
        std::fs::write(&file, sound(milliseconds))?;
        let script = node("upload.mjs")?.env("OPENAI_API_KEY", &key).arg(&file.display().to_string());
        let printed = script.env("OPENAI_BASE_URL", &format!("{}/v1", world.url)).json().await?;
        assert_eq!(printed, expected, "{size} MiB from the disk");
    }
    assert_eq!(world.upstream.count().await?, 2, "what is too large never leaves");
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_two_servers_would_read_differently_never_leaves() -> Result<()> {
    let world = World::usual().await?;
    let key = world.key("forms").await?;
    let part =
        |name: &str, value: &str| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let (file, model, end) = (part("file", "abc"), part("model", "paid/hear"), "--b--\r\n");
    let other = part("model", "sim-transcribe");
    let invalid = (400, "invalid_multipart".to_owned());
    for (body, expected) in [
        (format!("{file}{model}{other}{end}"), (400, "duplicate_key".to_owned())),
        (format!("{file}{model}{}{end}", part("Model", "x")), (400, "ambiguous_key".to_owned())),
        (format!("{file}{model}{}{end}", part("api_base", "http://x")), (400, "forbidden_parameter".to_owned())),
        (format!("{other}{end}{file}{model}{end}"), invalid.clone()),
        (format!("x\r\n{file}{model}{end}"), invalid.clone()),
        (format!("{file}{model}--b--{other}{end}"), invalid.clone()),
        (
            format!(
                "{}{model}{end}",
                part("file", "abc\n--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ny")
            ),
            invalid.clone(),
        ),
        (format!("{file}{model}"), invalid.clone()),
        (format!("{file}{}{end}", model.replace("form-data;", "form-data; name=\"x\";")), invalid.clone()),
        (format!("{file}{end}"), (400, "missing_required_parameter".to_owned())),
        (format!("{model}{end}"), (400, "missing_required_parameter".to_owned())),
        (format!("{}{end}", part("a", "").repeat(101)), (413, "request_too_large".to_owned())),
    ] {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "multipart/form-data; boundary=b")];
        let answer = world.client.send("POST", "/v1/audio/transcriptions", &headers, body.as_bytes()).await?;
        assert_eq!(answer.refusal(), expected, "{body:?}: {}", answer.text());
    }
    assert_eq!(world.upstream.count().await?, 0);
    assert_eq!(world.held().await?, 0);
    world.verify_ledger().await
}

/// Models whose prices depend on what is asked for, in a price file.
const CONDITIONAL: &str = r#"
format = "claviger-prices/1"
currency = "USD"
model = [
  { id = "draw/any", row = [ { meter = "image", size = "64x64", quality = "low", price = "0.01" }, { meter = "image", size = "64x64", price = "0.02" }, { meter = "image", price = "0.05" } ] },
  { id = "draw/some", row = [ { meter = "image", size = "64x64", price = "0.02" }, { meter = "image", size = "8x8", price = "0.01" } ] },
  { id = "chat/fast", price = { input_token = "1", output_token = "2" }, row = [ { meter = "input_token", service_tier = "priority", price = "10" }, { meter = "output_token", service_tier = "priority", price = "20" } ] },
]
"#;

async fn conditional(folder: &std::path::Path) -> Result<World> {
    let prices = folder.join("conditional.toml");
    std::fs::write(&prices, CONDITIONAL)?;
    let mut more = format!("[prices]\nfiles = [\"{}\"]\n", prices.display());
    for (id, endpoints, model) in [
        ("draw/any", "images", "sim-image"),
        ("draw/some", "images", "sim-image"),
        ("chat/fast", "chat.completions\", \"responses", "echo"),
    ] {
        more.push_str(&format!(
            "[[model]]\nid = \"{id}\"\nendpoints = [\"{endpoints}\"]\ncontext = 131072\nmax_output = 1000\ntiers = [[{{ provider = \"upstream\", model = \"{model}\" }}]]\n"
        ));
    }
    Plan::default().more(&more).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_is_held_and_what_the_answer_tells_is_charged() -> Result<()> {
    let folder = tempfile::TempDir::new()?;
    let world = conditional(folder.path()).await?;
    let key = world.key("conditions").await?;
    let drawn = |size: &str, quality: &str| {
        let body = json!({ "created": 1, "data": [{ "b64_json": "AA==" }], "size": size, "quality": quality });
        json!({ "mode": "status", "code": 200, "body": body })
    };
    for (members, sim, held, charged) in [
        (json!({ "size": "64x64", "quality": "low" }), json!({}), 10_000_000, 10_000_000),
        // The server is silent: what was asked for counts.
        (json!({ "size": "64x64" }), json!({}), 20_000_000, 20_000_000),
        // What is left open is held at the dearest row and settled by what the server tells.
        (json!({}), drawn("64x64", "low"), 50_000_000, 10_000_000),
        (json!({ "size": "auto" }), drawn("64x64", "medium"), 50_000_000, 20_000_000),
        (json!({ "n": 2 }), json!({}), 100_000_000, 100_000_000),
    ] {
        let mut body = json!({ "model": "draw/any", "prompt": "a" });
        body.as_object_mut().expect("an object").extend(members.as_object().cloned().unwrap_or_default());
        if sim != json!({}) {
            body["sim"] = sim;
        }
        let answer = world.client.post("/v1/images/generations", &key, &body).await?;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        let path = format!("/v1/organization/requests/{}/receipt", answer.header("x-request-id"));
        let receipt = world.client.get(&path, &world.admin_key).await?.json();
        let text = |nano: i64| format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
        assert_eq!(
            (&receipt["held"], &receipt["charged"]),
            (&json!(text(held)), &json!(text(charged))),
            "{body}: {receipt}"
        );
    }
    let before = world.balance().await?;
    world.upstream.forget().await?;
    let strict = json!({ "model": "draw/some", "prompt": "a", "size": "32x32" });
    let refused = world.client.post("/v1/images/generations", &key, &strict).await?;
    assert_eq!(
        (refused.refusal(), &refused.json()["error"]["param"]),
        ((400, "unpriced_parameter".to_owned()), &json!("size"))
    );
    let messages = json!([{ "role": "user", "content": "Say hello" }]);
    let chat = |tier: &str| json!({ "model": "chat/fast", "messages": messages, "service_tier": tier });
    let refused = world.client.post("/v1/chat/completions", &key, &chat("flex")).await?;
    assert_eq!(refused.refusal(), (400, "unpriced_parameter".to_owned()));
    assert_eq!(
        (world.upstream.count().await?, before - world.balance().await?),
        (0, 0),
        "nobody is asked, nothing is paid"
    );

    let fast = world.client.post("/v1/chat/completions", &key, &chat("priority")).await?;
    assert_eq!(fast.status, 200, "{}", fast.text());
    assert_eq!(before - world.balance().await?, token_cost(4, 10_000_000_000, 3, 20_000_000_000));
    let before = world.balance().await?;
    let usual = world.client.post("/v1/chat/completions", &key, &chat("default")).await?;
    assert_eq!(usual.status, 200, "{}", usual.text());
    assert_eq!(before - world.balance().await?, token_cost(4, 1_000_000_000, 3, 2_000_000_000));
    assert_eq!(world.held().await?, 0);
    // Every charge is rated again from its record.
    world.verify_ledger().await
}
