//! Secrets in: the first line of standard input, asked for without echo where a person types it. No flag takes one.

use super::{Failure, Kind};
use claviger_domain::secret::Secret;
use std::io::{IsTerminal as _, Read as _};

/// The most that is read; real keys are a fiftieth of it, and a longer text is wrong in its first bytes already.
const BYTES_MAX: u64 = 4096;

/// One line, without its end. What was typed otherwise, blanks included, stays: it may be what is wrong.
pub(super) fn read(prompt: &str) -> Result<Secret<String>, Failure> {
    let cannot = |error: std::io::Error| Failure::new(Kind::Usage, format!("standard input cannot be read: {error}"));
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let terminal = console::Term::stderr();
        terminal.write_str(prompt).map_err(cannot)?;
        return terminal.read_secure_line().map(Secret::new).map_err(cannot);
    }
    let mut bytes = Vec::new();
    stdin.lock().take(BYTES_MAX).read_to_end(&mut bytes).map_err(cannot)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let line = text.lines().next().unwrap_or_default().to_owned();
    if line.is_empty() {
        return Err(Failure::new(Kind::Usage, "standard input holds no key"));
    }
    Ok(Secret::new(line))
}
