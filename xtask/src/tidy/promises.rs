//! Lists that must be complete: the conformance suite of storage, the page of public errors, that of seeded bugs.

use super::Fault;
use crate::rust_text::RustText;
use crate::workspace::{self, Outcome};

const ERRORS_PAGE: &str = "docs/errors.md";
const CHECKS_PAGE: &str = "tests/e2e/README.md";

const PROOFS_PAGE: &str = "docs/proof.md";

const BUGS_PAGE: &str = "docs/seeded-bugs.md";

/// Where the names of seeded bugs are taken.
const SWITCHES: &[&str] = &["crates/app/src/serve.rs", "crates/gateway/src/bugs.rs"];

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

/// A seeded bug that no test is named for proves nothing, and a row must not promise a test that is gone.
pub(super) fn seeded_bugs() -> Outcome<Vec<Fault>> {
    let page = workspace::read(BUGS_PAGE)?;
    let rows: Vec<[&str; 2]> = page.lines().filter_map(bug_row).collect();
    let mut faults = Vec::new();
    for path in SWITCHES {
        for switch in workspace::read(path)?.lines().filter_map(bug_switch) {
            if !rows.iter().any(|[bug, _]| *bug == switch) {
                faults.push(format!("{BUGS_PAGE}: no row for the switch `{switch}` of {path}"));
            }
        }
    }
    let mut suite = String::new();
    for folder in ["tests/e2e/tests", "crates/testkit/tests", "crates/domain/src"] {
        for path in workspace::files(folder, ".rs")? {
            suite.push_str(&workspace::read(&path)?);
        }
    }
    for [_, test] in rows {
        if !suite.contains(&format!("fn {test}()")) {
            faults.push(format!("{BUGS_PAGE}: there is no test `{test}`"));
        }
    }
    Ok(faults)
}

/// `"name" => CONSTANT,` or `"name" => …::bugs::…`: an arm that wakes a bug.
fn bug_switch(line: &str) -> Option<&str> {
    let (name, then) = line.trim().strip_prefix('"')?.split_once("\" => ")?;
    let is_constant =
        then.trim_end_matches(',').chars().all(|character| character.is_ascii_uppercase() || character == '_');
    (!name.is_empty() && (is_constant || then.contains("::bugs::"))).then_some(name)
}

/// The switch, empty where there is none, and the test of a row.
fn bug_row(line: &str) -> Option<[&str; 2]> {
    let cells: Vec<&str> = line.strip_prefix('|')?.trim_end_matches('|').split('|').map(str::trim).collect();
    let [bug, _, test] = cells.as_slice() else { return None };
    Some([bug.trim_matches('`'), test.strip_prefix('`')?.split('`').next()?])
}

/// Users were promised numbered things; one table says which tests hold which promise, and it names none that is not there.
pub(super) fn seed_checks() -> Outcome<Vec<Fault>> {
    let mut tests = Vec::new();
    for path in workspace::files("tests/e2e/tests", ".rs")? {
        let code = RustText::read(&workspace::read(&path)?).code;
        tests.extend(code.match_indices("async fn s").filter_map(|(at, _)| {
            let name: String =
                code[at + 9..].chars().take_while(|symbol| symbol.is_alphanumeric() || *symbol == '_').collect();
            (!checks_of(&name).is_empty()).then_some(name)
        }));
    }
    let page = workspace::read(CHECKS_PAGE)?;
    let rows: Vec<(&str, Vec<&str>)> = page.lines().filter_map(check_row).collect();
    let mut faults = Vec::new();
    for (check, named) in &rows {
        if named.is_empty() {
            faults.push(format!("{CHECKS_PAGE}: {check} names no test"));
        }
        for name in named {
            if !tests.iter().any(|test| test == name) {
                faults.push(format!("{CHECKS_PAGE}: {check} names `{name}`, which is no test"));
            } else if !checks_of(name).iter().any(|own| own == check) {
                faults.push(format!("{CHECKS_PAGE}: `{name}` does not say that it is of {check}"));
            }
        }
    }
    if tests.is_empty() || rows.is_empty() {
        faults.push(format!("{CHECKS_PAGE}: no seed check could be read"));
    }
    Ok(faults)
}

