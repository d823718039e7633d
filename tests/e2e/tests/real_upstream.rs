//! The long run's upstream that is not ours: llama.cpp's server on tiny models of random weights, called by the official
//! SDKs through Claviger, for chats and for vectors. What it says is noise; its protocol, its token counts and its refusals
//! are real.
//!
//! It runs as dialect `llamacpp` and as dialect `compatible`, which knows nothing of it. It reports usage in whole
//! answers and, in this version, never on streams, so a stream is billed by the estimate and says so.

use anyhow::{Context, ensure};
use claviger_e2e::{Client, Plan, Program, Result, World, eventually, node, python, token_cost, workspace_root};
use serde_json::Value;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use tokio::process::Command;

const DIALECTS: [&str; 2] = ["llamacpp", "compatible"];
/// Nano-units per 1,000,000 tokens, as configured below.
const INPUT_PRICE: u64 = 3_000_000_000;
const OUTPUT_PRICE: u64 = 15_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_model_server_that_is_not_ours_is_called_recorded_and_charged_to_the_token() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut llama, url) = start_llama(folder.path(), "tiny.gguf", &["--chat_format", "chatml"]).await?;
    let world = Plan::default().more(&configuration(&url, CHAT)).start().await?;
    let key = world.key("llama").await?;
    let before = world.balance().await?;
    let mut charged = 0;
    for dialect in DIALECTS {
        let model = format!("tiny/{dialect}");
        for script in [python("openai-3", "real_upstream.py")?, node("real_upstream.mjs")?] {
            let script = script.arg(&model).env("OPENAI_API_KEY", &key);
            let said = script.env("OPENAI_BASE_URL", &format!("{}/v1", world.url)).json().await?;
            println!("\n== dialect {dialect}: the SDK saw\n{said:#}");
            charged += whole_answer(&world, &model, &said["whole"]).await?;
            charged += streamed_answer(&world, &model, &said["streamed"]).await?;
            charged += streamed_answer(&world, &model, &said["streamed_with_usage"]).await?;
            if said["too_long"].is_object() {
                refusals(&world, &said).await?;
            }
        }
    }
    llama.ensure_running()?;
    assert!(charged > 0);
    assert_eq!(before - world.balance().await?, charged, "the wallet lost what the records charge");
    world.verify_ledger().await
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_a_server_that_is_not_ours_are_charged_by_its_own_count() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut llama, url) = start_llama(folder.path(), "tiny-vectors.gguf", &["--embedding", "true"]).await?;
    let world = Plan::default().more(&configuration(&url, VECTORS)).start().await?;
    let (key, before) = (world.key("vectors").await?, world.balance().await?);
    let (mut charged, mut firsts) = (0, Vec::new());
    for dialect in DIALECTS {
        let model = format!("tiny/{dialect}");
        for script in
            [python("openai-3", "real_vectors.py")?.arg(&model), node("real_upstream.mjs")?.arg(&model).arg("v")]
        {
            let script = script.env("OPENAI_API_KEY", &key);
            let said = script.env("OPENAI_BASE_URL", &format!("{}/v1", world.url)).json().await?;
            // The SDKs ask for base64 by themselves; this server knows numbers only.
            for way in ["usual", "floats"] {
                let said = &said[way];
                assert_eq!((&said["model"], &said["lengths"]), (&model.as_str().into(), &serde_json::json!([64, 64])));
                let record = shown(&world, &said["request_id"]).await?;
                let told = count(&said["usage"]["prompt_tokens"])?;
                assert_eq!(
                    (&record["endpoint"], &record["usage_source"]),
                    (&"embeddings".into(), &"upstream_final".into())
                );
                assert_eq!(count(&record["meters"]["input_token"])?, told, "{record}");
                let charge = nano(&record["charge"])?;
                assert_eq!(charge, token_cost(told, INPUT_PRICE, 0, 0));
                charged += charge;
                firsts.push(said["first"].as_f64().context("a number")?);
            }
        }
    }
    llama.ensure_running()?;
    assert!(firsts.iter().all(|first| (first - firsts[0]).abs() < 1e-6), "one text, one vector: {firsts:?}");
    assert_eq!(before - world.balance().await?, charged, "the wallet lost what the records charge");
    world.verify_ledger().await
}

/// What the scripts ask for at most.
const OUTPUT_MAX: u64 = 12;

/// A whole answer is billed by the usage that the server itself counted.
async fn whole_answer(world: &World, model: &str, said: &Value) -> Result<i64> {
    assert_eq!((&said["model"], &said["finish_reason"]), (&model.into(), &"length".into()), "{said}");
    // The server sometimes counts one token more than it was allowed; nobody pays for that (`money.md` §7, row 20).
    let (input, told) = (count(&said["usage"]["prompt_tokens"])?, count(&said["usage"]["completion_tokens"])?);
    let output = told.min(OUTPUT_MAX);
    let record = shown(world, &said["request_id"]).await?;
    assert_eq!(record["outcome"], "complete");
    assert_eq!(record["usage_source"], "upstream_final");
    assert_eq!(record["upstream_model"], "tiny");
    assert_eq!(count(&record["meters"]["input_token"])?, input);
    assert_eq!(count(&record["meters"]["output_token"])?, output);
    assert_eq!(record["usage_anomaly"].as_bool(), Some(told > OUTPUT_MAX));
    let charge = nano(&record["charge"])?;
    assert_eq!(charge, token_cost(input, INPUT_PRICE, output, OUTPUT_PRICE));
    Ok(charge)
}

