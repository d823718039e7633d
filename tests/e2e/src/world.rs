//! One server with its data directory and its upstream, from set-up to the end, through kills and restarts.

use crate::client::Client;
use crate::evidence::{self, Folder};
use crate::plan::{Engine, Plan};
use crate::ports;
use crate::program::{Program, Ran, binary};
use crate::upstream::Upstream;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The credential of the upstream; must never be seen by a client.
pub(crate) const PROVIDER_KEY: &str = "sk-upstream-7f3a9c51e0b24d68a1";

/// Everything of one test.
pub struct World {
    /// The directory that holds data, configuration and logs.
    pub folder: Folder,
    /// Where the API is, such as `http://127.0.0.1:20100`.
    pub url: String,
    /// Where `livez`, `readyz` and `metrics` are.
    pub private_url: String,
    /// A client of the API.
    pub client: Client,
    /// The admin key that set-up printed.
    pub admin_key: String,
    /// The organization that set-up made.
    pub organization: String,
    /// The upstream of every model.
    pub upstream: Upstream,
    /// The server.
    pub server: Program,
    /// The upstream that always fails, when the plan asked for it.
    pub broken: Option<Upstream>,
    plan: Plan,
}

impl World {
    /// The usual one: SQLite, a credit of 10, an upstream of OpenAI's shape.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn usual() -> Result<Self> {
        Plan::default().start().await
    }

    pub(crate) async fn start(plan: Plan) -> Result<Self> {
        let folder = Folder::new(plan.bug.as_deref() == Some("secret_in_one_log_line"))?;
        let key_file = secret_file(folder.path(), "provider-key", PROVIDER_KEY)?;
        let upstream = Upstream::start(folder.path(), "upstream", &plan.dialect, &key_file, None).await?;
        let broken = if plan.has_broken_upstream {
            let script = folder.path().join("broken.json");
            std::fs::write(&script, r#"[{"match":{},"do":{"mode":"status","code":500}}]"#)?;
            Some(Upstream::start(folder.path(), "broken", "openai", &key_file, Some(&script)).await?)
        } else {
            None
        };
        let database = match plan.engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(new_database().await?),
        };
        let broken_url = broken.as_ref().map(Upstream::url);
        let text = plan.configuration(upstream.url(), broken_url, &key_file, database.as_deref());
        std::fs::write(folder.path().join("claviger.toml"), text)?;
        secret_file(folder.path(), "password", "correct horse battery staple\n")?;

        let mut arguments =
            vec!["setup", "--organization", "Acme", "--email", "li@acme.example", "--password-file", "password"];
        if let Some(credit) = &plan.credit {
            arguments.extend(["--credit", credit]);
        }
        arguments.push("--json");
        let done = command_line(folder.path(), &plan, &arguments).await?;
        let done: Value = serde_json::from_str(done.trim()).with_context(|| format!("setup printed {done:?}"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();

        let (server, url, private_url) = serve(folder.path(), &plan).await?;
        Ok(Self {
            client: Client::new(&url),
            folder,
            url,
            private_url,
            admin_key: text(&done["admin_key"]["value"]),
            organization: text(&done["organization"]["id"]),
            upstream,
            server,
            broken,
            plan,
        })
    }

    /// Host and port of the API.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs `claviger` with these arguments on this world's data and gives its standard output.
    ///
    /// # Errors
    /// When it ends with another code than 0; with everything it wrote.
    pub async fn claviger(&self, arguments: &[&str]) -> Result<String> {
        command_line(self.folder.path(), &self.plan, arguments).await
    }

    /// Runs `claviger` as [`World::claviger`] does, whatever its exit code; `input` is its standard input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Result<Ran> {
        let mut command = base_command(self.folder.path(), &self.plan)?;
        command.args(arguments).args(["--data", "data", "--config", "claviger.toml"]);
        Ran::of(command, input).await
    }

    /// Creates a key and gives its object with the `value`.
    ///
    /// # Errors
    /// When the management API refuses.
    pub async fn create_key(&self, body: &Value) -> Result<Value> {
        let answer = self.client.post("/v1/organization/api_keys", &self.admin_key, body).await?;
        ensure!(answer.status == 200 || answer.status == 201, "create answered {}: {}", answer.status, answer.text());
        Ok(answer.json())
    }

    /// Creates an inference key and gives its text.
    ///
    /// # Errors
    /// As [`World::create_key`].
    pub async fn key(&self, name: &str) -> Result<String> {
        let key = self.create_key(&json!({ "name": name })).await?;
        Ok(key["value"].as_str().context("no value in the reply of create")?.to_owned())
    }

    /// Revokes a key by its id and gives the reply.
    ///
    /// # Errors
    /// When the management API refuses.
    pub async fn revoke(&self, id: &str) -> Result<Value> {
        let answer = self.client.delete(&format!("/v1/organization/api_keys/{id}"), &self.admin_key).await?;
        ensure!(answer.status == 200, "revoke answered {}: {}", answer.status, answer.text());
        Ok(answer.json())
    }

    /// The wallet's balance in nano-units.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn balance(&self) -> Result<i64> {
        let answer = self.client.get("/v1/organization/credits", &self.admin_key).await?;
        ensure!(answer.status == 200, "credits answered {}: {}", answer.status, answer.text());
        nano(&answer.json()["balance"])
    }

    /// What running requests hold, in nano-units, as the node itself says in its metrics.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub async fn held(&self) -> Result<i64> {
        self.metric("claviger_holds_nanos").await
    }

    /// One metric without labels.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn metric(&self, name: &str) -> Result<i64> {
        let text = Client::new(&self.private_url).send("GET", "/metrics", &[], b"").await?.text();
        let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
        let value = line.and_then(|line| line.rsplit(' ').next()).with_context(|| format!("no metric {name}"))?;
        Ok(value.parse::<f64>().map(|number| number as i64)?)
    }

    /// Books credit, in currency units.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn grant(&self, amount: &str) -> Result<()> {
        self.claviger(&["grants", "create", "acme", amount, "--reason", "test"]).await.map(drop)
    }

    /// One request record, once it is there.
    ///
    /// # Errors
    /// When it is not within 15 s.
    pub async fn record(&self, request: &str) -> Result<Value> {
        let path = format!("/v1/organization/requests/{request}");
        crate::eventually(15, &format!("the record of {request}"), async || {
            let answer = self.client.get(&path, &self.admin_key).await?;
            Ok((answer.status == 200).then(|| answer.json()))
        })
        .await
    }

    /// The newest request records, newest first, at most `count`.
    ///
    /// # Errors
    /// When the list is refused.
    pub async fn records(&self, count: usize) -> Result<Vec<Value>> {
        let mut found: Vec<Value> = Vec::new();
        let mut path = "/v1/organization/requests?limit=100".to_owned();
        while found.len() < count {
            let answer = self.client.get(&path, &self.admin_key).await?;
            ensure!(answer.status == 200, "requests answered {}: {}", answer.status, answer.text());
            let page = answer.json();
            found.extend(page["data"].as_array().cloned().unwrap_or_default());
            if page["has_more"] != json!(true) {
                break;
            }
            path =
                format!("/v1/organization/requests?limit=100&after={}", page["last_id"].as_str().unwrap_or_default());
        }
        found.truncate(count);
        Ok(found)
    }

    /// The ids that `ledger in-doubt` lists.
    ///
    /// # Errors
    /// When the command fails.
    pub async fn in_doubt(&self) -> Result<Vec<String>> {
        let printed = self.claviger(&["ledger", "in-doubt", "--json"]).await?;
        let value: Value = serde_json::from_str(printed.trim()).with_context(|| format!("printed {printed:?}"))?;
        let list = if value.is_array() { &value } else { &value["data"] };
        let id = |row: &Value| {
            row["request"].as_str().or(row["request_id"].as_str()).or(row["id"].as_str()).map(str::to_owned)
        };
        Ok(list.as_array().into_iter().flatten().filter_map(id).collect())
    }

    /// Proves the ledger from zero.
    ///
    /// # Errors
    /// When it finds a fault.
    pub async fn verify_ledger(&self) -> Result<()> {
        self.claviger(&["ledger", "verify"]).await.map(drop)
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When the server was gone already.
    pub async fn kill(&mut self) -> Result<()> {
        self.server.kill().await
    }

    /// Starts the server again on the same data and the same address.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        let (listen, private) = (self.address().to_owned(), self.private_url.trim_start_matches("http://").to_owned());
        self.server = serve_at(self.folder.path(), &self.plan, &listen, &private).await?;
        Ok(())
    }
}

