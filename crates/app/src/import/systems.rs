//! What the columns of each system mean here (the table "Import" of `keys.md` §4).
//!
//! A row becomes a [`Found`], or the reason why it is not importable. What a source says that has no place here is noted,
//! never dropped in silence.

use super::{Found, System};
use base64::Engine as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Characters of a name.
const NAME: usize = 100;

/// Reads one row of a system.
///
/// # Errors
/// Why it is not importable.
pub(crate) fn read(system: System, row: &Value) -> Result<Found, String> {
    let row = Row(row.as_object().ok_or("it is no object")?);
    match system {
        System::Litellm => litellm(&row),
        System::Unkey => unkey(&row),
        System::Openrouter => openrouter(&row),
        System::NewApi | System::OneApi => one_api(&row),
        System::Csv => csv(&row),
    }
}

struct Row<'a>(&'a Map<String, Value>);

impl Row<'_> {
    /// A value that says something: not absent, `null`, or an empty text.
    fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""))
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    fn whole(&self, name: &str) -> Option<i64> {
        let text = self.text(name)?;
        text.parse().ok().or_else(|| text.split_once('.').and_then(|(whole, _)| whole.parse().ok()))
    }

    fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| matches!(text.as_str(), "true" | "1" | "t"))
    }

    /// A list, however the source writes one: JSON, JSON in a text, or a text with commas or lines.
    fn list(&self, name: &str) -> Vec<String> {
        let texts = |list: &[Value]| list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
        match self.value(name) {
            Some(Value::Array(list)) => texts(list),
            Some(Value::String(text)) => match serde_json::from_str::<Value>(text) {
                Ok(Value::Array(list)) => texts(&list),
                _ => {
                    let parts =
                        text.trim_matches(['{', '}']).split([',', '\n']).map(|part| part.trim().trim_matches('"'));
                    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
                }
            },
            _ => Vec::new(),
        }
    }

    /// A time, as seconds since 1970: a number of seconds or milliseconds, or RFC 3339 with or without a zone.
    fn time(&self, name: &str) -> Result<Option<i64>, String> {
        let Some(text) = self.text(name) else { return Ok(None) };
        if let Ok(number) = text.parse::<i64>() {
            return Ok(Some(if number > 100_000_000_000 { number / 1000 } else { number }));
        }
        let text = text.replacen(' ', "T", 1);
        let zoned = text.parse::<jiff::Timestamp>();
        let time = zoned.or_else(|_| format!("{text}Z").parse());
        time.map(|time| Some(time.as_second())).map_err(|_| format!("{name}: '{text}' is no time"))
    }
}

/// Collects the row to send.
#[derive(Default)]
struct Made {
    row: Map<String, Value>,
    notes: Vec<String>,
}

impl Made {
    fn new(sha256: String, name: Option<String>, fallback: &str) -> Self {
        let mut made = Self::default();
        let name = name.unwrap_or_else(|| fallback.to_owned());
        let clean: String = name.chars().filter(|one| !one.is_control()).take(NAME).collect();
        if clean != name {
            made.notes.push("name shortened".to_owned());
        }
        made.row.insert("sha256".to_owned(), json!(sha256));
        made.row.insert("name".to_owned(), json!(if clean.trim().is_empty() { fallback } else { &clean }));
        made
    }

    fn set(&mut self, name: &str, value: Option<impl serde::Serialize>) {
        if let Some(value) = value {
            self.row.insert(name.to_owned(), json!(value));
        }
    }

    fn list(&mut self, name: &str, values: Vec<String>) {
        self.set(name, (!values.is_empty()).then_some(values));
    }

    fn limit(&mut self, name: &str, value: Option<i64>) {
        match value.map(u32::try_from) {
            None => {}
            Some(Ok(value)) if value > 0 => self.set(name, Some(value)),
            Some(_) => self.notes.push(format!("{name} has no number that can be kept")),
        }
    }

    fn lost(&mut self, row: &Row<'_>, names: &[&str]) {
        for name in names {
            if let Some(text) = row.text(name).filter(|text| text != "0" && text != "false" && text != "0.0") {
                self.notes.push(format!("{name} ({text}) is not taken over"));
            }
        }
    }

