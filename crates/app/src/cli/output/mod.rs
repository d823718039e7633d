//! What is printed: tables for people, TSV or JSON for programs, ids alone. Data on standard output, words on standard
//! error.

mod filter;
mod format;

pub(crate) use format::Format;

use super::arguments::Global;
use super::{Failure, Kind};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write};

/// One line of data on standard output: the only way that anything gets there. A reader that went away, such as `head`,
/// has what it wanted, so the command goes on and ends with its own exit code.
pub(crate) fn say(line: impl Display) {
    if let Err(error) = write(&mut io::stdout().lock(), &line) {
        note(format_args!("error: standard output: {error}"));
        std::process::exit(super::Kind::Failed as i32);
    }
}

/// One line of words on standard error. Where nobody can be told, nobody is.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn write(out: &mut impl Write, line: &impl Display) -> io::Result<()> {
    // In one piece: a reader sees whole lines.
    match out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// How this command prints.
#[derive(Clone, Debug)]
pub(super) struct Output {
    /// An expression of jq over what a program reads.
    filter: Option<String>,
    /// For a program: how, and which members; no names mean all of them.
    structured: Option<(Format, Vec<String>)>,
    is_plain: bool,
    pub(super) is_quiet: bool,
    /// Whether a person looks.
    pub(super) is_terminal: bool,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) is_number: bool,
}

/// A column of words.
pub(super) const fn words(title: &'static str) -> Column {
    Column { title, is_number: false }
}

/// A column of figures.
pub(super) const fn figures(title: &'static str) -> Column {
    Column { title, is_number: true }
}

impl Output {
    /// As the flags say.
    pub(super) fn new(global: &Global) -> Self {
        let fields = |text: &String| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Self {
            filter: global.jq.clone(),
            structured: match (global.format, &global.json) {
                (None, None) if global.jq.is_none() => None,
                (format, names) => {
                    Some((format.unwrap_or(Format::Json), names.as_ref().map(fields).unwrap_or_default()))
                }
            },
            is_plain: global.plain,
            is_quiet: global.quiet,
            is_terminal: std::io::stdout().is_terminal(),
        }
    }

    /// Refuses an expression that nothing can be made with, before anything is done.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let checked = self.filter.as_deref().map_or(Ok(()), filter::check);
        checked.map_err(|why| Failure::new(Kind::Usage, format!("--jq: {why}")))
    }

    /// Whether a program reads.
    pub(super) fn is_json(&self) -> bool {
        self.structured.is_some()
    }

    /// Prints a value as JSON, or in the format that was asked for, with only the fields asked for; whether it did.
    pub(super) fn json(&self, value: &Value) -> bool {
        let Some((format, fields)) = &self.structured else { return false };
        if let Some(code) = &self.filter {
            match filter::apply(code, &selected(value, fields)) {
                Ok(lines) => lines.iter().for_each(say),
                Err(why) => {
                    // What was to be done is done; only what it says cannot be told so.
                    note(format_args!("error: --jq: {why}"));
                    std::process::exit(Kind::Failed as i32);
                }
            }
        } else if let Some(text) = format.text(&selected(value, fields), fields) {
            say(text);
        }
        true
    }

    /// Prints rows as ids, JSON, TSV or a table.
    pub(super) fn rows(&self, objects: &[Value], columns: &[Column], cells: impl Fn(&Value) -> Vec<String>) {
        if self.is_quiet {
            for object in objects {
                say(object["id"].as_str().unwrap_or_default());
            }
        } else if !self.json(&Value::Array(objects.to_vec())) {
            self.table(columns, objects.iter().map(cells).collect());
        }
    }

    /// Prints a table, or TSV.
    pub(super) fn table(&self, columns: &[Column], rows: Vec<Vec<String>>) {
        if self.is_plain {
            for row in rows {
                let cells: Vec<String> = row.iter().map(|cell| cell.replace(['\t', '\n', '\r'], " ")).collect();
                say(cells.join("\t"));
            }
            return;
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(columns.iter().map(|column| column.title));
        for row in rows {
            table.add_row(row.iter().map(|cell| printable(cell)));
        }
        for (index, column) in columns.iter().enumerate() {
            if let Some(shown) = table.column_mut(index) {
                shown.set_padding((if index == 0 { 0 } else { 1 }, 1));
                if column.is_number {
                    shown.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        for line in table.to_string().lines() {
            say(line.trim_end());
        }
    }
}

/// Names are what tenants wrote: nothing in them may move the cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{FFFD}' } else { character }).collect()
}

/// A text member; empty when absent.
pub(super) fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap_or_default()
}

/// Seconds since 1970 as people read them; `–` when absent.
pub(super) fn time(value: &Value) -> String {
    value
        .as_i64()
        .map_or_else(|| "–".to_owned(), |seconds| claviger_domain::time::Timestamp::from_seconds(seconds).rfc3339())
}

/// 22310 → `22,310`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn selected(value: &Value, fields: &[String]) -> Value {
    match value {
        _ if fields.is_empty() => value.clone(),
        Value::Array(items) => items.iter().map(|item| selected(item, fields)).collect(),
        Value::Object(members) => Value::Object(
            fields.iter().map(|field| (field.clone(), members.get(field).cloned().unwrap_or_default())).collect(),
        ),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }

    /// Standard output whose reader behaves as told.
    struct Pipe(ErrorKind);

    impl Write for Pipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure_and_a_full_disk_is() {
        assert!(write(&mut Pipe(ErrorKind::BrokenPipe), &"row").is_ok());
        assert!(write(&mut Pipe(ErrorKind::StorageFull), &"row").is_err());
        let mut seen = Vec::new();
        assert!(write(&mut seen, &"row").is_ok());
        assert_eq!(seen, b"row\n");
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\u{FFFD}[2Jb");
    }
}
