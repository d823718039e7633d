//! Take keys over from another system by the SHA-256 of their texts, which stay with their owners (`keys.md` §4).
//!
//! Inference keys only; at most 1,000 rows, which are one transaction. A row that cannot be read is refused by itself, so
//! that one bad row of a thousand does not hold up the others.

use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::widened;
use crate::once::{Idempotency, Running, replayed};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use claviger_domain::address::Cidr;
use claviger_domain::error::Code;
use claviger_domain::id::{KeyId, SecretId};
use claviger_domain::key::{
    Class, Limits, ModelPattern, Name, NewKey, Policy, Recipe, Restrictions, SourceTag, StoredSecret,
};
use claviger_domain::limits;
use claviger_domain::revocation::Confirmation;
use claviger_domain::rights::{Rights, is_within};
use claviger_domain::time::Timestamp;
use claviger_storage::{ImportDone, ImportOutcome, ImportedKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A row as importers send it. Times are seconds since 1970.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// SHA-256 of the whole text, 64 hexadecimal digits.
    sha256: String,
    name: String,
    /// What lists show of it, such as `sk-…wxyz`.
    #[serde(default)]
    redacted_value: Option<String>,
    #[serde(default)]
    disabled: bool,
    #[serde(default)]
    expires_at: Option<i64>,
    #[serde(default)]
    source_tag: Option<String>,
    #[serde(default)]
    models: Option<Vec<String>>,
    #[serde(default)]
    ips: Option<Vec<String>>,
    #[serde(default)]
    rpm: Option<u32>,
    #[serde(default)]
    tpm: Option<u32>,
    #[serde(default)]
    concurrency: Option<u32>,
}

#[derive(Serialize)]
pub(crate) struct Report {
    object: &'static str,
    dry_run: bool,
    imported: u64,
    existing: u64,
    refused: u64,
    rows: Vec<RowReport>,
    confirmation: Option<Confirmation>,
}

#[derive(Serialize)]
struct RowReport {
    outcome: &'static str,
    id: Option<String>,
    reason: Option<String>,
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    idempotency: Idempotency,
    mut fields: Fields,
) -> Result<Response, Refusal> {
    query.finish()?;
    let once = idempotency.of(&call, &fields);
    call.actor.require_verified()?;
    let source = fields.required_text("source")?;
    let is_dry = fields.flag("dry_run")?;
    let rows = match fields.value("rows") {
        Some(Value::Array(rows)) if rows.len() <= limits::IMPORT_ROWS => rows,
        _ => return Err(Refusal::invalid("rows", format_args!("a list of at most {} objects", limits::IMPORT_ROWS))),
    };
    fields.finish(&[])?;
    if !SOURCES.contains(&source.as_str()) {
        return Err(Refusal::invalid("source", SOURCES.join(", ")));
    }
    let read: Vec<Result<ImportedKey, String>> =
        rows.into_iter().map(|row| read(&call, row).and_then(|key| check(&call, key))).collect();
    let _running = Running::begin(&call.control, once.as_ref())?;
    let store = call.control.store();
    let done = store.import_keys(call.actor.scope(), read, &source, is_dry, once, call.actor.attribution()).await;
    match done.map_err(Refusal::of_write)? {
        ImportDone::OtherBody => Err(Code::IdempotencyKeyReused.into()),
        ImportDone::Before(outcomes) => Ok(replayed(Json(Report::of(&outcomes, is_dry, None)))),
        ImportDone::Now(outcomes, epoch) => {
            let confirmation = if is_dry { None } else { Some(widened(&call, epoch).await) };
            Ok(Json(Report::of(&outcomes, is_dry, confirmation)).into_response())
        }
    }
}

impl Report {
    fn of(outcomes: &[ImportOutcome], dry_run: bool, confirmation: Option<Confirmation>) -> Self {
        let rows: Vec<RowReport> = outcomes.iter().map(reported).collect();
        let count = |word: &str| rows.iter().filter(|row| row.outcome == word).count();
        let count = |word: &str| u64::try_from(count(word)).unwrap_or(u64::MAX);
        let (imported, existing, refused) = (count("imported"), count("existing"), count("refused"));
        Self { object: "api_key.import", dry_run, imported, existing, refused, rows, confirmation }
    }
}

/// The systems that keys come from, as audit records name them.
const SOURCES: &[&str] = &["litellm", "unkey", "openrouter", "new-api", "one-api", "csv"];