    /// Nothing would let it through there any more, and nothing of that comes along: so it does not work here either until
    /// somebody says so.
    fn used_up(&mut self) {
        self.set("disabled", Some(true));
        self.notes.push("its quota was used up there: it comes disabled".to_owned());
    }

    fn done(self) -> Found {
        Found { row: Value::Object(self.row), notes: self.notes }
    }
}

/// What becomes of quotas that are not used up.
const NO_BUDGETS: &str = "keys have no budgets yet";

/// `token` is the hexadecimal SHA-256 of the whole text; a row of somebody who turned hashing off holds the text itself.
fn litellm(row: &Row<'_>) -> Result<Found, String> {
    let token = row.text("token").ok_or("it has no token")?;
    let sha256 = hex_digest(&token).ok_or("token is no SHA-256: this proxy kept keys in the clear")?;
    let shown = row.text("key_name");
    let mut made = Made::new(sha256, row.text("key_alias"), shown.as_deref().unwrap_or("LiteLLM key"));
    made.set("redacted_value", shown.as_deref().map(|shown| format!("sk-…{}", last_four(shown))));
    made.set("expires_at", row.time("expires")?);
    let (models, unkept): (Vec<String>, Vec<String>) = row
        .list("models")
        .into_iter()
        .partition(|model| !model.starts_with("all-") && !model.contains('*') || model.ends_with("/*"));
    if !unkept.is_empty() {
        made.notes.push(format!("models ({}) is not taken over", unkept.join(", ")));
    }
    made.list("models", models);
    made.limit("rpm", row.whole("rpm_limit"));
    made.limit("tpm", row.whole("tpm_limit"));
    made.limit("concurrency", row.whole("max_parallel_requests"));
    made.set("disabled", row.flag("blocked").then_some(true));
    let metadata = match row.value("metadata") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or(Value::Null),
        Some(other) => other.clone(),
        None => Value::Null,
    };
    made.set("source_tag", metadata["tags"][0].as_str().map(str::to_owned));
    if let Some(budget) = row.text("max_budget") {
        let window = match row.text("budget_duration").as_deref() {
            Some("1d" | "24h") => "day",
            Some("7d") => "week",
            Some("30d" | "1mo") => "month",
            None => "total",
            Some(_) => "another time",
        };
        // What comes back with the next window is none of the key's life.
        let spent = row.text("spend").and_then(|spent| spent.parse::<f64>().ok());
        match budget.parse::<f64>().ok().zip(spent) {
            Some((budget, spent)) if window == "total" && spent >= budget => made.used_up(),
            _ => made.notes.push(format!("max_budget ({budget} per {window}) is not taken over: {NO_BUDGETS}")),
        }
    }
    made.lost(row, &["spend", "team_id", "user_id", "soft_budget_cooldown"]);
    Ok(made.done())
}

/// `hash` is the base64 SHA-256.
fn unkey(row: &Row<'_>) -> Result<Found, String> {
    let hash = row
        .text("hash")
        .or_else(|| row.text("keyHash"))
        .ok_or("it has no hash: export with hashes, or name the database")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(hash.trim());
    let bytes = bytes.ok().filter(|bytes| bytes.len() == 32);
    let sha256 = match bytes {
        Some(bytes) => hex(&bytes),
        None => hex_digest(&hash).ok_or("hash is no SHA-256")?,
    };
    if row.value("deleted_at_m").or_else(|| row.value("deletedAt")).is_some() {
        return Err("it was deleted there".to_owned());
    }
    let start = row.text("start");
    let mut made = Made::new(sha256, row.text("name"), start.as_deref().unwrap_or("Unkey key"));
    made.set("redacted_value", start.map(|start| format!("{start}…")));
    made.set("expires_at", row.time("expires")?);
    let is_off = row.value("enabled").is_some() && !row.flag("enabled");
    made.set("disabled", is_off.then_some(true));
    let remaining = row.whole("remaining_requests").or_else(|| row.whole("remaining"));
    if remaining.is_some_and(|remaining| remaining <= 0) && row.value("refill_amount").is_none() {
        made.used_up();
    }
    made.lost(row, &["remaining_requests", "remaining", "refill_amount", "owner_id", "ratelimit_limit"]);
    if row.value("credits").is_some() {
        made.notes.push("credits are not taken over".to_owned());
    }
    Ok(made.done())
}

