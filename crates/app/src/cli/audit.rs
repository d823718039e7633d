//! `claviger audit …`: the log, its export, its proof; of an export without any server.

use super::output::{Output, figures, note, say, text, thousands, time, words};
use super::transport::{Transport, target};
use super::{Failure, Kind};
use clap::{Args, Subcommand};
use claviger_domain::audit::{ExportCheck, PublicKey};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How often `tail` looks.
const TAIL: Duration = Duration::from_secs(1);

/// The longest line of an export that is read.
const LINE_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List audit records, newest first
    List(ListOptions),
    /// Print new records as they come
    Tail(ListOptions),
    /// Prove that nothing was changed, removed, inserted or reordered
    Verify(VerifyOptions),
    /// Write the whole chain with its signed checkpoint, as JSON lines
    Export(ExportOptions),
    /// List signed checkpoints, and the public key
    Checkpoints,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ListOptions {
    /// The instance's own chain instead of the organization's
    #[arg(long)]
    pub(super) instance: bool,
    /// Only this kind, such as api_key.created
    #[arg(long, value_name = "TYPE")]
    pub(super) event: Option<String>,
    /// Only acts of this user or key
    #[arg(long, value_name = "ID")]
    pub(super) actor: Option<String>,
    /// Only acts on this object
    #[arg(long, value_name = "ID")]
    pub(super) resource: Option<String>,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) limit: u32,
}

#[derive(Clone, Debug, Args)]
pub(super) struct VerifyOptions {
    /// Verify this export, offline, instead of the database
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub(super) export: Option<PathBuf>,
    /// The instance's public key: 64 hexadecimal digits, or a file with them
    #[arg(long, value_name = "KEY", requires = "export")]
    pub(super) public_key: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ExportOptions {
    /// The instance's own chain instead of the organization's
    #[arg(long)]
    pub(super) instance: bool,
    /// Write to this new file, mode 0600, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub(super) to: Option<PathBuf>,
}

/// Everything that asks a server or the store.
pub(super) async fn run(transport: &Transport, output: &Output, command: &AuditCommand) -> Result<ExitCode, Failure> {
    match command {
        AuditCommand::List(options) => list(transport, output, options).await,
        AuditCommand::Tail(options) => tail(transport, output, options).await,
        AuditCommand::Verify(_) => verify(transport, output).await,
        AuditCommand::Export(options) => export(transport, options).await,
        AuditCommand::Checkpoints => checkpoints(transport, output).await,
    }
}

fn path(is_instance: bool) -> &'static str {
    if is_instance { "/api/operator/audit_logs" } else { "/v1/organization/audit_logs" }
}

async fn list(transport: &Transport, output: &Output, options: &ListOptions) -> Result<ExitCode, Failure> {
    let limit = options.limit.to_string();
    let page = target(path(options.instance), &[("limit", Some(&limit))]) + &filters(options);
    let rows = transport.get(&page).await?.body["data"].as_array().cloned().unwrap_or_default();
    let columns =
        [figures("SEQ"), words("AT"), words("TYPE"), words("ACTOR"), words("OBJECT"), words("FROM"), words("OUTCOME")];
    output.rows(&rows, &columns, cells);
    Ok(ExitCode::SUCCESS)
}

/// Polls for ever: the order is that of the chain, so nothing is missed between two looks.
async fn tail(transport: &Transport, output: &Output, options: &ListOptions) -> Result<ExitCode, Failure> {
    let limit = options.limit.to_string();
    let newest = target(path(options.instance), &[("limit", Some(&limit))]) + &filters(options);
    let mut rows = transport.get(&newest).await?.body["data"].as_array().cloned().unwrap_or_default();
    rows.reverse();
    let mut last: Option<String> = None;
    loop {
        for row in &rows {
            if output.is_json() { say(row) } else { say(cells(row).join("  ")) }
        }
        last = rows.last().map(|row| text(row, "id").to_owned()).or(last);
        tokio::time::sleep(TAIL).await;
        let parameters = [("limit", Some("100")), ("order", Some("asc")), ("after", last.as_deref())];
        let next = target(path(options.instance), &parameters) + &filters(options);
        rows = transport.get(&next).await?.body["data"].as_array().cloned().unwrap_or_default();
    }
}

fn filters(options: &ListOptions) -> String {
    let lists =
        [("event_types[]", &options.event), ("actor_ids[]", &options.actor), ("resource_ids[]", &options.resource)];
    let given = lists.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    given.map(|(name, value)| format!("&{name}={}", crate::percent::encoded(value))).collect()
}

fn cells(row: &Value) -> Vec<String> {
    let actor = &row["actor"];
    let kind = text(actor, "type");
    let id = match kind {
        "session" => text(&actor["session"]["user"], "id"),
        other => text(&actor[other], "id"),
    };
    let address = [&actor["ip_address"], &actor["session"]["ip_address"]].into_iter().find_map(Value::as_str);
    vec![
        row["seq"].to_string(),
        time(&row["effective_at"]),
        text(row, "type").to_owned(),
        format!("{kind}:{id}"),
        text(&row[text(row, "type")], "id").to_owned(),
        address.unwrap_or_default().to_owned(),
        text(row, "outcome").to_owned(),
    ]
}

