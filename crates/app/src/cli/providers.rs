//! `claviger providers …`: model servers that the organization brings along, and what is found on this machine.
//!
//! Credentials come from files, from standard input, or from a variable that is named; never from an argument.

use super::arguments::Global;
use super::keys::{confirm, pages};
use super::output::{Output, figures, printable, say, text, time, words};
use super::transport::{Transport, target};
use super::{Failure, Kind};
use crate::config::Variables;
use crate::percent::encoded;
use clap::{Args, Subcommand};
use claviger_domain::secret::Secret;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;

const PROVIDERS: &str = "/v1/organization/providers";
const REGISTRIES: &str = "/v1/organization/registries";

#[derive(Clone, Debug, Subcommand)]
pub(super) enum ProvidersCommand {
    /// List the organization's providers
    List,
    /// Show one
    Get {
        /// Id or name
        provider: String,
    },
    /// Bring a provider along: it is asked for its models before it is used
    #[command(visible_alias = "create")]
    Add(AddProvider),
    /// Change one
    Edit(EditProvider),
    /// Ask one now for its models
    Test {
        /// Id or name
        provider: String,
    },
    /// Send it no more requests
    Disable {
        /// Id or name
        provider: String,
    },
    /// Send it requests again
    Enable {
        /// Id or name
        provider: String,
    },
    /// End one, with its credential
    Remove {
        /// Id or name
        provider: String,
    },
    /// What the server finds on its machine; nothing is used until it is added
    Detect,
}