/// The keys API: `hash` is the hexadecimal SHA-256.
fn openrouter(row: &Row<'_>) -> Result<Found, String> {
    let sha256 = row.text("hash").as_deref().and_then(hex_digest).ok_or("it has no hash")?;
    let label = row.text("label");
    let mut made = Made::new(sha256, row.text("name"), label.as_deref().unwrap_or("OpenRouter key"));
    made.set("redacted_value", label.as_deref().map(|label| format!("sk-or-…{}", last_four(label))));
    made.set("disabled", row.flag("disabled").then_some(true));
    made.set("expires_at", row.time("expires_at")?);
    if let Some(limit) = row.text("limit") {
        let window = row.text("limit_reset").unwrap_or_else(|| "total".to_owned());
        let left = row.text("limit_remaining").and_then(|left| left.parse::<f64>().ok());
        match left {
            Some(left) if window == "total" && left <= 0.0 => made.used_up(),
            _ => made.notes.push(format!("limit ({limit} per {window}) is not taken over: {NO_BUDGETS}")),
        }
    }
    Ok(made.done())
}

/// The column holds the text without `sk-`, in the clear: it is hashed here, and goes no further.
fn one_api(row: &Row<'_>) -> Result<Found, String> {
    let key = row.text("key").ok_or("it has no key")?;
    let key = key.trim();
    if key.contains('*') || key.len() < 16 {
        return Err("its key is masked: name the database, not the list of the console".to_owned());
    }
    let text = if key.starts_with("sk-") { key.to_owned() } else { format!("sk-{key}") };
    let mut made = Made::new(hex(&Sha256::digest(text.as_bytes())), row.text("name"), "one-api token");
    made.set("redacted_value", Some(format!("sk-…{}", last_four(&text))));
    if row.value("deleted_at").or_else(|| row.value("DeletedAt")).is_some() {
        return Err("it was deleted there".to_owned());
    }
    // 1 enabled, 2 disabled, 3 expired, 4 exhausted.
    match row.whole("status") {
        Some(2) => made.set("disabled", Some(true)),
        Some(4) => made.used_up(),
        _ => {}
    }
    made.set("expires_at", row.whole("expired_time").filter(|seconds| *seconds >= 0));
    // one-api calls the list `models`; new-api `model_limits`, which counts only if it is switched on.
    let has_limits = row.value("model_limits_enabled").is_none() || row.flag("model_limits_enabled");
    let models = if has_limits { row.list("model_limits") } else { Vec::new() };
    made.list("models", if models.is_empty() { row.list("models") } else { models });
    made.list("ips", [row.list("allow_ips"), row.list("subnet")].concat());
    match row.whole("remain_quota").filter(|_| !row.flag("unlimited_quota")) {
        // The state follows only when somebody calls.
        Some(quota) if quota <= 0 && row.whole("status") != Some(4) => made.used_up(),
        // 500,000 units are one dollar, as both systems come.
        Some(quota) if quota > 0 => {
            made.notes.push(format!("remain_quota ({quota} of 500,000 a dollar) is not taken over: {NO_BUDGETS}"));
        }
        _ => {}
    }
    made.lost(row, &["group", "used_quota"]);
    Ok(made.done())
}

/// Our own names: sha256, name and the rest of the API's row.
fn csv(row: &Row<'_>) -> Result<Found, String> {
    let sha256 = row.text("sha256").as_deref().and_then(hex_digest).ok_or("sha256: expected 64 hexadecimal digits")?;
    let mut made = Made::new(sha256, row.text("name"), "imported key");
    for name in ["redacted_value", "source_tag"] {
        made.set(name, row.text(name));
    }
    made.set("disabled", row.flag("disabled").then_some(true));
    made.set("expires_at", row.time("expires_at")?);
    made.list("models", row.list("models"));
    made.list("ips", row.list("ips"));
    for name in ["rpm", "tpm", "concurrency"] {
        made.limit(name, row.whole(name));
    }
    Ok(made.done())
}

fn last_four(text: &str) -> String {
    let last: Vec<char> = text.chars().filter(char::is_ascii_alphanumeric).collect();
    last.iter().skip(last.len().saturating_sub(4)).collect()
}

