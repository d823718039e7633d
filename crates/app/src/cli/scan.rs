//! `claviger keys scan` and `keys pattern`: keys in files, offline, by prefix and checksum (`keys.md` §4, "Leaks").
//!
//! What is printed is place, id and kind, never the secret. Memory is one piece of a file, however large the file is.

use super::arguments::Global;
use super::output::{Output, note, say, thousands};
use super::transport::Transport;
use super::{Failure, Kind};
use crate::config::{self, Variables};
use clap::{Args, ValueEnum};
use claviger_domain::key::Prefixes;
use claviger_domain::key::leak::{self, LONGEST};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Bytes read at once.
const PIECE: usize = 1024 * 1024;

/// A zero byte within this many makes a file binary, as for git.
const LOOKED_AT: usize = 8000;

#[derive(Clone, Debug, Args)]
pub(super) struct ScanOptions {
    /// A file or directory; `-` reads standard input
    #[arg(value_name = "PATH", required_unless_present = "staged")]
    path: Option<PathBuf>,
    /// What is staged in the git repository here: for a pre-commit hook
    #[arg(long, conflicts_with = "path")]
    staged: bool,
    /// Revoke every key that is found, as compromised
    #[arg(long)]
    revoke: bool,
    /// Look for this prefix too; those of the configuration are always looked for
    #[arg(long, value_name = "PREFIX")]
    prefix: Vec<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct PatternOptions {
    /// For whom
    #[arg(long, value_enum, default_value = "regex")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// The bare pattern
    Regex,
    /// A rule of a gitleaks configuration
    Gitleaks,
    /// A custom pattern of GitHub's secret scanning
    Github,
}

/// One key in one place.
struct Found {
    place: String,
    line: u64,
    column: usize,
    id: String,
    is_test: bool,
    shown: String,
}

#[derive(Default)]
struct Scan {
    found: Vec<Found>,
    files: u64,
    binaries: u64,
    unreadable: u64,
}

/// Scans without asking any server; exit 1 says that something was found.
pub(super) async fn run(global: &Global, variables: &Variables, options: &ScanOptions) -> Result<ExitCode, Failure> {
    let prefixes = prefixes(global, variables, &options.prefix)?;
    let mut scan = Scan::default();
    match &options.path {
        None => scan.staged(&prefixes)?,
        Some(path) if path.as_os_str() == "-" => scan.reader("-", &mut io::stdin().lock(), &prefixes),
        Some(path) if path.is_dir() => scan.directory(path, &prefixes),
        Some(path) => {
            let mut file = File::open(path)
                .map_err(|error| Failure::new(Kind::NotFound, format!("{}: {error}", path.display())))?;
            scan.reader(&path.display().to_string(), &mut file, &prefixes);
        }
    }
    scan.print(&Output::new(global));
    if options.revoke && !scan.found.is_empty() {
        revoke(global, variables, &scan.found).await?;
    }
    let is_clean = scan.found.is_empty() && scan.unreadable == 0;
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The configuration's prefixes, if there is a configuration here, and those that were named.
pub(super) fn prefixes(global: &Global, variables: &Variables, named: &[String]) -> Result<Prefixes, Failure> {
    let config = config::load(&global.flags(), variables)?;
    let accepted = config.prefixes.accepted().filter(|prefix| *prefix != config.prefixes.current());
    let all: Vec<String> = accepted.map(str::to_owned).chain(named.iter().cloned()).collect();
    Prefixes::new(config.prefixes.current(), &all).map_err(|error| Failure::new(Kind::Usage, error.to_string()))
}

impl Scan {
    /// Every file below; links are not followed, and git's own objects are not looked into.
    fn directory(&mut self, directory: &Path, prefixes: &Prefixes) {
        let mut waiting = vec![directory.to_owned()];
        while let Some(directory) = waiting.pop() {
            let entries = match std::fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) => {
                    self.complain(&directory.display().to_string(), &error);
                    continue;
                }
            };
            let mut entries: Vec<_> = entries.flatten().collect();
            entries.sort_by_key(std::fs::DirEntry::file_name);
            for entry in entries {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && entry.file_name() != ".git" => waiting.push(path),
                    Ok(kind) if kind.is_file() => match File::open(&path) {
                        Ok(mut file) => self.reader(&path.display().to_string(), &mut file, prefixes),
                        Err(error) => self.complain(&path.display().to_string(), &error),
                    },
                    _ => {}
                }
            }
        }
    }

    /// What a commit would hold now: the index, not the files.
    fn staged(&mut self, prefixes: &Prefixes) -> Result<(), Failure> {
        let git = |arguments: &[&str]| {
            let mut command = Command::new("git");
            command.args(arguments).stdin(Stdio::null());
            command
        };
        let no_git =
            |error: &dyn std::fmt::Display| Failure::new(Kind::Failed, format!("git does not answer: {error}"));
        let listed = git(&["diff", "--cached", "--name-only", "-z", "--diff-filter=ACMRT", "--no-renames"]).output();
        let listed = listed.map_err(|error| no_git(&error))?;
        if !listed.status.success() {
            return Err(no_git(&String::from_utf8_lossy(&listed.stderr).trim()));
        }
        for name in listed.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
            let name = String::from_utf8_lossy(name).into_owned();
            let shown = git(&["cat-file", "blob", &format!(":{name}")]).stdout(Stdio::piped()).spawn();
            let mut shown = shown.map_err(|error| no_git(&error))?;
            if let Some(mut blob) = shown.stdout.take() {
                self.reader(&name, &mut blob, prefixes);
                // The rest of a binary is not wanted, and git must not wait for a reader.
                let _ = io::copy(&mut blob, &mut io::sink());
            }
            // A submodule has no blob; nothing was read of it.
            let _ = shown.wait();
        }
        Ok(())
    }

    fn reader(&mut self, place: &str, reader: &mut dyn Read, prefixes: &Prefixes) {
        match self.pieces(place, reader, prefixes) {
            Ok(()) => self.files += 1,
            Err(error) => self.complain(place, &error),
        }
    }

    /// Piece by piece; what could be the beginning of a key at the end of one piece is the beginning of the next.
    fn pieces(&mut self, place: &str, reader: &mut dyn Read, prefixes: &Prefixes) -> io::Result<()> {
        let mut buffer = vec![0; PIECE + LONGEST];
        let (mut held, mut line, mut before_line, mut is_first) = (0, 1_u64, 0_usize, true);
        loop {
            let read = fill(reader, &mut buffer[held..])?;
            let end = held + read;
            let is_last = end < buffer.len();
            let piece = &buffer[..end];
            if is_first && piece[..end.min(LOOKED_AT)].contains(&0) {
                self.binaries += 1;
                return Ok(());
            }
            // A key that begins behind this may not be whole yet; it is found with the next piece.
            let limit = if is_last { end } else { end - LONGEST };
            let (mut counted, mut line_start) = (0, 0_usize);
            let begins_at = before_line;
            let mut is_first_line = true;
            for leak in leak::find(piece, prefixes) {
                // The first byte of a later piece was kept only to be looked at.
                let is_new = is_first || leak.range.start >= 1;
                if !is_new || leak.range.start >= limit {
                    continue;
                }
                for at in memchr::memchr_iter(b'\n', &piece[counted..leak.range.start]) {
                    (line, line_start, is_first_line) = (line + 1, counted + at + 1, false);
                }
                counted = leak.range.start;
                let column = leak.range.start - line_start + if is_first_line { begins_at } else { 0 } + 1;
                self.found.push(Found {
                    place: place.to_owned(),
                    line,
                    column,
                    id: leak.key.id.to_string(),
                    is_test: leak.key.is_test,
                    shown: leak.shown,
                });
            }
            if is_last {
                return Ok(());
            }
            // One byte in front is kept, so that the next piece can see what a key touches.
            let keep = limit - 1;
            for at in memchr::memchr_iter(b'\n', &piece[counted..keep]) {
                (line, line_start, is_first_line) = (line + 1, counted + at + 1, false);
            }
            before_line = keep - line_start + if is_first_line { begins_at } else { 0 };
            buffer.copy_within(keep..end, 0);
            held = end - keep;
            is_first = false;
        }
    }

    fn complain(&mut self, place: &str, error: &io::Error) {
        self.unreadable += 1;
        note(format_args!("error: {place}: {error}"));
    }

    fn print(&self, output: &Output) {
        let kind = |found: &Found| if found.is_test { "test" } else { "live" };
        for found in &self.found {
            if output.is_json() {
                say(json!({
                    "path": found.place, "line": found.line, "column": found.column,
                    "id": found.id, "kind": kind(found), "redacted_value": found.shown,
                }));
            } else if output.is_quiet {
                say(&found.id);
            } else {
                let Found { place, line, column, id, shown, .. } = found;
                say(format_args!("{place}:{line}:{column}  {id}  {}  {shown}", kind(found)));
            }
        }
        if !output.is_quiet {
            let (files, binaries) = (thousands(self.files), thousands(self.binaries));
            note(format_args!("{} keys in {files} files ({binaries} of them binary, skipped)", self.found.len()));
        }
    }
}

