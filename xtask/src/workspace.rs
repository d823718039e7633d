//! Where the workspace lies, and how a program is started from its root.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What went wrong, in one sentence for the person at the terminal.
pub(crate) type Outcome<T> = Result<T, String>;

/// The directory of the root manifest: cargo's word at run time, since two checkouts may share one target directory and
/// then one build of this program.
pub(crate) fn root() -> PathBuf {
    let own = variable("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}

/// Where builds and everything fetched for tests go.
pub(crate) fn target() -> PathBuf {
    variable("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// One environment variable.
#[expect(clippy::disallowed_methods, reason = "xtask is its own configuration: it has no other place to read from")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The cargo that runs us, started from the root.
pub(crate) fn cargo() -> Command {
    program(variable("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// A program started from the root.
pub(crate) fn program(name: impl Into<OsString>) -> Command {
    let mut command = Command::new(name.into());
    command.current_dir(root());
    command
}

/// Runs to the end; an error names the program and how it ended.
pub(crate) fn succeed(command: &mut Command) -> Outcome<()> {
    let name = shown(command);
    let status = command.status().map_err(|error| format!("{name} did not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name} ended with {status}")) }
}

/// Runs to the end and gives what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let name = shown(command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{name} did not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name} ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{name} wrote something that is not UTF-8"))
}

/// Whether a program of this name can be started at all.
pub(crate) fn exists(name: &str) -> bool {
    let paths = variable("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|directory| directory.join(name).is_file())
}

/// The text of a file below the root.
pub(crate) fn read(path: &str) -> Outcome<String> {
    std::fs::read_to_string(root().join(path)).map_err(|error| format!("{path}: {error}"))
}

/// Every file below `directory` (relative to the root) whose name ends in `ending`, sorted, as paths from the root.
/// Build output, fetched packages and hidden folders are passed over.
pub(crate) fn files(directory: &str, ending: &str) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from(directory)];
    while let Some(folder) = waiting.pop() {
        let entries = match std::fs::read_dir(root().join(&folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("{}: {error}", folder.display())),
        };
        for entry in entries {
            let entry = entry.map_err(|error| format!("{}: {error}", folder.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = folder.join(&name);
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && !name.starts_with('.') && !matches!(name.as_str(), "target" | "node_modules" | "dist") {
                waiting.push(path);
            } else if !is_folder && name.ends_with(ending) {
                found.push(path.to_string_lossy().trim_start_matches("./").to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args().take(6) {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}