fn hex_digest(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V8: &str = "dd6a2b38e688c264bac530c1468cc55b2175f0288e10e541a103f30666e5b460";

    fn row(system: System, value: Value) -> Value {
        read(system, &value).expect("importable").row
    }

    /// V8 and V9: the same key by every way, and a plain column that is hashed here.
    #[test]
    fn every_system_gives_the_sha256_of_the_whole_text() {
        let base64 = "3WorOOaIwmS6xTDBRozFWyF18CiOEOVBoQPzBmbltGA=";
        assert_eq!(row(System::Litellm, json!({ "token": V8, "key_name": "sk-...i7ucU" }))["sha256"], json!(V8));
        assert_eq!(row(System::Unkey, json!({ "hash": base64, "start": "sk_x1" }))["sha256"], json!(V8));
        assert_eq!(row(System::Openrouter, json!({ "hash": V8, "label": "sk-or-v1-abc...123" }))["sha256"], json!(V8));
        let column = "A1b2C3d4".repeat(6);
        let expected = hex(&Sha256::digest(format!("sk-{column}").as_bytes()));
        let found = row(System::NewApi, json!({ "key": column, "name": "prod", "status": 1, "expired_time": -1 }));
        assert_eq!(found, json!({ "sha256": expected, "name": "prod", "redacted_value": "sk-…C3d4" }));
        assert!(!found.to_string().contains("A1b2C3d4A1b2"), "the text itself goes nowhere");
    }

    #[test]
    fn what_has_no_place_here_is_said() {
        let found = read(
            System::Litellm,
            &json!({
                "token": V8, "key_alias": "ci", "expires": "2027-01-02T03:04:05.678", "models": ["acme/chat", "all-team-models"],
                "rpm_limit": 60, "tpm_limit": "1000.0", "blocked": true, "max_budget": 5.5, "budget_duration": "30d",
                "metadata": "{\"tags\":[\"checkout\",\"b\"]}",
            }),
        )
        .expect("importable");
        assert_eq!(
            found.row,
            json!({
                "sha256": V8, "name": "ci", "expires_at": 1798859045, "models": ["acme/chat"], "rpm": 60, "tpm": 1000,
                "disabled": true, "source_tag": "checkout",
            })
        );
        assert_eq!(
            found.notes,
            [
                "models (all-team-models) is not taken over",
                "max_budget (5.5 per month) is not taken over: keys have no budgets yet"
            ]
        );
        assert!(read(System::Litellm, &json!({ "token": "sk-plain" })).is_err());
        assert!(read(System::NewApi, &json!({ "key": "A1b2****C3d4C3d4" })).is_err());
        assert!(read(System::Unkey, &json!({ "hash": V8, "deleted_at_m": 5 })).is_err());
    }

    #[test]
    fn what_was_used_up_there_does_not_work_here() {
        let column = "A1b2C3d4".repeat(6);
        for (system, source, is_off) in [
            (System::NewApi, json!({ "key": column, "status": 1, "remain_quota": 0 }), true),
            (System::NewApi, json!({ "key": column, "status": 4, "remain_quota": -5 }), true),
            (System::NewApi, json!({ "key": column, "status": 1, "remain_quota": 0, "unlimited_quota": true }), false),
            (System::NewApi, json!({ "key": column, "status": 1, "remain_quota": 500 }), false),
            (System::Litellm, json!({ "token": V8, "max_budget": 5.5, "spend": 5.5 }), true),
            (System::Litellm, json!({ "token": V8, "max_budget": 5.5, "spend": 5.4 }), false),
            (System::Litellm, json!({ "token": V8, "max_budget": 5, "spend": 9, "budget_duration": "30d" }), false),
            (System::Openrouter, json!({ "hash": V8, "limit": 5, "limit_remaining": 0 }), true),
            (
                System::Openrouter,
                json!({ "hash": V8, "limit": 5, "limit_remaining": 0, "limit_reset": "daily" }),
                false,
            ),
            (System::Unkey, json!({ "hash": V8, "remaining_requests": 0 }), true),
            (System::Unkey, json!({ "hash": V8, "remaining_requests": 0, "refill_amount": 10 }), false),
        ] {
            let found = read(system, &source).expect("importable");
            assert_eq!(found.row["disabled"] == true, is_off, "{source}");
            let notes = found.notes.iter().filter(|note| note.contains("used up")).count();
            assert_eq!(notes, usize::from(is_off), "{source}: {:?}", found.notes);
        }
    }
}
