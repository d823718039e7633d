//! Claviger as a target: a fresh directory, 1,000 keys, a priced model and a free one, both routed to the simulator.

use std::fs::{self, Permissions};
use std::net::SocketAddrV4;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::http::Client;

/// Money the organization is granted: more than any run can spend.
const CREDIT: &str = "1000000.00";

/// The models of the bench; the same names at the upstream and behind nginx.
pub(crate) const MODEL: &str = "bench";
pub(crate) const FREE_MODEL: &str = "bench-free";
/// The simulator's model with gaps between chunks. Its own name is kept for the upstream only.
pub(crate) const UPSTREAM_STREAM_MODEL: &str = "sim-stream";
pub(crate) const STREAM_MODEL: &str = "bench-stream";
/// Of the other loads, priced; the same names everywhere.
pub(crate) const VECTOR_MODEL: &str = "bench-vector";
pub(crate) const SOUND_MODEL: &str = "bench-sound";
pub(crate) const FREE_STREAM_MODEL: &str = "bench-free-stream";

/// Where a gateway listens, what it forwards to, and what it is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) listen: SocketAddrV4,
    pub(crate) private_listen: SocketAddrV4,
    pub(crate) upstream: SocketAddrV4,
    pub(crate) credential: &'a str,
    /// How many keys its organization may have, at least.
    pub(crate) keys: usize,
    /// A database of Postgres; `None` = SQLite in the directory.
    pub(crate) database: Option<&'a str>,
}

/// The release binary with its directory.
#[derive(Debug)]
pub(crate) struct Gateway {
    program: PathBuf,
    data: PathBuf,
    config: PathBuf,
    pub(crate) listen: SocketAddrV4,
    pub(crate) private_listen: SocketAddrV4,
    admin_key: String,
}

impl Gateway {
    /// Writes the configuration and sets the first organization up, before any server runs.
    pub(crate) fn prepare(program: &Path, dir: &Path, place: &Place<'_>) -> anyhow::Result<Self> {
        write_secret(&dir.join("password"), "bench-only-passphrase-1")?;
        let mut gateway = Self::configured(program, dir, place)?;
        let password = dir.join("password").to_string_lossy().into_owned();
        let words = ["--organization", "Bench", "--email", "bench@example.com", "--password-file", &password];
        let set_up = gateway.tool("setup", &[&words[..], &["--credit", CREDIT]].concat())?;
        let admin_key =
            set_up.pointer("/admin_key/value").and_then(Value::as_str).context("setup gave no admin key")?;
        gateway.admin_key = admin_key.to_owned();
        Ok(gateway)
    }

    /// One more node of this gateway's database, in a directory of its own.
    pub(crate) fn join(&self, dir: &Path, place: &Place<'_>) -> anyhow::Result<Self> {
        let mut node = Self::configured(&self.program, dir, place)?;
        fs::create_dir(&node.data)?;
        fs::set_permissions(&node.data, Permissions::from_mode(0o700))?;
        for file in ["pepper", "audit-key"] {
            fs::copy(self.data.join(file), node.data.join(file)).with_context(|| format!("copying {file}"))?;
        }
        node.admin_key.clone_from(&self.admin_key);
        Ok(node)
    }

    fn configured(program: &Path, dir: &Path, place: &Place<'_>) -> anyhow::Result<Self> {
        let (data, config) = (dir.join("data"), dir.join("claviger.toml"));
        write_secret(&dir.join("provider-key"), place.credential)?;
        fs::write(&config, config_text(dir, place))?;
        let Place { listen, private_listen, .. } = *place;
        let program = program.to_owned();
        Ok(Self { program, data, config, listen, private_listen, admin_key: String::new() })
    }

    /// The admin key that set-up made.
    pub(crate) fn admin_key(&self) -> &str {
        &self.admin_key
    }

    /// The arguments that start the server.
    pub(crate) fn serve_words(&self) -> Vec<String> {
        let words = ["serve", "--data", &self.data.to_string_lossy(), "--config", &self.config.to_string_lossy()];
        let mut words = words.map(str::to_owned).to_vec();
        words.extend(["--listen".to_owned(), self.listen.to_string()]);
        words
    }

