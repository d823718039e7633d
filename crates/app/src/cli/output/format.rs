//! Values as JSON, JSON lines, CSV or YAML. Which members are shown is not decided here.

use clap::ValueEnum;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// How a program wants its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON value
    Json,
    /// One JSON value a line
    Jsonl,
    /// RFC 4180, with a header; what is no text or number is JSON
    Csv,
    /// YAML 1.2
    Yaml,
}

impl Format {
    /// The value as text, without a final line break; `None` when there is nothing to print. `fields` are the columns of
    /// a sheet; all there are, if none is named.
    pub(super) fn text(self, value: &Value, fields: &[String]) -> Option<String> {
        match self {
            Self::Json => Some(value.to_string()),
            Self::Jsonl => lines(rows(value).iter().map(|row| row.to_string())),
            Self::Csv => lines(csv(&rows(value), fields).into_iter()),
            Self::Yaml => {
                let mut text = String::new();
                yaml(value, 0, &mut text);
                Some(text.trim_start_matches('\n').trim_end().to_owned())
            }
        }
    }
}

fn lines(lines: impl Iterator<Item = String>) -> Option<String> {
    let all: Vec<String> = lines.collect();
    (!all.is_empty()).then(|| all.join("\n"))
}

/// A list's items, or the one thing that it is.
fn rows(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        other => vec![other],
    }
}

fn csv(rows: &[&Value], fields: &[String]) -> Vec<String> {
    let members: Vec<&Map<String, Value>> = rows.iter().filter_map(|row| row.as_object()).collect();
    let mut seen = BTreeSet::new();
    // In the order in which the members come, wherever they come first.
    let every = members.iter().flat_map(|row| row.keys()).filter(|name| seen.insert(name.as_str()));
    let columns: Vec<&String> = if fields.is_empty() { every.collect() } else { fields.iter().collect() };
    if columns.is_empty() || members.is_empty() {
        return Vec::new();
    }
    let cell = |value: Option<&Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => quoted(text),
        Some(other) => quoted(&other.to_string()),
    };
    let header = columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(",");
    let lines = members.iter().map(|row| columns.iter().map(|name| cell(row.get(*name))).collect::<Vec<_>>().join(","));
    std::iter::once(header).chain(lines).collect()
}

fn quoted(text: &str) -> String {
    // A sheet that reads the file must not take what a tenant wrote for a formula.
    let is_formula =
        text.starts_with(['=', '@', '\t', '\r']) || (text.starts_with(['+', '-']) && text.parse::<f64>().is_err());
    let text = if is_formula { format!("'{text}") } else { text.to_owned() };
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Block style; texts in double quotes, whose escapes are JSON's.
fn yaml(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                out.push_str(&format!("\n{indent}{}:", key(name)));
                nested(member, depth, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&format!("\n{indent}-"));
                nested(item, depth, out);
            }
        }
        // Empty ones, numbers, truth values, null and quoted texts are written as in JSON.
        other => out.push_str(&other.to_string()),
    }
}

fn nested(value: &Value, depth: usize, out: &mut String) {
    let is_leaf = match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    if is_leaf {
        out.push(' ');
    }
    yaml(value, depth + 1, out);
}

fn key(name: &str) -> String {
    let is_plain = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|symbol| symbol.is_ascii_alphanumeric() || symbol == '_')
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&name.to_ascii_lowercase().as_str());
    if is_plain { name.to_owned() } else { Value::from(name).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_is_lines_rows_or_blocks() {
        let list = json!([{ "id": "a", "n": 1, "l": ["x", {}], "o": { "p": null } }, { "id": "b,\"c\"", "n": -2 }]);
        assert_eq!(Format::Jsonl.text(&list, &[]).map(|text| text.lines().count()), Some(2));
        assert_eq!(
            Format::Csv.text(&list, &[]).as_deref(),
            Some("id,l,n,o\na,\"[\"\"x\"\",{}]\",1,\"{\"\"p\"\":null}\"\n\"b,\"\"c\"\"\",,-2,")
        );
        let fields = ["n".to_owned(), "id".to_owned()];
        assert_eq!(Format::Csv.text(&list, &fields).as_deref(), Some("n,id\n1,a\n-2,\"b,\"\"c\"\"\""));
        // Older readers take a bare n for "no".
        let yaml = "-\n  id: \"a\"\n  l:\n    - \"x\"\n    - {}\n  \"n\": 1\n  o:\n    p: null\n-\n  id: \"b,\\\"c\\\"\"\n  \"n\": -2";
        assert_eq!(Format::Yaml.text(&list, &[]).as_deref(), Some(yaml));
        assert_eq!(
            Format::Yaml.text(&json!({ "on": true, "a-b": [] }), &[]).as_deref(),
            Some("\"a-b\": []\n\"on\": true")
        );
        assert_eq!((Format::Csv.text(&json!([]), &[]), Format::Jsonl.text(&json!([]), &[])), (None, None));
    }

    #[test]
    fn a_sheet_takes_nothing_for_a_formula() {
        for (text, written) in [("=1+1", "'=1+1"), ("@x", "'@x"), ("-2.5", "-2.5"), ("+cmd", "'+cmd"), ("a-b", "a-b")] {
            assert_eq!(quoted(text), written);
        }
    }
}
