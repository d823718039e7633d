//! Profiles of the command line as a client: which server, which organization, and the admin key that `claviger login` made.
//!
//! ```text
//! $XDG_CONFIG_HOME/claviger/profiles/<name>.toml   url, organization, email, key_id, expires_at
//! $XDG_CONFIG_HOME/claviger/profiles/<name>.key    the key's text, 0600
//! $XDG_CONFIG_HOME/claviger/organizations.toml     data directory → the organization that is meant there
//! ```
//! Written by the program alone, so that it never edits a file that people write. A profile without its key, or whose key
//! file others can read, is refused like any secret file.

use super::{Failure, Kind};
use crate::config::{Variables, read_secret};
use claviger_domain::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The profile of whoever names none.
pub(super) const DEFAULT: &str = "default";

/// What a profile says.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// The server.
    pub(super) url: String,
    /// The organization of its key, by slug.
    pub(super) organization: String,
    /// Whose key it is.
    pub(super) email: String,
    /// The key.
    pub(super) key_id: String,
    /// When the key ends, seconds since 1970.
    pub(super) expires_at: i64,
}

/// Where profiles lie.
pub(super) struct Profiles(PathBuf);

impl Profiles {
    /// Below the directory of the user's configuration.
    pub(super) fn of(variables: &Variables) -> Result<Self, Failure> {
        let user = variables
            .find("XDG_CONFIG_HOME")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .or_else(|| variables.find("HOME").map(|home| Path::new(home).join(".config")));
        let user =
            user.ok_or_else(|| Failure::new(Kind::Usage, "neither XDG_CONFIG_HOME nor HOME says where profiles lie"))?;
        Ok(Self(user.join("claviger/profiles")))
    }

    /// A profile and its key; `None` = there is none of this name.
    pub(super) fn find(&self, name: &str) -> Result<Option<(Profile, Secret<String>)>, Failure> {
        let (file, key) = self.files(name)?;
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&file, &error)),
        };
        let profile = toml::from_str(&text).map_err(|error| failed(&file, &error))?;
        Ok(Some((profile, read_secret(&key)?)))
    }

    /// The profile of this server, if there is one.
    pub(super) fn find_by_url(&self, url: &str) -> Result<Option<(Profile, Secret<String>)>, Failure> {
        let Ok(entries) = fs::read_dir(&self.0) else { return Ok(None) };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter_map(|name| name.strip_suffix(".toml").map(str::to_owned)).collect();
        names.sort();
        for name in names {
            if let Some(found) = self.find(&name)?.filter(|(profile, _)| profile.url == url) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Keeps a profile and its key in place of what was there; the key's file.
    pub(super) fn save(&self, name: &str, profile: &Profile, key: &Secret<String>) -> Result<PathBuf, Failure> {
        let (file, key_file) = self.files(name)?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|error| failed(&self.0, &error))?;
        let text = toml::to_string(profile).map_err(|error| failed(&file, &error))?;
        // The key first: a profile must never name one that is not there.
        replace(&key_file, &format!("{}\n", key.expose()))?;
        replace(&file, &text)?;
        Ok(key_file)
    }

    /// The organization that is meant in a data directory with several, if somebody has said so.
    pub(super) fn used_organization(&self, place: &Path) -> Option<String> {
        let text = fs::read_to_string(self.organizations()).ok()?;
        let used: BTreeMap<String, String> = toml::from_str(&text).ok()?;
        used.get(place.to_str()?).cloned()
    }

    /// Means this organization in a data directory from now on.
    pub(super) fn use_organization(&self, place: &Path, organization: &str) -> Result<(), Failure> {
        let file = self.organizations();
        let mut used: BTreeMap<String, String> = match fs::read_to_string(&file) {
            Ok(text) => toml::from_str(&text).map_err(|error| failed(&file, &error))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(failed(&file, &error)),
        };
        used.insert(place.display().to_string(), organization.to_owned());
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|error| failed(&self.0, &error))?;
        replace(&file, &toml::to_string(&used).map_err(|error| failed(&file, &error))?)
    }

    fn organizations(&self) -> PathBuf {
        self.0.with_file_name("organizations.toml")
    }

    /// Forgets a profile and its key.
    pub(super) fn forget(&self, name: &str) -> Result<(), Failure> {
        let (file, key) = self.files(name)?;
        for file in [&file, &key] {
            match fs::remove_file(file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(file, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn files(&self, name: &str) -> Result<(PathBuf, PathBuf), Failure> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || name.len() > 40 || !name.bytes().all(is_name) {
            return Err(Failure::new(Kind::Usage, format!("`{name}` is no profile: letters, digits, - and _")));
        }
        Ok((self.0.join(format!("{name}.toml")), self.0.join(format!("{name}.key"))))
    }
}

/// Writes a file that nobody else can read, whole or not at all.
fn replace(file: &Path, text: &str) -> Result<(), Failure> {
    let fresh = file.with_extension("new");
    let write = || {
        let _ = fs::remove_file(&fresh);
        let mut made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        made.write_all(text.as_bytes())?;
        made.sync_all()?;
        fs::rename(&fresh, file)
    };
    write().map_err(|error| failed(file, &error))
}

fn failed(file: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Kind::Failed, format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_profile_is_kept_so_that_nobody_else_can_read_its_key() {
        let folder = tempfile::TempDir::new().expect("a temporary directory");
        let home = folder.path().display().to_string();
        let profiles = Profiles::of(&Variables::new([("XDG_CONFIG_HOME".to_owned(), home)])).expect("a place");
        assert!(profiles.find(DEFAULT).expect("read").is_none());
        let profile = Profile {
            url: "https://api.acme.io".to_owned(),
            organization: "acme".to_owned(),
            email: "li@acme.io".to_owned(),
            key_id: "key_0000000000AZ".to_owned(),
            expires_at: 1_800_000_000,
        };
        for text in ["clv_one", "clv_two"] {
            let file = profiles.save(DEFAULT, &profile, &Secret::new(text.to_owned())).expect("saved");
            assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
            let (found, key) = profiles.find(DEFAULT).expect("read").expect("there");
            assert_eq!((found.url.as_str(), key.expose().as_str()), ("https://api.acme.io", text));
        }
        assert!(profiles.find_by_url("https://api.acme.io").expect("read").is_some());
        assert!(profiles.find_by_url("https://api.acme.example").expect("read").is_none());
        let (_, key) = profiles.files(DEFAULT).expect("a name");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
        assert!(profiles.find(DEFAULT).is_err(), "others could have read it");
        profiles.forget(DEFAULT).expect("forgotten");
        profiles.forget(DEFAULT).expect("again");
        assert!(profiles.find(DEFAULT).expect("read").is_none());
        for name in ["", "a/b", "..", "a b"] {
            assert!(profiles.find(name).is_err(), "{name}");
        }
    }
}