/// Whoever asks for proof looks a test up by its name.
pub(super) fn proofs() -> Outcome<Vec<Fault>> {
    let mut suite = String::new();
    for folder in ["crates", "tests"] {
        for path in workspace::files(folder, ".rs")? {
            suite.push_str(&RustText::read(&workspace::read(&path)?).code);
        }
    }
    let page = workspace::read(PROOFS_PAGE)?;
    let named: Vec<&str> = page.lines().filter_map(proof_row).flatten().collect();
    let mut faults = Vec::new();
    for name in &named {
        // A case of the suite of storage stands in a list instead.
        let is_there = [format!("fn {name}("), format!("fn {name}<"), format!("    {name},\n")];
        if !is_there.iter().any(|text| suite.contains(text)) {
            faults.push(format!("{PROOFS_PAGE}: there is no test `{name}`"));
        }
    }
    if named.is_empty() {
        faults.push(format!("{PROOFS_PAGE}: no row could be read"));
    }
    Ok(faults)
}

/// `| promise | `test`, `test` | package |`; what is no name is a file or a command.
fn proof_row(line: &str) -> Option<Vec<&str>> {
    let cells: Vec<&str> = line.strip_prefix('|')?.trim_end().trim_end_matches('|').split('|').map(str::trim).collect();
    let [_, tests, _] = cells.as_slice() else { return None };
    let is_name = |text: &&str| text.chars().all(|symbol| symbol.is_alphanumeric() || symbol == '_');
    Some(tests.split('`').skip(1).step_by(2).filter(is_name).collect())
}

/// `s0_6_s1_4_a_key_…` → S0-6, S1-4.
fn checks_of(test: &str) -> Vec<String> {
    let parts: Vec<&str> = test.split('_').collect();
    let mut checks = Vec::new();
    for pair in parts.chunks(2) {
        let [seed, number] = pair else { break };
        let document =
            seed.strip_prefix('s').filter(|digit| digit.len() == 1 && digit.bytes().all(|byte| byte.is_ascii_digit()));
        let (Some(document), true) = (document, number.bytes().all(|byte| byte.is_ascii_digit())) else { break };
        checks.push(format!("S{document}-{number}"));
    }
    checks
}

/// `| S0-4 | promise | `test` (file) · … |`
fn check_row(line: &str) -> Option<(&str, Vec<&str>)> {
    let mut cells = line.split('|').map(str::trim).skip(1);
    let check = cells.next().filter(|cell| cell.starts_with('S') && cell.contains('-'))?;
    Some((check, cells.nth(1)?.split('`').skip(1).step_by(2).collect()))
}

#[cfg(test)]
mod tests {
    use super::{bug_row, bug_switch, catalogue_code, check_row, checks_of, proof_row};

    #[test]
    fn switches_and_rows_of_seeded_bugs_are_told_from_other_lines() {
        assert_eq!(bug_switch(r#"        "lease_from_reply" => LEASE_FROM_REPLY,"#), Some("lease_from_reply"));
        assert_eq!(bug_switch(r#"  "charge_on_retry" => claviger_gateway::bugs::plant(),"#), Some("charge_on_retry"));
        assert_eq!(bug_switch(r#"        "" => {}"#), None);
        assert_eq!(bug_row("| `a` | what | `caught` and more |"), Some(["a", "caught"]));
        assert_eq!(bug_row("| | the same | `caught` |"), Some(["", "caught"]));
        assert_eq!(bug_row("| | **Group** | |"), None);
        assert_eq!(bug_row("|--|--|--|"), None);
    }

    #[test]
    fn rows_of_the_catalogue_are_told_from_other_lines() {
        assert_eq!(
            catalogue_code(r#"    NotFound = "not_found", 404, "x", Caller, Retry::Unsaid, "Not found.";"#),
            Some("not_found")
        );
        assert_eq!(catalogue_code(r#"    Rejected = "", 400, "x", Caller, Retry::Unsaid, "No.";"#), None);
        assert_eq!(catalogue_code(r#"    let text = "a", 4"#), None);
    }

    #[test]
    fn tests_are_read_from_rows_of_proofs() {
        assert_eq!(proof_row("| what | `one`, `other` | e2e |"), Some(vec!["one", "other"]));
        assert_eq!(proof_row("| promise | test | package |"), Some(vec![]));
        assert_eq!(proof_row("`not` a row"), None);
    }

    #[test]
    fn checks_are_read_from_names_and_rows() {
        assert_eq!(checks_of("s0_6_s1_14_a_key_of_s3_2"), ["S0-6", "S1-14"]);
        assert_eq!(checks_of("sdks_0_1"), Vec::<String>::new());
        assert_eq!(check_row("| S0-4 | a name | `s0_4_a` (b.rs) · `c` |"), Some(("S0-4", vec!["s0_4_a", "c"])));
        assert_eq!(check_row("| check | promise | tests |"), None);
    }
}
