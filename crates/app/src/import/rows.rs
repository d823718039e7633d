//! Where rows come from: a JSON or CSV file, a SQLite file, a Postgres URL; each row one JSON object.

use super::System;
use crate::cli::{Failure, Kind};
use claviger_storage::{ForeignSource, ForeignTable, read_foreign};
use serde_json::{Map, Value};
use std::path::Path;

/// What every SQLite file begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// The largest export that is read whole.
const EXPORT_BYTES: u64 = 1024 * 1024 * 1024;

/// Reads every row of a source.
pub(crate) async fn read(system: System, source: &str) -> Result<Vec<Value>, Failure> {
    if source.starts_with("postgres://") || source.starts_with("postgresql://") {
        return database(system, &ForeignSource::Postgres(source)).await;
    }
    if source.starts_with("mysql://") {
        let what = "MySQL is not read directly";
        let table = if system == System::Unkey { "keys" } else { "tokens" };
        let next = format!("export its table `{table}` as JSON or CSV, with a header line, and import that file");
        return Err(Failure::new(Kind::Usage, what).next(next));
    }
    let path = Path::new(source);
    let unreadable = |error: &dyn std::fmt::Display| Failure::new(Kind::NotFound, format!("{source}: {error}"));
    let size = std::fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if begins_as_sqlite(path).map_err(|error| unreadable(&error))? {
        return database(system, &ForeignSource::Sqlite(path)).await;
    }
    if size > EXPORT_BYTES {
        return Err(unreadable(&"an export of more than a gigabyte is not read: name the database itself"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    let first = text.trim_start().chars().next();
    if matches!(first, Some('[' | '{')) {
        json(&text).map_err(|what| unreadable(&what))
    } else {
        csv(&text).map_err(|what| unreadable(&what))
    }
}

fn begins_as_sqlite(path: &Path) -> std::io::Result<bool> {
    use std::io::Read as _;
    let mut first = Vec::new();
    std::fs::File::open(path)?.take(16).read_to_end(&mut first)?;
    Ok(first == SQLITE)
}

async fn database(system: System, source: &ForeignSource<'_>) -> Result<Vec<Value>, Failure> {
    let table = match system {
        System::Litellm => ForeignTable::LiteLlmKeys,
        System::Unkey => ForeignTable::UnkeyKeys,
        System::NewApi | System::OneApi => ForeignTable::OneApiTokens,
        System::Openrouter | System::Csv => {
            let what = format!("{} has no database to read: name its export", system.name());
            return Err(Failure::new(Kind::Usage, what));
        }
    };
    let mut rows = Vec::new();
    let mut each = |text: String| {
        rows.push(serde_json::from_str(&text).unwrap_or(Value::Null));
        true
    };
    let read = read_foreign(source, table, &mut each).await;
    // The error may hold the URL, and the URL a password: only its kind is told.
    read.map_err(|error| {
        Failure::new(Kind::Failed, format!("the source could not be read: {}", without_url(&error.to_string())))
    })?;
    Ok(rows)
}

fn without_url(text: &str) -> String {
    text.split_whitespace().filter(|word| !word.contains("://")).collect::<Vec<_>>().join(" ")
}

/// A list, one object a line, or an object whose `data`, `keys`, `result` or `items` is the list.
fn json(text: &str) -> Result<Vec<Value>, String> {
    let whole: Value = match serde_json::from_str(text) {
        Ok(whole) => whole,
        Err(error) => {
            let lines = text.lines().filter(|line| !line.trim().is_empty());
            let lines: Result<Vec<Value>, _> = lines.map(serde_json::from_str).collect();
            return lines.map_err(|_| format!("not JSON: {error}"));
        }
    };
    match whole {
        Value::Array(rows) => Ok(rows),
        Value::Object(mut members) => {
            let list = ["data", "keys", "result", "items"].into_iter().find_map(|name| match members.remove(name) {
                Some(Value::Array(rows)) => Some(rows),
                Some(Value::Object(mut inner)) => match inner.remove("items").or_else(|| inner.remove("keys")) {
                    Some(Value::Array(rows)) => Some(rows),
                    _ => None,
                },
                _ => None,
            });
            list.ok_or_else(|| "there is no list of keys in it".to_owned())
        }
        _ => Err("there is no list of keys in it".to_owned()),
    }
}

/// RFC 4180: a header line, quotes doubled inside quotes. Every value is a text; an empty one is absent.
fn csv(text: &str) -> Result<Vec<Value>, String> {
    let mut records = records(text.trim_start_matches('\u{feff}'))?.into_iter();
    let header = records.next().ok_or("the file is empty")?;
    let mut rows = Vec::new();
    for (index, record) in records.enumerate() {
        if record.len() != header.len() {
            return Err(format!("row {} has {} columns, the header {}", index + 1, record.len(), header.len()));
        }
        let members = header.iter().zip(record).filter(|(_, value)| !value.is_empty());
        let members: Map<String, Value> =
            members.map(|(name, value)| (name.trim().to_owned(), Value::String(value))).collect();
        rows.push(Value::Object(members));
    }
    Ok(rows)
}

fn records(text: &str) -> Result<Vec<Vec<String>>, String> {
    let (mut all, mut record, mut field) = (Vec::new(), Vec::new(), String::new());
    let mut characters = text.chars().peekable();
    let mut is_quoted = false;
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            '"' if field.is_empty() => is_quoted = true,
            ',' if !is_quoted => record.push(std::mem::take(&mut field)),
            '\r' if !is_quoted && characters.peek() == Some(&'\n') => {}
            '\n' if !is_quoted => {
                record.push(std::mem::take(&mut field));
                all.push(std::mem::take(&mut record));
            }
            other => field.push(other),
        }
    }
    if is_quoted {
        return Err("a quote is not closed".to_owned());
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        all.push(record);
    }
    all.retain(|record| record.iter().any(|field| !field.is_empty()));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn exports_are_read_in_every_shape_they_come_in() {
        let rows = json!([{ "a": 1 }, { "a": 2 }]);
        for text in [
            rows.to_string(),
            json!({ "data": rows }).to_string(),
            json!({ "data": { "items": rows, "total": 2 } }).to_string(),
            "{\"a\":1}\n{\"a\":2}\n".to_owned(),
        ] {
            assert_eq!(Value::Array(super::json(&text).expect("read")), rows, "{text}");
        }
        let read = csv("a,b\r\n1,\"x, \"\"y\"\"\nz\"\n2,\n").expect("read");
        assert_eq!(Value::Array(read), json!([{ "a": "1", "b": "x, \"y\"\nz" }, { "a": "2" }]));
        assert!(csv("a,b\n1\n").is_err() && csv("a\n\"1\n").is_err());
        assert_eq!(without_url("cannot reach postgres://u:secret@h/db now"), "cannot reach now");
    }
}