/// Fills the buffer as far as the reader goes.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Revokes each key once. A key that is not of this server stays a find, and is said.
async fn revoke(global: &Global, variables: &Variables, found: &[Found]) -> Result<(), Failure> {
    let ids: BTreeSet<&str> = found.iter().map(|found| found.id.as_str()).collect();
    let transport = Transport::choose(global, variables, false).await?;
    let mut failed = 0;
    for id in ids {
        let path = format!("/v1/organization/api_keys/{id}/revoke");
        match transport.post(&path, &json!({ "reason": "compromised" })).await {
            Ok(_) => note(format_args!("revoked {id}")),
            Err(failure) => {
                failed += 1;
                note(format_args!("not revoked: {id}: {failure}"));
            }
        }
    }
    transport.close().await;
    if failed > 0 { Err(Failure::new(Kind::Failed, format!("{failed} keys were not revoked"))) } else { Ok(()) }
}

/// Prints how scanners find keys of this server.
pub(super) fn pattern(global: &Global, variables: &Variables, options: &PatternOptions) -> Result<ExitCode, Failure> {
    let prefixes = prefixes(global, variables, &[])?;
    let pattern = leak::pattern(&prefixes);
    let text = match options.format {
        Format::Regex => pattern,
        Format::Gitleaks => {
            // gitleaks reads RE2, which looks neither ahead nor behind: the group is what counts there.
            let inner = pattern.replace("(?<![0-9A-Za-z])", "").replace("(?![0-9A-Za-z])", "").replacen('(', "(?:", 2);
            let keywords: Vec<String> = prefixes.accepted().map(|prefix| format!("{prefix:?}")).collect();
            format!(
                "[[rules]]\nid = \"claviger-api-key\"\ndescription = \"Claviger API key\"\n\
                 regex = '''(?:^|[^0-9A-Za-z])({inner})(?:[^0-9A-Za-z]|$)'''\nsecretGroup = 1\nkeywords = [{}]",
                keywords.join(", ")
            )
        }
        Format::Github => {
            let inner = pattern.replace("(?<![0-9A-Za-z])", "").replace("(?![0-9A-Za-z])", "");
            let shown = json!({
                "name": "Claviger API key",
                "secret_format": inner,
                "before_secret": "\\A|[^0-9A-Za-z]",
                "after_secret": "\\z|[^0-9A-Za-z]",
            });
            serde_json::to_string_pretty(&shown).unwrap_or_default()
        }
    };
    say(text);
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "clv_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xmin8";

    /// The places are right wherever the border of a piece falls.
    #[test]
    fn a_key_across_the_border_of_two_pieces_is_found_once_in_its_place() {
        let prefixes = Prefixes::new("clv_", &[]).expect("good");
        for shift in [0, 1, 30, 66, 67, 83, 84, 85, 150] {
            let mut text = vec![b'a'; 5000];
            text.push(b'\n');
            text.resize(PIECE + LONGEST - shift - 1, b'.');
            text.push(b' ');
            let (start, line_start) = (text.len(), 5001);
            text.extend_from_slice(KEY.as_bytes());
            text.extend_from_slice(b"\n\n");
            text.resize(3 * PIECE, b'\n');
            text.extend_from_slice(format!("x {KEY}").as_bytes());
            let mut scan = Scan::default();
            scan.reader("f", &mut text.as_slice(), &prefixes);
            let places: Vec<(u64, usize)> = scan.found.iter().map(|found| (found.line, found.column)).collect();
            let breaks = text[..3 * PIECE].iter().filter(|byte| **byte == b'\n').count();
            let last = u64::try_from(breaks).expect("small") + 1;
            assert_eq!(places, [(2, start - line_start + 1), (last, 3)], "{shift}");
        }
    }

    #[test]
    fn a_binary_is_skipped() {
        let prefixes = Prefixes::new("clv_", &[]).expect("good");
        let mut scan = Scan::default();
        scan.reader("f", &mut format!("\0{KEY}").as_bytes(), &prefixes);
        assert_eq!((scan.found.len(), scan.binaries), (0, 1));
    }
}
