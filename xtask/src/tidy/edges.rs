//! Which crate may use which: the table of ARCHITECTURE.md, "Crates and doors", against `cargo metadata`; and that what is
//! declared is used.

use super::Fault;
use crate::json::Json;
use crate::rust_text::RustText;
use crate::workspace::{self, Outcome};

/// One crate: which of ours it may use, and which libraries it must never see.
struct Door {
    package: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static str],
}

const PURE: &[&str] =
    &["tokio", "hyper", "hyper-util", "http", "http-body-util", "axum", "sqlx", "getrandom", "rand", "jiff", "clap"];

const DOORS: &[Door] = &[
    Door { package: "claviger-domain", ours: &[], never: PURE },
    Door {
        package: "claviger-wire",
        ours: &["claviger-domain"],
        never: &["tokio", "hyper", "hyper-util", "axum", "sqlx", "getrandom", "rand", "clap"],
    },
    Door {
        package: "claviger-storage",
        ours: &["claviger-domain"],
        never: &["hyper", "hyper-util", "http", "axum", "getrandom", "rand", "clap"],
    },
    Door {
        package: "claviger-gateway",
        ours: &["claviger-domain", "claviger-wire", "claviger-storage"],
        never: &["axum", "sqlx", "getrandom", "rand", "clap"],
    },
    Door {
        package: "claviger-control",
        ours: &["claviger-domain", "claviger-wire", "claviger-storage"],
        never: &["hyper", "hyper-util", "sqlx", "getrandom", "rand", "clap"],
    },
    Door {
        package: "claviger",
        ours: &["claviger-domain", "claviger-wire", "claviger-storage", "claviger-gateway", "claviger-control"],
        never: &["axum", "sqlx"],
    },
    Door {
        package: "claviger-testkit",
        ours: &["claviger-domain", "claviger-wire", "claviger-storage"],
        never: &["axum", "sqlx"],
    },
    Door { package: "claviger-canary", ours: &[], never: PURE },
    Door { package: "claviger-e2e", ours: &["claviger-canary"], never: &["axum", "sqlx"] },
    Door { package: "claviger-bench", ours: &[], never: &["axum", "sqlx"] },
    Door { package: "xtask", ours: &[], never: &["clap", "anyhow", "serde_json"] },
];

/// Only tests may use it, so it is a dev-dependency everywhere and a dependency nowhere.
const TESTKIT: &str = "claviger-testkit";

fn metadata() -> Outcome<Json> {
    let text = workspace::output(workspace::cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    Json::parse(&text).ok_or_else(|| "cargo metadata printed something that is not JSON".to_owned())
}

/// A dependency that no source file names is dead weight in every build.
pub(super) fn unused() -> Outcome<Vec<Fault>> {
    let mut faults = Vec::new();
    for package in metadata()?.list("packages") {
        let name = package.text("name").unwrap_or_default();
        let manifest = package.text("manifest_path").unwrap_or_default();
        let folder = manifest.trim_end_matches("/Cargo.toml").trim_start_matches(&*workspace::root().to_string_lossy());
        let mut code = String::new();
        for path in workspace::files(folder.trim_start_matches('/'), ".rs")? {
            code.push_str(&RustText::read(&workspace::read(&path)?).code);
        }
        for dependency in package.list("dependencies") {
            let library = dependency.text("name").unwrap_or_default().replace('-', "_");
            if !["::", ";", " as"].iter().any(|behind| code.contains(&format!("{library}{behind}"))) {
                faults.push(format!("{name} declares {library} and never uses it"));
            }
        }
    }
    Ok(faults)
}

pub(super) fn check() -> Outcome<Vec<Fault>> {
    let metadata = metadata()?;
    let mut faults = Vec::new();
    for package in metadata.list("packages") {
        let name = package.text("name").unwrap_or_default();
        match DOORS.iter().find(|door| door.package == name) {
            Some(door) => check_package(door, package, &mut faults),
            None => {
                faults.push(format!("{name} is not in the table: a new crate needs a rule only a compiler can keep"))
            }
        }
    }
    Ok(faults)
}

fn check_package(door: &Door, package: &Json, faults: &mut Vec<Fault>) {
    for dependency in package.list("dependencies") {
        let name = dependency.text("name").unwrap_or_default();
        let is_dev = dependency.text("kind") == Some("dev");
        let is_ours = name.starts_with("claviger");
        if is_ours && !door.ours.contains(&name) && !(is_dev && name == TESTKIT) {
            faults.push(format!("{} must not use {name}: there is no door between these rooms", door.package));
        }
        if !is_dev && door.never.contains(&name) {
            faults.push(format!("{} must not use {name}: see the last column of the table of crates", door.package));
        }
    }
    if door.package == "xtask" && !package.list("dependencies").is_empty() {
        faults.push("xtask has a dependency: the first command on a fresh machine must not wait for one".to_owned());
    }
}
