//! Proves that every ban of `clippy.toml` fires.
//!
//! A path that no longer exists is silent when its crate is unknown and only a warning otherwise, so a plain list rots.
//! Here each ban is broken once, in a scratch crate below `target/`, and clippy must say so on that very line.

use super::Fault;
use crate::workspace::{self, Outcome, target};
use std::fmt::Write as _;
use std::path::Path;

/// A ban's path and an expression that breaks it.
const PLANTS: &[(&str, &str)] = &[
    ("std::time::SystemTime::now", "let _ = std::time::SystemTime::now();"),
    ("std::time::Instant::now", "let _ = std::time::Instant::now();"),
    ("tokio::time::Instant::now", "let _ = tokio::time::Instant::now();"),
    ("std::env::var", "let _ = std::env::var(\"A\");"),
    ("std::env::var_os", "let _ = std::env::var_os(\"A\");"),
    ("std::env::vars", "let _ = std::env::vars();"),
    ("std::env::vars_os", "let _ = std::env::vars_os();"),
    ("tokio::spawn", "let _ = tokio::spawn(async {});"),
    ("tokio::task::spawn", "let _ = tokio::task::spawn(async {});"),
    ("tokio::task::spawn_blocking", "let _ = tokio::task::spawn_blocking(|| ());"),
    ("tokio::task::spawn_local", "let _ = tokio::task::spawn_local(async {});"),
    ("tokio::runtime::Handle::spawn", "let _ = tokio::runtime::Handle::current().spawn(async {});"),
    ("tokio::task::JoinSet::spawn", "let _ = tokio::task::JoinSet::new().spawn(async {});"),
    ("std::thread::spawn", "let _ = std::thread::spawn(|| ());"),
    ("std::thread::Builder::spawn", "let _ = std::thread::Builder::new().spawn(|| ());"),
    ("tokio::sync::mpsc::unbounded_channel", "let _ = tokio::sync::mpsc::unbounded_channel::<u8>();"),
    ("std::sync::mpsc::channel", "let _ = std::sync::mpsc::channel::<u8>();"),
    ("std::sync::Mutex", "let _: Option<std::sync::Mutex<u8>> = None;"),
    ("std::sync::RwLock", "let _: Option<std::sync::RwLock<u8>> = None;"),
];

/// Lines of the scratch file before the first plant.
const LINES_BEFORE: usize = 2;

pub(super) fn check() -> Outcome<Vec<Fault>> {
    let listed = workspace::read("clippy.toml")?;
    let bans: Vec<&str> = listed.lines().filter_map(|line| line.split("path = \"").nth(1)?.split('"').next()).collect();
    let mut faults = Vec::new();
    let mut source = "//! One broken ban a line.\npub fn planted() {\n".to_owned();
    let mut planted = Vec::new();
    for ban in &bans {
        match PLANTS.iter().find(|(path, _)| path == ban) {
            Some((_, plant)) => {
                let _ = writeln!(source, "    {plant}");
                planted.push(*ban);
            }
            None => faults.push(format!("clippy.toml bans `{ban}`, but no violation of it is planted in tidy/bans.rs")),
        }
    }
    source.push_str("}\n");
    let said = lint(&source)?;
    for (index, ban) in planted.iter().enumerate() {
        let place = format!("src/lib.rs:{}:", index + LINES_BEFORE + 1);
        let fires = said.lines().any(|line| line.contains(&place) && line.contains("disallowed"));
        if !fires {
            faults.push(format!("clippy.toml bans `{ban}`, but breaking it goes unnoticed: the path has rotted"));
        }
    }
    Ok(faults)
}

/// What clippy says about `source` under our configuration, one line a finding.
fn lint(source: &str) -> Outcome<String> {
    let folder = target().join("tidy-bans");
    let manifest = format!(
        "[package]\nname = \"planted\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n[dependencies]\n{}\n",
        tokio_line(&workspace::read("Cargo.toml")?)
    );
    let write = |name: &str, text: &str| write_if_changed(&folder.join(name), text);
    std::fs::create_dir_all(folder.join("src")).map_err(|error| format!("{}: {error}", folder.display()))?;
    write("Cargo.toml", &manifest)?;
    write("src/lib.rs", source)?;
    if !folder.join("Cargo.lock").exists() {
        write("Cargo.lock", &workspace::read("Cargo.lock")?)?;
    }
    let output = workspace::cargo()
        .current_dir(&folder)
        .args(["clippy", "--quiet", "--message-format", "short", "--target-dir"])
        .arg(target())
        .env("CLIPPY_CONF_DIR", workspace::root())
        .output()
        .map_err(|error| format!("clippy did not start: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("error") { Err(format!("the planted violations do not compile:\n{said}")) } else { Ok(said) }
}

fn tokio_line(manifest: &str) -> String {
    let version = manifest.lines().find(|line| line.starts_with("tokio = ")).unwrap_or("tokio = \"1\"");
    version.to_owned()
}

fn write_if_changed(path: &Path, text: &str) -> Outcome<()> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