/// Nano-units from a decimal text with at most nine fraction digits.
fn nano(value: &Value) -> Result<i64> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => bail!("{other} is not an amount"),
    };
    let (sign, digits) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let nano: i64 = format!("{whole}{fraction:0<9}").parse().with_context(|| format!("{text} is not an amount"))?;
    Ok(sign * nano)
}

fn secret_file(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    use std::io::Write as _;
    let path = folder.join(name);
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}

fn base_command(folder: &Path, plan: &Plan) -> Result<Command> {
    let mut command = Command::new(binary(&plan.binary)?);
    command.current_dir(folder).env("NO_COLOR", "1");
    if evidence::folder().is_some() {
        command.env("CLAVIGER_TELEMETRY_LEVEL", "trace");
    }
    if let Some(bug) = &plan.bug {
        command.env("CLAVIGER_BUG", bug);
    }
    if let Some(rate) = plan.clock_rate {
        command.env("CLAVIGER_CLOCK_RATE", rate.to_string());
    }
    if let Some(seconds) = plan.clock_ahead {
        command.env("CLAVIGER_CLOCK_AHEAD", seconds.to_string());
    }
    Ok(command)
}

async fn command_line(folder: &Path, plan: &Plan, arguments: &[&str]) -> Result<String> {
    let mut command = base_command(folder, plan)?;
    command.args(arguments).args(["--data", "data", "--config", "claviger.toml"]);
    let output = command.stdin(std::process::Stdio::null()).output().await?;
    evidence::note_text(&output.stdout);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "claviger {} ended with {}:\n{printed}\n{errors}",
        arguments.join(" "),
        output.status
    );
    Ok(printed)
}

