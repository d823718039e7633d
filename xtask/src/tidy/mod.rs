//! `cargo xtask tidy`: the rules of ARCHITECTURE.md, "Fences", that no compiler keeps.
//!
//! Each rule is one function from the tree to a list of faults; a fault names its place and what to do instead.

mod bans;
mod edges;
mod fences;
mod files;
mod lengths;
mod promises;

use crate::workspace::Outcome;

/// One broken rule.
pub(crate) type Fault = String;

type Rule = fn() -> Outcome<Vec<Fault>>;

const RULES: &[(&str, Rule)] = &[
    ("crate edges", edges::check),
    ("every dependency is used", edges::unused),
    ("lint attributes of strict crates", fences::lint_attributes),
    ("file headers and names", files::check),
    ("lengths of files and functions", lengths::check),
    ("no JSON tree on the request path", fences::json_trees),
    ("SQL lives in storage", fences::sql_text),
    ("every storage act is in the conformance suite", promises::storage_suite),
    ("every public error has its entry in docs/errors.md", promises::error_pages),
    ("every seeded bug has its test in docs/seeded-bugs.md", promises::seeded_bugs),
    ("every seed check names its tests", promises::seed_checks),
    ("every promise of docs/proof.md names its tests", promises::proofs),
    ("every ban of clippy.toml fires", bans::check),
];

/// Runs every rule and prints what is broken.
pub(crate) fn run() -> Outcome<()> {
    let mut broken = 0_usize;
    for (name, rule) in RULES {
        let faults = rule()?;
        if faults.is_empty() {
            println!("tidy: {name}");
        }
        for fault in &faults {
            eprintln!("tidy: {name}: {fault}");
        }
        broken += faults.len();
    }
    if broken == 0 { Ok(()) } else { Err(format!("tidy found {broken} faults")) }
}
