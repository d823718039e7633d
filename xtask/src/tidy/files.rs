//! Every source file says what it is, and none is named after a drawer.

use super::Fault;
use crate::workspace::{self, Outcome};

const DRAWERS: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "types"];

/// Lines of the longest header; behind that it is a page and belongs into docs/.
const HEADER_LINES_MAX: usize = 40;

pub(super) fn check() -> Outcome<Vec<Fault>> {
    let mut faults = Vec::new();
    for path in workspace::files(".", ".rs")? {
        let text = workspace::read(&path)?;
        let header = text.lines().take_while(|line| line.starts_with("//!")).count();
        if header == 0 {
            faults.push(format!("{path}: begins without `//!`: say what it is and what it refuses to know"));
        }
        if header > HEADER_LINES_MAX {
            faults.push(format!("{path}: a header of {header} lines is a page: move it to docs/"));
        }
        for part in path.split('/') {
            let stem = part.split('.').next().unwrap_or_default();
            if DRAWERS.contains(&stem) {
                faults.push(format!(
                    "{path}: a name like `{stem}` collects what has no home; name it by what it answers"
                ));
            }
        }
    }
    Ok(faults)
}