async fn verify(transport: &Transport, output: &Output) -> Result<ExitCode, Failure> {
    let report = transport.post("/api/operator/audit/verify", &json!({})).await?.body;
    let is_sound = report["ok"] == json!(true);
    if !output.json(&report) {
        let count = |name: &str| thousands(report[name].as_u64().unwrap_or_default());
        if is_sound {
            let (records, chains, checkpoints) = (count("records"), count("chains"), count("checkpoints"));
            say(format_args!("audit verify ok ({records} records, {chains} chains, {checkpoints} checkpoints)"));
        }
        for fault in report["faults"].as_array().into_iter().flatten() {
            say(format_args!("fault  {}  record {}  {}", text(fault, "chain"), fault["seq"], text(fault, "what")));
        }
    }
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Verifies an export with nothing but the public key.
pub(super) fn verify_export(file: &Path, key: &str, output: &Output) -> Result<ExitCode, Failure> {
    let key = public_key(key)?;
    let opened = std::fs::File::open(file);
    let opened = opened.map_err(|error| Failure::new(Kind::NotFound, format!("{}: {error}", file.display())))?;
    let mut reader = BufReader::new(opened);
    let mut check = ExportCheck::new(key);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = std::io::Read::take(&mut reader, LINE_BYTES as u64).read_until(b'\n', &mut line);
        let read = read.map_err(|error| Failure::new(Kind::Failed, format!("{}: {error}", file.display())))?;
        if read == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line);
        check.line(text.trim_end_matches('\n'));
    }
    let verdict = check.finish();
    let shown = match &verdict {
        Ok((chain, records)) => json!({
            "object": "audit.report", "ok": true, "chain": chain.to_string(), "records": records, "faults": [],
        }),
        Err(fault) => json!({
            "object": "audit.report", "ok": false, "faults": [{ "seq": fault.sequence, "what": fault.what }],
        }),
    };
    if !output.json(&shown) {
        match &verdict {
            Ok((chain, records)) => say(format_args!("audit verify ok ({} records of {chain})", thousands(*records))),
            Err(fault) => say(format_args!("fault  record {}  {}", fault.sequence, fault.what)),
        }
    }
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn public_key(text: &str) -> Result<PublicKey, Failure> {
    if let Some(key) = PublicKey::parse(text) {
        return Ok(key);
    }
    let read = std::fs::read_to_string(text);
    let read = read.map_err(|error| {
        Failure::new(Kind::Usage, format!("--public-key {text}: neither 64 hexadecimal digits nor a file: {error}"))
    })?;
    PublicKey::parse(&read)
        .ok_or_else(|| Failure::new(Kind::Usage, format!("{text}: expected 64 lower-case hexadecimal digits")))
}

async fn export(transport: &Transport, options: &ExportOptions) -> Result<ExitCode, Failure> {
    let path = format!("{}/export", path(options.instance));
    let mut file = match &options.to {
        None => None,
        Some(path) => {
            let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Some(made.map_err(|error| Failure::new(Kind::Usage, format!("{}: {error}", path.display())))?)
        }
    };
    let (mut after, mut records) = (0_i64, 0_u64);
    loop {
        let page = transport.get_text(&target(&path, &[("after_seq", Some(&after.to_string()))])).await?;
        let mut next = None;
        for line in page.lines() {
            let further = line.starts_with("{\"next_after_seq\":");
            if further {
                let value: Value = serde_json::from_str(line).unwrap_or_default();
                next = value["next_after_seq"].as_i64();
                continue;
            }
            records += u64::from(line.starts_with("{\"record\":"));
            match &mut file {
                None => say(line),
                Some(file) => writeln!(file, "{line}")
                    .map_err(|error| Failure::new(Kind::Failed, format!("the export could not be written: {error}")))?,
            }
        }
        match next {
            Some(further) if further > after => after = further,
            _ => break,
        }
    }
    if let (Some(file), Some(path)) = (file, &options.to) {
        let synced = file.sync_all();
        synced.map_err(|error| Failure::new(Kind::Failed, format!("{}: {error}", path.display())))?;
        note(format_args!("{} records written to {}", thousands(records), path.display()));
    }
    Ok(ExitCode::SUCCESS)
}

async fn checkpoints(transport: &Transport, output: &Output) -> Result<ExitCode, Failure> {
    let mut rows: Vec<Value> = Vec::new();
    let mut key = String::new();
    loop {
        let after = rows.last().map_or(0, |row| row["number"].as_i64().unwrap_or_default()).to_string();
        let page = target("/api/operator/audit/checkpoints", &[("after_number", Some(&after))]);
        let page = transport.get(&page).await?.body;
        text(&page, "public_key").clone_into(&mut key);
        rows.extend(page["data"].as_array().cloned().unwrap_or_default());
        if page["has_more"] != json!(true) {
            break;
        }
    }
    if output.json(&json!({ "object": "list", "public_key": key, "data": rows })) {
        return Ok(ExitCode::SUCCESS);
    }
    let columns = [figures("NUMBER"), words("AT"), figures("CHAINS"), words("ROOT")];
    output.rows(&rows, &columns, |row| {
        vec![
            row["number"].to_string(),
            time(&row["created_at"]),
            row["heads"].to_string(),
            text(row, "root").to_owned(),
        ]
    });
    note(format_args!("public key {key}"));
    Ok(ExitCode::SUCCESS)
}