/// A stream without usage is billed by the estimate, which is marked, and told to who asks for usage.
async fn streamed_answer(world: &World, model: &str, said: &Value) -> Result<i64> {
    assert_eq!(said["models"], serde_json::json!([model]), "{said}");
    assert_eq!(said["finish_reason"], "length");
    let record = shown(world, &said["request_id"]).await?;
    assert_eq!(record["outcome"], "complete");
    assert_eq!(record["usage_source"], "estimated");
    let (input, output) = (count(&record["meters"]["input_token"])?, count(&record["meters"]["output_token"])?);
    assert!(output >= 1, "content arrived, so output is billed: {record}");
    if said["usage"].is_object() {
        let told = (count(&said["usage"]["prompt_tokens"])?, count(&said["usage"]["completion_tokens"])?);
        assert_eq!(told, (input, output), "the caller is told what is billed");
    }
    let charge = nano(&record["charge"])?;
    assert_eq!(charge, token_cost(input, INPUT_PRICE, output, OUTPUT_PRICE));
    Ok(charge)
}

/// Its refusal of too long a prompt keeps its meaning and costs nothing; an empty stream is never passed off as one.
async fn refusals(world: &World, said: &Value) -> Result<()> {
    let refused = &said["too_long"];
    assert_eq!((&refused["status"], &refused["type"]), (&400.into(), &"BadRequestError".into()), "{refused}");
    let record = shown(world, &refused["request_id"]).await?;
    assert_eq!((nano(&record["charge"])?, &record["outcome"]), (0, &"upstream_rejected".into()));
    assert!(said["streamed_too_long"]["type"].is_string(), "an empty stream is an error: {said}");
    Ok(())
}

/// The record of a request, printed with its receipt.
async fn shown(world: &World, request: &Value) -> Result<Value> {
    let id = request.as_str().context("an answer without a request id")?;
    let record = world.record(id).await?;
    println!("-- record {id}\n{record:#}");
    println!("-- receipt\n{}", world.claviger(&["explain", id]).await?);
    Ok(record)
}

/// What stands in a model's table beside its route.
const CHAT: &str = "context = 4096\nmax_output = 512\nendpoints = [\"chat.completions\"]";
const VECTORS: &str = "context = 512\nendpoints = [\"embeddings\"]";

fn configuration(url: &str, limits: &str) -> String {
    DIALECTS
        .map(|dialect| {
            format!(
                r#"
[[provider]]
name = "{dialect}"
dialect = "{dialect}"
base_url = "{url}/v1"

[[model]]
id = "tiny/{dialect}"
tiers = [[{{ provider = "{dialect}", model = "tiny" }}]]
{limits}

[[price]]
model = "tiny/{dialect}"
meter = "input_token"
sell = "3"

[[price]]
model = "tiny/{dialect}"
meter = "output_token"
sell = "15"
"#
            )
        })
        .concat()
}

/// Starts llama.cpp's server on a free port of the loopback interface.
async fn start_llama(folder: &Path, model: &str, more: &[&str]) -> Result<(Program, String)> {
    let installed = llama_folder()?;
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
    let mut command = Command::new(installed.join("bin/python"));
    command.args(["-m", "llama_cpp.server", "--model"]).arg(installed.join(model));
    command.args(["--model_alias", "tiny", "--n_ctx", "512"]).args(more);
    command.args(["--host", "127.0.0.1", "--port", &port, "--n_threads", "1"]);
    command.current_dir(workspace_root());
    let mut llama = Program::start(command, &folder.join("llama.log"))?;
    let url = format!("http://127.0.0.1:{port}");
    let client = Client::new(&url);
    eventually(60, "llama.cpp's server answers", async || {
        llama.ensure_running()?;
        let answer = client.send("GET", "/v1/models", &[], b"").await;
        Ok(answer.ok().filter(|answer| answer.status == 200))
    })
    .await?;
    Ok((llama, url))
}

/// Where `cargo xtask test --long` has installed it.
fn llama_folder() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("the test lies in no target directory")?;
    let folder = target.join("e2e/llama");
    ensure!(
        folder.join("tiny-vectors.gguf").exists(),
        "{} is missing: `cargo xtask test --long` makes it",
        folder.display()
    );
    Ok(folder)
}

fn count(value: &Value) -> Result<u64> {
    value.as_u64().with_context(|| format!("{value} is not a count"))
}

/// Nano-units of an amount with at most nine fraction digits.
fn nano(value: &Value) -> Result<i64> {
    let text = value.as_str().with_context(|| format!("{value} is not an amount"))?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    Ok(format!("{whole}{fraction:0<9}").parse()?)
}
