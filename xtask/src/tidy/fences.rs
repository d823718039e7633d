//! What must not occur where: JSON trees on the request path, SQL outside storage, a strict crate without its lints.

use super::Fault;
use crate::rust_text::RustText;
use crate::workspace::{self, Outcome};

/// Crates with the strict lints, and whether plain arithmetic is among them. `wire` counts positions in bytes it
/// has already measured; amounts never pass through its hands.
const STRICT: &[(&str, bool)] =
    &[("crates/domain", true), ("crates/wire", false), ("crates/storage", true), ("crates/gateway", true)];
const STRICT_LINTS: &[&str] = &["unwrap_used", "expect_used", "panic", "indexing_slicing", "float_arithmetic"];
const DOCUMENTED: &[&str] = &["crates/domain", "crates/wire", "crates/storage"];

/// Strict crates carry their lints as attributes, because a crate cannot extend `[workspace.lints]`.
pub(super) fn lint_attributes() -> Outcome<Vec<Fault>> {
    let mut faults = Vec::new();
    for (folder, has_arithmetic) in STRICT {
        let path = format!("{folder}/src/lib.rs");
        let code: String = RustText::read(&workspace::read(&path)?).code.split_whitespace().collect();
        let denied = code.split("cfg_attr(not(test),deny(").nth(1).and_then(|rest| rest.split("))").next());
        let denied: Vec<&str> = denied.unwrap_or_default().split(',').filter(|lint| !lint.is_empty()).collect();
        let arithmetic = has_arithmetic.then_some(&"arithmetic_side_effects");
        for lint in STRICT_LINTS.iter().chain(arithmetic) {
            if !denied.contains(&format!("clippy::{lint}").as_str()) {
                faults.push(format!("{path}: `clippy::{lint}` is not denied outside tests"));
            }
        }
        if DOCUMENTED.contains(folder) && !code.contains("#![deny(missing_docs)]") {
            faults.push(format!("{path}: `#![deny(missing_docs)]` is missing"));
        }
    }
    Ok(faults)
}

/// The request path edits bytes by span; a tree would change numbers and orders, and costs several times more.
/// The simulator is a provider, not the path, and may hold a tree.
pub(super) fn json_trees() -> Outcome<Vec<Fault>> {
    let mut faults = Vec::new();
    for folder in ["crates/gateway/src", "crates/wire/src"] {
        for path in workspace::files(folder, ".rs")? {
            if path.contains("simulator") || is_test_file(&path) {
                continue;
            }
            let code = RustText::read(&workspace::read(&path)?).code_without_tests();
            for (number, line) in code.lines().enumerate() {
                let is_tree = ["serde_json::Value", "serde_json::{Value", "serde_json::Map", "serde_json::json!"];
                if is_tree.iter().any(|word| line.contains(word)) {
                    faults.push(format!("{path}:{}: scan and splice instead of a JSON tree", number + 1));
                }
            }
        }
    }
    Ok(faults)
}

const SQL: &[(&str, &str)] = &[
    ("SELECT ", " FROM "),
    ("INSERT INTO ", ""),
    ("INSERT OR ", ""),
    ("UPDATE ", " SET "),
    ("DELETE FROM ", ""),
    ("CREATE TABLE ", ""),
    ("PRAGMA ", ""),
];

/// SQL is written in one crate, where both engines are tested. The test kit may make and drop databases around it.
pub(super) fn sql_text() -> Outcome<Vec<Fault>> {
    let mut faults = Vec::new();
    for path in workspace::files("crates", ".rs")? {
        if path.starts_with("crates/storage/") || path.starts_with("crates/testkit/") || is_test_file(&path) {
            continue;
        }
        let literals = RustText::read(&workspace::read(&path)?).literals_without_tests();
        for (number, line) in literals.lines().enumerate() {
            if SQL.iter().any(|(start, then)| line.find(start).is_some_and(|at| line[at..].contains(then))) {
                faults.push(format!("{path}:{}: SQL outside crates/storage", number + 1));
            }
        }
    }
    Ok(faults)
}

fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}
