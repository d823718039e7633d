//! P8 over the whole suite: what every world leaves behind is searched for every secret that its test has seen.
//!
//! `cargo xtask test` names a folder by `CLAVIGER_EVIDENCE`; without it nothing here does anything. Secrets are taken where
//! they pass: keys in answers, headers and printed lines, passwords and tokens in bodies, cookies, fragments of links, and
//! files that only their owner may read. When a world ends, its logs (at the level `trace`) and data directories are
//! searched and finds written down; the run's last gate reads them, and searches the databases of Postgres for all.

use claviger_canary::Needles;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Secrets of this process, and what they may be called.
static SEEN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Files of a data directory that must hold a secret.
const KEPT: &[&str] = &["pepper", "audit-key"];

/// Fields of bodies that hold one.
const FIELDS: &[&str] =
    &["password", "new_password", "current_password", "token", "client_secret", "device_code", "id_token"];

/// Characters of what is random between the id and the checksum of a key, and of all behind its id.
const BEHIND_ID: usize = 49;
const CHECK: usize = 6;
const ID: usize = 12;

/// The folder of the run, when somebody looks at the evidence.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os("CLAVIGER_EVIDENCE").map(PathBuf::from)
}

/// Takes every secret out of a text that passed between a test and the program.
pub fn note_text(text: &[u8]) {
    if folder().is_none() {
        return;
    }
    let text = String::from_utf8_lossy(text);
    for word in words(&text) {
        if let Some((id, secret)) = key(word) {
            note(&format!("key {id}"), secret);
        }
    }
    for (_, rest) in text.match_indices('#').filter_map(|(at, _)| text.split_at_checked(at + 1)) {
        let end = rest.find(|one: char| !(one.is_ascii_alphanumeric() || one == '_' || one == '-'));
        let token = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if token.len() >= 40 {
            note("token of a link", token);
        }
    }
}

/// Takes the secrets out of a body of JSON.
pub(crate) fn note_body(body: &[u8]) {
    if folder().is_none() {
        return;
    }
    note_text(body);
    if let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(body) {
        for (name, value) in fields.iter().filter(|(name, _)| FIELDS.contains(&name.as_str())) {
            note(name, value.as_str().unwrap_or_default());
        }
    }
}

/// Takes the value of a cookie.
pub(crate) fn note_cookie(set: &str) {
    let pair = set.split(';').next().unwrap_or_default();
    if let Some((_, value)) = pair.split_once('=') {
        note("session", value);
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|one: char| !(one.is_ascii_alphanumeric() || one == '_' || one == '-'))
}

/// The id and the secret characters of what has the shape of a key.
fn key(word: &str) -> Option<(&str, &str)> {
    let before = word.len().checked_sub(BEHIND_ID)?;
    let (front, behind) = word.split_at_checked(before)?;
    let id = front.strip_suffix('_')?;
    let id = id.get(id.len().checked_sub(ID)?..)?;
    let is_key = id.bytes().chain(behind.bytes()).all(|byte| byte.is_ascii_alphanumeric());
    (is_key && front.len() > ID + 1).then(|| (id, &behind[..BEHIND_ID - CHECK]))
}

fn note(name: &str, secret: &str) {
    // Shorter ones cannot be told from innocent text.
    if secret.len() >= 16 && folder().is_some() {
        let mut seen = SEEN.lock();
        seen.entry(secret.to_owned()).or_insert_with(|| name.to_owned());
    }
}

/// The folder of a world. It is searched before it goes.
pub struct Folder {
    folder: TempDir,
    /// The world was built to leak: a run in which none is found is blind.
    is_leaky: bool,
}

impl Folder {
    /// A new one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new(is_leaky: bool) -> std::io::Result<Self> {
        Ok(Self { folder: tempfile::Builder::new().prefix("claviger-e2e-").tempdir()?, is_leaky })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(evidence) = folder()
            && let Err(error) = search(&evidence, self.path(), self.is_leaky)
        {
            eprintln!("what this test left behind could not be searched: {error}");
        }
    }
}

fn search(evidence: &Path, world: &Path, is_leaky: bool) -> std::io::Result<()> {
    let mut places = Vec::new();
    for file in files_below(world) {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_data = file.strip_prefix(world).is_ok_and(|below| below.iter().any(|part| part == "data"));
        if KEPT.contains(&name.as_str()) || !is_data && is_private(&file) {
            note_file(&name, &file);
        } else if is_data || name == "server.log" {
            places.push((name, file));
        }
    }
    let seen = SEEN.lock().clone();
    let mut needles = Needles::default();
    seen.iter().for_each(|(secret, name)| needles.add(name, secret));
    let (mut bytes, mut finds) = (0, Vec::new());
    for (name, file) in &places {
        // A database may tidy its files away meanwhile.
        let Ok((found, length)) = needles.hits_in_file(file) else { continue };
        bytes += length;
        finds.extend(found.iter().map(|secret| format!("{secret} in {name}")));
    }
    let test = std::env::args().find(|argument| argument.contains("::") || argument.contains('_'));
    let test = std::thread::current().name().filter(|name| *name != "main").map(str::to_owned).or(test);
    let (test, kind) = (test.unwrap_or_default(), if is_leaky { "planted" } else { "found" });
    let lines: String = finds.iter().map(|find| format!("{kind}\t{find}, {test}\n")).collect();
    append(&evidence.join("finds"), &format!("searched\t{} {bytes}\n{lines}", places.len()))?;
    let list: String = seen.iter().map(|(secret, name)| format!("{name}, {test}\t{secret}\n")).collect();
    // What a leaky world wrote into Postgres is its own.
    if is_leaky { Ok(()) } else { append(&evidence.join("secrets"), &list) }
}

/// A short text that only its owner may read is a secret.
fn note_file(name: &str, file: &Path) {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    if text.len() < 1024 {
        // Of a key only a part is secret: its id may be shown.
        let has_key = words(&text).any(|word| key(word).is_some());
        if !has_key && text.lines().count() == 1 {
            note(name, text.trim());
        }
        note_text(text.as_bytes());
    }
}

fn is_private(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0)
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    // One write, so that lines of processes that end together do not mix.
    options.append(true).create(true).mode(0o600).open(path)?.write_all(text.as_bytes())
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut all, mut waiting) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => waiting.push(entry.path()),
                Ok(kind) if kind.is_file() => all.push(entry.path()),
                _ => {}
            }
        }
    }
    all
}