#[derive(Clone, Debug, Args)]
pub(super) struct AddProvider {
    /// Its name; with --found, the name that `detect` shows
    name: String,
    /// Take address and dialect from what `detect` finds under this name
    #[arg(long, conflicts_with_all = ["base_url", "dialect"])]
    found: bool,
    /// Such as https://gpu.acme.io/v1
    #[arg(long, value_name = "URL", required_unless_present = "found")]
    base_url: Option<String>,
    /// openai, anthropic, vllm, sglang, llamacpp, ollama, tei, cohere, jina, compatible, …
    #[arg(long, required_unless_present = "found")]
    dialect: Option<String>,
    #[command(flatten)]
    credential: CredentialSource,
    /// What its model ids begin with; made if there is none [default: the organization's slug]
    #[arg(long, value_name = "SLUG")]
    registry: Option<String>,
    /// A model it serves, NAME or NAME=UPSTREAM; may come several times [default: all it lists]
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
    /// Use it without asking it first
    #[arg(long)]
    no_test: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct EditProvider {
    /// Id or name
    provider: String,
    /// Another name
    #[arg(long)]
    name: Option<String>,
    /// Another address; another host needs the credential again
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    #[command(flatten)]
    credential: CredentialSource,
    /// The models it serves from now on, NAME or NAME=UPSTREAM; may come several times
    #[arg(long = "model", value_name = "MODEL")]
    models: Vec<String>,
}

/// Where a credential comes from.
#[derive(Clone, Debug, Args)]
#[group(multiple = false)]
pub(super) struct CredentialSource {
    /// File with its credential; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
    /// Variable with its credential, such as OPENAI_API_KEY
    #[arg(long, value_name = "VARIABLE")]
    credential_from: Option<String>,
}

pub(super) async fn run(
    transport: &Transport,
    output: &Output,
    global: &Global,
    variables: &Variables,
    command: ProvidersCommand,
) -> Result<ExitCode, Failure> {
    match command {
        ProvidersCommand::List => list(transport, output).await?,
        ProvidersCommand::Get { provider } => {
            let path = path_of(transport, &provider).await?;
            show(output, &transport.get(&path).await?.body);
        }
        ProvidersCommand::Add(options) => return add(transport, output, variables, options).await,
        ProvidersCommand::Edit(options) => edit(transport, output, variables, options).await?,
        ProvidersCommand::Test { provider } => {
            let path = path_of(transport, &provider).await?;
            return test(transport, output, &path).await;
        }
        ProvidersCommand::Disable { provider } => switch(transport, output, &provider, false).await?,
        ProvidersCommand::Enable { provider } => switch(transport, output, &provider, true).await?,
        ProvidersCommand::Remove { provider } => {
            let path = path_of(transport, &provider).await?;
            if !global.yes {
                confirm(&format!("End {} for ever, with its credential?", printable(&provider)))?;
            }
            tell(output, "Ended", &transport.delete(&path).await?.body);
        }
        ProvidersCommand::Detect => detect(transport, output).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(transport: &Transport, output: &Output) -> Result<(), Failure> {
    let rows = pages(transport, &target(PROVIDERS, &[("limit", Some("100"))]), usize::MAX).await?;
    let columns = [
        words("ID"),
        words("NAME"),
        words("DIALECT"),
        words("ADDRESS"),
        words("KEY"),
        figures("MODELS"),
        words("STATE"),
    ];
    output.rows(&rows, &columns, |row| {
        let of = |name| printable(text(row, name));
        let hint = row["credential"]["hint"].as_str().map_or_else(|| "none".to_owned(), printable);
        let state = if row["enabled"] == json!(true) { "on" } else { "off" };
        let models = row["models"].as_array().map_or(0, Vec::len).to_string();
        vec![of("id"), of("name"), of("dialect"), of("base_url"), hint, models, state.to_owned()]
    });
    Ok(())
}

/// Made switched off, asked, and switched on if it answers: a provider that does not answer stays, and says why.
async fn add(
    transport: &Transport,
    output: &Output,
    variables: &Variables,
    options: AddProvider,
) -> Result<ExitCode, Failure> {
    let mut body = Map::new();
    body.insert("name".to_owned(), json!(options.name));
    let found = if options.found { Some(find_found(transport, &options.name).await?) } else { None };
    let of_found = |name: &str| found.as_ref().and_then(|found| found[name].as_str()).map(str::to_owned);
    body.insert("dialect".to_owned(), json!(options.dialect.or_else(|| of_found("dialect"))));
    body.insert("base_url".to_owned(), json!(options.base_url.or_else(|| of_found("base_url"))));
    let mut source = options.credential;
    if source.credential_file.is_none() && source.credential_from.is_none() {
        source.credential_from = of_found("variable");
    }
    if let Some(credential) = credential(&source, variables)? {
        body.insert("credential".to_owned(), json!(credential.expose()));
    }
    body.insert("registry_id".to_owned(), json!(registry(transport, options.registry.as_deref()).await?));
    body.insert("models".to_owned(), models(&options.models));
    body.insert("enabled".to_owned(), json!(options.no_test));
    let made = transport.post(PROVIDERS, &Value::Object(body)).await?.body;
    tell(output, "Created", &made);
    if options.no_test {
        return Ok(ExitCode::SUCCESS);
    }
    let path = format!("{PROVIDERS}/{}", encoded(text(&made, "id")));
    let tested = transport.post(&format!("{path}/test"), &json!({})).await?.body;
    if tested["ok"] != json!(true) {
        say_test(output, &tested);
        let next = format!("claviger providers edit {0}, then claviger providers enable {0}", printable(&options.name));
        return Err(Failure::new(Kind::Network, "it did not answer, and is switched off").next(&next));
    }
    let mut edit = json!({ "enabled": true });
    if options.models.is_empty() {
        edit["models"] = tested["models"].clone();
    }
    let enabled = transport.post(&path, &edit).await?.body;
    if !output.is_quiet && !output.json(&enabled) {
        let count = enabled["models"].as_array().map_or(0, Vec::len);
        say(format_args!("It answered in {} ms and is in use with {count} models.", tested["duration_ms"]));
    }
    Ok(ExitCode::SUCCESS)
}

async fn edit(
    transport: &Transport,
    output: &Output,
    variables: &Variables,
    options: EditProvider,
) -> Result<(), Failure> {
    let path = path_of(transport, &options.provider).await?;
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| value.map(|value| body.insert(name.to_owned(), value));
    put("name", options.name.map(Value::from));
    put("base_url", options.base_url.map(Value::from));
    put("credential", credential(&options.credential, variables)?.map(|secret| json!(secret.expose())));
    put("models", (!options.models.is_empty()).then(|| models(&options.models)));
    tell(output, "Changed", &transport.post(&path, &Value::Object(body)).await?.body);
    Ok(())
}

async fn switch(transport: &Transport, output: &Output, provider: &str, is_on: bool) -> Result<(), Failure> {
    let path = path_of(transport, provider).await?;
    let changed = transport.post(&path, &json!({ "enabled": is_on })).await?.body;
    tell(output, if is_on { "Enabled" } else { "Disabled" }, &changed);
    Ok(())
}

async fn test(transport: &Transport, output: &Output, path: &str) -> Result<ExitCode, Failure> {
    let tested = transport.post(&format!("{path}/test"), &json!({})).await?.body;
    if !output.json(&tested) {
        say_test(output, &tested);
    }
    Ok(if tested["ok"] == json!(true) { ExitCode::SUCCESS } else { ExitCode::from(Kind::Network as u8) })
}

fn say_test(output: &Output, tested: &Value) {
    if output.is_quiet {
        return;
    }
    if tested["ok"] == json!(true) {
        let names: Vec<&str> = tested["models"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let shown = printable(&names.join(" "));
        say(format_args!("It answered in {} ms. Models {}: {shown}", tested["duration_ms"], names.len()));
    } else {
        say(printable(tested["message"].as_str().unwrap_or("It did not answer.")));
    }
}

async fn detect(transport: &Transport, output: &Output) -> Result<(), Failure> {
    let rows = found(transport).await?;
    let columns = [words("NAME"), words("FOUND"), words("DIALECT"), words("ADDRESS"), figures("MODELS")];
    output.rows(&rows, &columns, |row| {
        let of = |name| printable(text(row, name));
        let models = row["models"].as_array().map_or_else(String::new, |models| models.len().to_string());
        vec![of("name"), of("label"), of("dialect"), of("base_url"), models]
    });
    if !output.is_json() && !output.is_quiet && !rows.is_empty() {
        say("Nothing is used because it was found. To use one: claviger providers add NAME --found");
    }
    Ok(())
}

async fn found(transport: &Transport) -> Result<Vec<Value>, Failure> {
    let found = transport.post("/api/operator/providers/detect", &json!({})).await?.body;
    Ok(found["data"].as_array().cloned().unwrap_or_default())
}

async fn find_found(transport: &Transport, name: &str) -> Result<Value, Failure> {
    let found = found(transport).await?.into_iter().find(|row| text(row, "name") == name);
    found.ok_or_else(|| {
        let what = format!("nothing is found under the name `{}`", printable(name));
        Failure::new(Kind::NotFound, what).next("claviger providers detect")
    })
}

/// The id of the registry of this slug; made if there is none.
async fn registry(transport: &Transport, slug: Option<&str>) -> Result<String, Failure> {
    let slug = match slug {
        Some(slug) => slug.to_owned(),
        None => text(&transport.get("/v1/organization").await?.body, "slug").to_owned(),
    };
    let all = pages(transport, &target(REGISTRIES, &[("limit", Some("100"))]), usize::MAX).await?;
    if let Some(found) = all.iter().find(|row| text(row, "slug") == slug || text(row, "id") == slug) {
        return Ok(text(found, "id").to_owned());
    }
    let made = transport.post(REGISTRIES, &json!({ "name": slug, "slug": slug })).await?.body;
    Ok(text(&made, "id").to_owned())
}

/// `NAME` or `NAME=UPSTREAM`.
fn models(typed: &[String]) -> Value {
    let model = |text: &String| match text.split_once('=') {
        None => json!(text),
        Some((name, upstream)) => json!({ "name": name, "upstream_model": upstream }),
    };
    typed.iter().map(model).collect()
}

fn credential(source: &CredentialSource, variables: &Variables) -> Result<Option<Secret<String>>, Failure> {
    let read = |file: &PathBuf| {
        crate::config::read_secret(file).map(Some).map_err(|error| Failure::new(Kind::Usage, error.to_string()))
    };
    match (&source.credential_file, &source.credential_from) {
        (Some(file), _) if file.as_os_str() == "-" => super::secret_in::read("Credential: ").map(Some),
        (Some(file), _) => read(file),
        (None, Some(name)) => {
            let missing = || Failure::new(Kind::Usage, format!("the variable `{}` is not set", printable(name)));
            variables.find(name).map(|text| Some(Secret::new(text.to_owned()))).ok_or_else(missing)
        }
        (None, None) => Ok(None),
    }
}

/// The path of the provider of an id or a name.
async fn path_of(transport: &Transport, named: &str) -> Result<String, Failure> {
    let all = pages(transport, &target(PROVIDERS, &[("limit", Some("100"))]), usize::MAX).await?;
    let found = all.iter().find(|row| text(row, "id") == named || text(row, "name") == named);
    let id = found.map(|row| text(row, "id").to_owned()).ok_or_else(|| {
        let what = format!("there is no provider `{}`", printable(named));
        Failure::new(Kind::NotFound, what).next("claviger providers list")
    })?;
    Ok(format!("{PROVIDERS}/{}", encoded(&id)))
}

fn show(output: &Output, row: &Value) {
    if output.is_quiet {
        return say(text(row, "id"));
    }
    if output.json(row) {
        return;
    }
    let line = |name: &str, value: String| vec![name.to_owned(), value];
    let mut lines: Vec<Vec<String>> =
        ["id", "name", "registry_id", "dialect", "base_url", "enabled", "max_concurrency"]
            .iter()
            .map(|name| {
                line(&name.replace('_', " "), row[*name].as_str().map_or_else(|| row[*name].to_string(), printable))
            })
            .collect();
    lines.push(line("credential", row["credential"]["hint"].as_str().map_or_else(|| "none".to_owned(), printable)));
    for model in row["models"].as_array().into_iter().flatten() {
        let upstream = printable(text(model, "upstream_model"));
        lines.push(line("model", format!("{} = {upstream}", printable(text(model, "name")))));
    }
    lines.push(line("created", time(&row["created_at"])));
    output.table(&[words(""), words("")], lines);
}

fn tell(output: &Output, done: &str, object: &Value) {
    if output.is_quiet {
        say(text(object, "id"));
    } else if !output.json(object) {
        say(format_args!("{done} {}  {}", text(object, "id"), printable(text(object, "name"))).to_string().trim_end());
    }
}
