//! Two lists that must be complete: the conformance suite of storage, and the page of public errors.

use super::Fault;
use crate::rust_text::RustText;
use crate::workspace::{self, Outcome};

const ERRORS_PAGE: &str = "docs/errors.md";

/// Both engines answer one suite, so an act that the suite does not call is proved on neither.
pub(super) fn storage_suite() -> Outcome<Vec<Fault>> {
    let mut suite = String::new();
    for path in workspace::files("crates/storage/tests", ".rs")? {
        suite.push_str(&RustText::read(&workspace::read(&path)?).code);
    }
    let mut faults = Vec::new();
    for path in workspace::files("crates/storage/src", ".rs")? {
        if path.contains("/tests") {
            continue;
        }
        let code = RustText::read(&workspace::read(&path)?).code_without_tests();
        for (at, _) in code.match_indices("pub async fn ") {
            let name: String = code[at + 13..]
                .chars()
                .take_while(|character| character.is_alphanumeric() || *character == '_')
                .collect();
            let is_called = ["(", "::<"].iter().any(|behind| suite.contains(&format!("{name}{behind}")));
            if !is_called {
                faults.push(format!("{path}: `{name}` is called nowhere in crates/storage/tests"));
            }
        }
    }
    Ok(faults)
}

/// Clients meet codes; each has meaning, cause and repair on one page, and the page names no other.
pub(super) fn error_pages() -> Outcome<Vec<Fault>> {
    let catalogue = workspace::read("crates/domain/src/error.rs")?;
    let codes: Vec<&str> = catalogue.lines().filter_map(catalogue_code).collect();
    let page = workspace::read(ERRORS_PAGE)?;
    let entries: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    let mut faults = Vec::new();
    if codes.is_empty() {
        faults.push("the catalogue in crates/domain/src/error.rs could not be read".to_owned());
    }
    for code in codes.iter().filter(|code| !entries.contains(code)) {
        faults.push(format!("{ERRORS_PAGE}: no entry for `{code}`"));
    }
    for entry in entries.iter().filter(|entry| !codes.contains(entry)) {
        faults.push(format!("{ERRORS_PAGE}: `{entry}` is not a code of the catalogue"));
    }
    Ok(faults)
}

/// `Name = "code", status, …` of the one table; an empty code stands for an upstream's own and has no entry.
fn catalogue_code(line: &str) -> Option<&str> {
    let (name, rest) = line.trim().split_once(" = \"")?;
    let (code, rest) = rest.split_once("\", ")?;
    let is_row = name.chars().all(char::is_alphanumeric) && rest.chars().next()?.is_ascii_digit();
    (is_row && !code.is_empty()).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::catalogue_code;

    #[test]
    fn rows_of_the_catalogue_are_told_from_other_lines() {
        assert_eq!(
            catalogue_code(r#"    NotFound = "not_found", 404, "x", Caller, Retry::Unsaid, "Not found.";"#),
            Some("not_found")
        );
        assert_eq!(catalogue_code(r#"    Rejected = "", 400, "x", Caller, Retry::Unsaid, "No.";"#), None);
        assert_eq!(catalogue_code(r#"    let text = "a", 4"#), None);
    }
}
