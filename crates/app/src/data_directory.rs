//! What lies in the data directory besides the database: pepper, audit key, socket. All of it is its owner's alone.
//!
//! Pepper file: lines of `<version> <64 lower-case hex>`. Audit key file: one line of 64 hex.

use crate::config::Config;
use anyhow::{Context as _, bail};
use claviger_domain::id::SeatId;
use claviger_domain::secret::Pepper;
use claviger_domain::time::{Random, Timestamp};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A directory that exists and is private.
#[derive(Clone, Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
}

impl DataDirectory {
    /// Opens it, or makes it with mode 0700.
    pub(crate) fn open_or_make(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .with_context(|| format!("cannot make the data directory {}", path.display()))?;
        }
        Self::find(path)?.with_context(|| format!("{} is not a directory", path.display()))
    }

    /// Opens it if it exists.
    pub(crate) fn find(path: &Path) -> anyhow::Result<Option<Self>> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot look at {}", path.display())),
        };
        if !metadata.is_dir() {
            bail!("{} is not a directory", path.display());
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            make_private(path)?;
        }
        Ok(Some(Self { path: path.to_path_buf() }))
    }

    /// Where a server that runs on this directory listens for the command line.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("claviger.sock")
    }

    /// Puts the set-up link into a 0600 file, for containers; without one the file goes.
    pub(crate) fn keep_set_up_link(&self, link: Option<&str>) -> anyhow::Result<()> {
        let file = self.path.join("setup-link");
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", file.display()));
            }
            _ => {}
        }
        match link {
            Some(link) => write_private(&file, &format!("{link}\n")),
            None => Ok(()),
        }
    }

    /// The peppers of the file; made with version 1 if there is no file and `may_make`.
    pub(crate) fn peppers(
        &self,
        config: &Config,
        random: &mut dyn Random,
        may_make: bool,
    ) -> anyhow::Result<Vec<Pepper>> {
        let file = &config.pepper_file;
        if !file.exists() {
            if !may_make {
                bail!(
                    "the pepper file {} is missing: without it no key of this database can be recognised; restore it from its backup",
                    file.display()
                );
            }
            write_private(file, &format!("1 {}\n", hex(&draw(random))))?;
        }
        let text = read_private(file)?;
        let mut peppers = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let pepper = parse_pepper(line).with_context(|| {
                format!(
                    "{}:{}: not a pepper: expected a version and 64 lower-case hex digits",
                    file.display(),
                    index + 1
                )
            })?;
            if peppers.iter().any(|known: &Pepper| known.version == pepper.version) {
                bail!("{}:{}: version {} stands twice", file.display(), index + 1, pepper.version);
            }
            peppers.push(pepper);
        }
        if peppers.is_empty() {
            bail!("{} holds no pepper", file.display());
        }
        Ok(peppers)
    }

    /// The key of the audit chain, if there is one.
    pub(crate) fn find_audit_key(&self) -> anyhow::Result<Option<[u8; 32]>> {
        let file = self.audit_key_file();
        if !file.exists() {
            return Ok(None);
        }
        let text = read_private(&file)?;
        let key =
            unhex(text.trim()).with_context(|| format!("{}: expected 64 lower-case hex digits", file.display()))?;
        Ok(Some(key))
    }

    /// Keeps a new key of the audit chain.
    pub(crate) fn save_audit_key(&self, key: &[u8; 32]) -> anyhow::Result<()> {
        write_private(&self.audit_key_file(), &format!("{}\n", hex(key)))
    }

    /// The identity of this directory among the nodes of a database; made at the first start. A copy of the directory must
    /// not take it along.
    pub(crate) fn seat(&self, at: Timestamp, random: &mut dyn Random) -> anyhow::Result<SeatId> {
        let file = self.path.join("seat");
        if !file.exists() {
            write_private(&file, &format!("{}\n", SeatId::generate(at, random)))?;
        }
        let text = read_private(&file)?;
        text.trim().parse().map_err(|_| anyhow::anyhow!("{}: expected a seat's id", file.display()))
    }

    /// Where the key of the audit chain lies.
    pub(crate) fn audit_key_file(&self) -> PathBuf {
        self.path.join("audit-key")
    }
}

/// The pepper, the socket and the database lie here, so a stranger's look must end at the door. Only a directory that is
/// empty or ours is closed: `--data /tmp` must not shut everybody out of it.
fn make_private(path: &Path) -> anyhow::Result<()> {
    let is_ours =
        path.join("audit-key").exists() || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if !is_ours {
        bail!(
            "{} is open to others and holds other things: choose a directory of its own, or run `chmod 700 {}`",
            path.display(),
            path.display()
        );
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("{} is open to others and cannot be made private", path.display()))
}

/// The text of a file that must be its owner's alone.
fn read_private(file: &Path) -> anyhow::Result<String> {
    let mode = fs::metadata(file).with_context(|| format!("cannot look at {}", file.display()))?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!(
            "{} is readable by others (mode {:04o}): run `chmod 600 {}`",
            file.display(),
            mode & 0o777,
            file.display()
        );
    }
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// Makes a file with mode 0600 that did not exist, and syncs it: what it holds cannot be made again.
pub(crate) fn write_private(file: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
        made.write_all(text.as_bytes())?;
        made.sync_all()?;
        if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            fs::File::open(directory)?.sync_all()?;
        }
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

fn parse_pepper(line: &str) -> Option<Pepper> {
    let (version, digits) = line.trim().split_once(' ')?;
    let version: u16 = version.parse().ok().filter(|version| *version > 0)?;
    Some(Pepper::new(version, unhex(digits.trim())?))
}

pub(crate) fn draw(random: &mut dyn Random) -> [u8; 32] {
    let mut bytes = [0; 32];
    random.fill(&mut bytes);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !is_hex {
        return None;
    }
    let mut bytes = [0; 32];
    for (slot, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_holds_other_things_is_not_shut() {
        let folder = tempfile::TempDir::new().expect("a temporary directory");
        let path = folder.path().join("shared");
        let open = || fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode set");
        let mode = || fs::metadata(&path).map(|found| found.permissions().mode() & 0o777).ok();
        fs::create_dir(&path).expect("made");
        open();
        assert!(DataDirectory::open_or_make(&path).is_ok());
        assert_eq!(mode(), Some(0o700), "an empty directory becomes ours");
        open();
        fs::write(path.join("holiday.jpg"), "").expect("written");
        assert!(DataDirectory::open_or_make(&path).is_err());
        assert_eq!(mode(), Some(0o755));
    }

    #[test]
    fn a_pepper_line_is_read_strictly() {
        let digits = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        assert_eq!(parse_pepper(&format!("1 {digits}")).map(|pepper| pepper.version), Some(1));
        for bad in [
            format!("0 {digits}"),
            digits.to_owned(),
            format!("1 {}", digits.to_uppercase()),
            format!("1 {}", &digits[2..]),
        ] {
            assert!(parse_pepper(&bad).is_none(), "{bad}");
        }
        let bytes = unhex(digits).unwrap_or_default();
        assert_eq!(hex(&bytes), digits);
    }
}