async fn serve(folder: &Path, plan: &Plan) -> Result<(Program, String, String)> {
    let listen = format!("127.0.0.1:{}", ports::free()?);
    let private = format!("127.0.0.1:{}", ports::free()?);
    let server = serve_at(folder, plan, &listen, &private).await?;
    Ok((server, format!("http://{listen}"), format!("http://{private}")))
}

async fn serve_at(folder: &Path, plan: &Plan, listen: &str, private: &str) -> Result<Program> {
    let mut command = base_command(folder, plan)?;
    command.args([
        "serve",
        "--data",
        "data",
        "--config",
        "claviger.toml",
        "--listen",
        listen,
        "--private-listen",
        private,
    ]);
    let mut server = Program::start(command, &folder.join("server.log"))?;
    let probe = Client::new(&format!("http://{private}"));
    crate::eventually(30, "the server is ready", async || {
        server.ensure_running()?;
        let answer = probe.send("GET", "/readyz", &[], b"").await;
        Ok(answer.ok().filter(|answer| answer.status == 200))
    })
    .await?;
    Ok(server)
}

/// The run's Postgres, without a database name.
///
/// # Errors
/// When there is none.
pub fn postgres_url() -> Result<String> {
    let base = std::env::var_os("CLAVIGER_TEST_POSTGRES").context("no Postgres: `cargo xtask test` starts one")?;
    let server = base.into_string().map_err(|_| anyhow::anyhow!("CLAVIGER_TEST_POSTGRES is not UTF-8"))?;
    Ok(server.trim_end_matches('/').to_owned())
}

/// A new, empty database in the run's Postgres.
async fn new_database() -> Result<String> {
    let server = postgres_url()?;
    let name = format!("e2e_{}_{}", std::process::id(), ports::free()?);
    let mut psql = Command::new("psql");
    psql.args(["--quiet", "--no-psqlrc", "--dbname", &format!("{server}/postgres"), "--command"]);
    psql.arg(format!("CREATE DATABASE {name}"));
    let output = psql.output().await.context("psql did not start")?;
    ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
    Ok(format!("{server}/{name}"))
}