    /// Creates `count` keys through the management API of the running server.
    pub(crate) fn create_keys(&self, count: usize) -> anyhow::Result<Vec<String>> {
        let mut client = Client::connect(self.listen)?;
        (0..count)
            .map(|number| {
                let body = json!({ "name": format!("bench {number}") });
                let key = client.json("POST", "/v1/organization/api_keys", &self.admin_key, &body)?;
                let value = key.pointer("/value").and_then(Value::as_str).context("a created key without its value")?;
                Ok(value.to_owned())
            })
            .collect()
    }

    /// Whether a management request answers: the first sign of life.
    pub(crate) fn is_up(&self) -> bool {
        Client::connect(self.listen)
            .and_then(|mut client| {
                client.json("GET", "/v1/organization/api_keys?limit=1", &self.admin_key, &Value::Null)
            })
            .is_ok()
    }

    /// `ledger verify` of the running server, as JSON.
    pub(crate) fn verify_ledger(&self) -> anyhow::Result<Value> {
        self.tool("ledger", &["verify"])
    }

    /// Runs a local command and reads the JSON it prints.
    fn tool(&self, verb: &str, words: &[&str]) -> anyhow::Result<Value> {
        let mut command = Command::new(&self.program);
        command.arg(verb).args(words).arg("--json").arg("--data").arg(&self.data).arg("--config").arg(&self.config);
        let output = command.output().with_context(|| format!("running {} {verb}", self.program.display()))?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "claviger {verb} ended with {}: {err}{out}", output.status);
        serde_json::from_str(&out).with_context(|| format!("claviger {verb} printed {out:?}"))
    }
}

fn write_secret(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text)?;
    Ok(fs::set_permissions(file, Permissions::from_mode(0o600))?)
}

fn config_text(dir: &Path, place: &Place<'_>) -> String {
    let Place { private_listen, upstream, keys, .. } = place;
    let storage = place.database.map(|url| format!("[storage]\ndatabase_url = \"{url}\"\n\n")).unwrap_or_default();
    let model = |id: &str, upstream_model: &str, rest: &str| {
        format!(
            "[[model]]\nid = \"{id}\"\ncontext = 32768\nmax_output = 16384\n{rest}\
             tiers = [[{{ provider = \"sim\", model = \"{upstream_model}\" }}]]\n\n"
        )
    };
    let price = |id: &str, meter: &str, sell: &str| {
        format!("[[price]]\nmodel = \"{id}\"\nmeter = \"{meter}\"\nsell = \"{sell}\"\n\n")
    };
    let mut text = format!(
        "[server]\nprivate_listen = \"{private_listen}\"\n\n{storage}[keys]\nmax_per_organization = {}\n\n\
         [telemetry]\nlevel = \"warn\"\naccess_log = false\n\n\
         [[provider]]\nname = \"sim\"\ndialect = \"openai\"\nbase_url = \"http://{upstream}/v1\"\nkey_file = \"{}\"\n\n",
        keys + 100,
        dir.join("provider-key").display(),
    );
    text += &model(MODEL, MODEL, "");
    text += &model(STREAM_MODEL, UPSTREAM_STREAM_MODEL, "");
    text += &model(VECTOR_MODEL, VECTOR_MODEL, "endpoints = [\"embeddings\"]\n");
    text += &model(SOUND_MODEL, SOUND_MODEL, "endpoints = [\"audio.transcriptions\"]\n");
    text += &price(VECTOR_MODEL, "input_token", "0.02");
    text += &price(SOUND_MODEL, "audio_second", "0.0001");
    text += &model(FREE_MODEL, MODEL, "free = true\n");
    text += &model(FREE_STREAM_MODEL, UPSTREAM_STREAM_MODEL, "free = true\n");
    for id in [MODEL, STREAM_MODEL] {
        text += &price(id, "input_token", "0.15");
        text += &price(id, "output_token", "0.60");
    }
    text
}
