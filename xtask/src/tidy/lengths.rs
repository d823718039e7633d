//! Files over 600 lines and functions over 70 only with a reason, and that list may only shrink.
//!
//! `xtask/long.txt` holds one exception per line: `path lines reason` for a file, `path::function lines reason` for a
//! function. The number is the longest it may be. An exception that has become shorter than its number, or needless, is
//! a fault as well: so the list only shrinks.

use super::Fault;
use crate::rust_text::RustText;
use crate::workspace::{self, Outcome};

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LIST: &str = "xtask/long.txt";

struct Exception {
    place: String,
    lines: usize,
    is_used: bool,
}

pub(super) fn check() -> Outcome<Vec<Fault>> {
    let mut exceptions = read_list()?;
    let mut faults = Vec::new();
    for path in workspace::files(".", ".rs")? {
        let source = workspace::read(&path)?;
        judge(&path, source.lines().count(), FILE_LINES_MAX, &mut exceptions, &mut faults);
        for function in RustText::read(&source).functions() {
            let place = format!("{path}::{}", function.name);
            let is_long = function.lines > FUNCTION_LINES_MAX;
            if is_long || exceptions.iter().any(|exception| exception.place == place) {
                let before = faults.len();
                judge(&place, function.lines, FUNCTION_LINES_MAX, &mut exceptions, &mut faults);
                for fault in faults.iter_mut().skip(before) {
                    fault.push_str(&format!(" (from line {})", function.first_line));
                }
            }
        }
    }
    for exception in exceptions.iter().filter(|exception| !exception.is_used) {
        faults.push(format!("{LIST}: {} is no longer too long, or gone: remove its line", exception.place));
    }
    Ok(faults)
}

fn judge(place: &str, lines: usize, lines_max: usize, exceptions: &mut [Exception], faults: &mut Vec<Fault>) {
    if lines <= lines_max {
        return;
    }
    match exceptions.iter_mut().find(|exception| exception.place == place) {
        None => faults.push(format!("{place} has {lines} lines, {lines_max} are allowed: split it by what it answers")),
        Some(exception) => {
            exception.is_used = true;
            if lines > exception.lines {
                faults.push(format!("{place} grew from {} to {lines} lines: the list only shrinks", exception.lines));
            } else if lines < exception.lines {
                faults.push(format!("{place} shrank to {lines} lines: write that number into {LIST}"));
            }
        }
    }
}

fn read_list() -> Outcome<Vec<Exception>> {
    let mut exceptions = Vec::new();
    for line in workspace::read(LIST)?.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        let mut words = line.splitn(3, ' ');
        let (place, lines, reason) = (words.next(), words.next().and_then(|text| text.parse().ok()), words.next());
        match (place, lines, reason) {
            (Some(place), Some(lines), Some(_)) => {
                exceptions.push(Exception { place: place.to_owned(), lines, is_used: false });
            }
            _ => return Err(format!("{LIST}: `{line}` is not `place lines reason`")),
        }
    }
    Ok(exceptions)
}