fn reported(outcome: &ImportOutcome) -> RowReport {
    let refused = |reason: String| RowReport { outcome: "refused", id: None, reason: Some(reason) };
    match outcome {
        ImportOutcome::Imported(id) => RowReport { outcome: "imported", id: Some(id.to_string()), reason: None },
        ImportOutcome::Existing(id) => RowReport { outcome: "existing", id: Some(id.to_string()), reason: None },
        ImportOutcome::LimitReached { limit } => refused(format!("the organization has {limit} of {limit} keys")),
        ImportOutcome::UnknownEnvironment => refused("the organization has no such environment".to_owned()),
        ImportOutcome::Foreign => refused("this key is not importable".to_owned()),
        ImportOutcome::Refused(why) => refused(why.clone()),
    }
}

/// Nobody takes over a key that may more than they do, or one without the label that the organization asks for.
fn check(call: &Call<Member>, imported: ImportedKey) -> Result<ImportedKey, String> {
    if call.actor.organization().policy.require_source_tag && imported.key.source_tag.is_none() {
        return Err("source_tag: this organization asks for one".to_owned());
    }
    let environment = call.actor.organization().default_environment;
    let key = imported.key.made(call.actor.scope().0, environment, call.now.wall, "");
    match is_within(&Rights::of_key(&key), call.actor.rights()) {
        Ok(()) => Ok(imported),
        Err(exceeds) => Err(format!("{}: the key would be allowed more than you are", exceeds.what)),
    }
}

fn read(call: &Call<Member>, row: Value) -> Result<ImportedKey, String> {
    let row: Row = serde_json::from_value(row).map_err(|error| format!("the row does not read: {error}"))?;
    let inner = super::create::inner(&row.sha256).map_err(|_| "sha256: expected 64 hexadecimal digits")?;
    let name = Name::parse(&row.name).map_err(|_| "name: 1 to 100 characters, none of them control characters")?;
    let tag = row.source_tag.as_deref().map(SourceTag::parse).transpose();
    let source_tag = tag.map_err(|_| "source_tag: 1 to 64 characters")?;
    let restrictions = Restrictions {
        models: list::<ModelPattern>("models", 100, row.models.as_deref())?,
        ips: list::<Cidr>("ips", 50, row.ips.as_deref())?,
        limits: Limits {
            rpm: rate("rpm", row.rpm)?,
            tpm: rate("tpm", row.tpm)?,
            concurrency: rate("concurrency", row.concurrency)?,
            burst: None,
        },
        ..Restrictions::default()
    };
    let pepper = call.control.pepper().map_err(|_| "this server has no pepper")?;
    let now = call.now.wall;
    let (id, secret) = call.control.draw(|random| (KeyId::generate(random), SecretId::generate(now, random)));
    let digest = pepper.digest_of_inner(&inner);
    let shown = row.redacted_value.as_deref().map(shown).unwrap_or_default();
    let secret =
        StoredSecret { recipe: Recipe::Sha256, ..StoredSecret::new(secret, digest, pepper.version, shown, now) };
    let key = NewKey {
        id,
        environment: None,
        class: Class::Inference,
        is_test: false,
        is_canary: false,
        name,
        source_tag,
        owner: None,
        role: None,
        expires_at: row.expires_at.map(Timestamp::from_seconds),
        policy: Policy { enforced: restrictions, ..Policy::default() },
        stored_in: None,
        secret,
    };
    Ok(ImportedKey { key, is_disabled: row.disabled })
}

/// At most a prefix and four characters: what a source shows must not be the key itself.
fn shown(text: &str) -> String {
    let (before, last) = text.split_once('…').unwrap_or(("", text));
    let last: Vec<char> = last.chars().filter(char::is_ascii_alphanumeric).collect();
    let last: String = last.iter().skip(last.len().saturating_sub(4)).collect();
    let before: String =
        before.chars().filter(|one| one.is_ascii_alphanumeric() || "_-".contains(*one)).take(8).collect();
    format!("{before}…{last}")
}

/// A limit as every key may have it; 0 would be a key that can do nothing.
fn rate(field: &str, limit: Option<u32>) -> Result<Option<u32>, String> {
    match limit {
        Some(limit) if !(1..=i32::MAX.unsigned_abs()).contains(&limit) => {
            Err(format!("{field}: a whole number from 1 to {}, or none", i32::MAX))
        }
        limit => Ok(limit),
    }
}

fn list<T: std::str::FromStr>(field: &str, most: usize, entries: Option<&[String]>) -> Result<Option<Vec<T>>, String> {
    match entries {
        None | Some([]) => Ok(None),
        Some(entries) if entries.len() > most => Err(format!("{field}: at most {most} entries")),
        Some(entries) => {
            let parsed =
                entries.iter().map(|entry| entry.parse().map_err(|_| format!("{field}: '{entry}' is no entry")));
            parsed.collect::<Result<Vec<T>, String>>().map(Some)
        }
    }
}
