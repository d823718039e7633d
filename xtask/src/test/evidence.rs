//! The last gate: no secret that any end-to-end test has seen stands in a log, a database file or its write-ahead log.
//!
//! Each world searches its own folder when it ends and writes finds down (`tests/e2e/src/evidence.rs`), so nothing large is
//! kept. Here they are read, and the databases of Postgres are searched for the secrets of all tests at once. One test leaks on
//! purpose; a whole run that did not find that one has proved nothing and fails.

use super::postgres::Postgres;
use crate::workspace::{Outcome, program, target};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Finds that are shown; one fault is often found many times.
const SHOWN: usize = 20;

/// The folder that the tests of this run write to; gone with this value, since it lists secrets.
pub(super) struct Evidence {
    folder: PathBuf,
}

impl Evidence {
    /// An empty one.
    pub(super) fn begin() -> Outcome<Self> {
        let folder = std::env::temp_dir().join(format!("claviger-evidence-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Where the tests write.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Judges what was written down, and searches Postgres.
    pub(super) fn check(&self, postgres: &Postgres, is_whole: bool) -> Outcome<()> {
        let finds = Finds::read(&std::fs::read_to_string(self.folder.join("finds")).unwrap_or_default());
        if is_whole && finds.searched == 0 {
            return Err("no world was searched".to_owned());
        }
        if is_whole && finds.planted == 0 {
            return Err("the search is blind: a secret that one test logs on purpose was not found".to_owned());
        }
        let mut found = finds.found;
        let list = self.folder.join("secrets");
        if list.exists() {
            let mut search = program(target().join("debug/claviger-canary"));
            let output = search.arg(&list).args(postgres.written()?).output();
            let output = output.map_err(|error| format!("claviger-canary did not start: {error}"))?;
            eprint!("Postgres: {}", String::from_utf8_lossy(&output.stderr));
            found.extend(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned));
            if !output.status.success() && found.is_empty() {
                return Err("the databases of Postgres could not be searched".to_owned());
            }
        }
        eprintln!("{} worlds of {} MiB searched", finds.searched, finds.bytes >> 20);
        if found.is_empty() {
            return Ok(());
        }
        let shown: Vec<&str> = found.iter().take(SHOWN).map(String::as_str).collect();
        Err(format!("{} secrets were left somewhere:\n{}", found.len(), shown.join("\n")))
    }
}

impl Drop for Evidence {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[derive(Debug, Default, PartialEq)]
struct Finds {
    searched: u64,
    bytes: u64,
    planted: u64,
    found: Vec<String>,
}

impl Finds {
    /// `searched<tab>FILES BYTES`, `found<tab>WHAT`, `planted<tab>WHAT`, one a line.
    fn read(text: &str) -> Self {
        let mut finds = Self::default();
        for (kind, what) in text.lines().filter_map(|line| line.split_once('\t')) {
            match kind {
                "searched" => {
                    finds.searched += 1;
                    finds.bytes += what.rsplit(' ').next().and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
                }
                "planted" => finds.planted += 1,
                _ => finds.found.push(what.to_owned()),
            }
        }
        finds
    }
}

#[cfg(test)]
mod tests {
    use super::Finds;

    #[test]
    fn a_planted_secret_is_told_from_one_that_leaked() {
        let text = "searched\t3 4096\nplanted\tkey a in server.log, one\nsearched\t2 10\nfound\tkey b in x, two\n";
        let found = vec!["key b in x, two".to_owned()];
        assert_eq!(Finds::read(text), Finds { searched: 2, bytes: 4106, planted: 1, found });
        assert_eq!(Finds::read(""), Finds::default());
    }
}
