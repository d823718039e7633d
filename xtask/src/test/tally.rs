//! Counts what passed and what failed, and prints the one line that scripts read.

use crate::workspace::Outcome;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// The running sum; a gate counts as one test, a skipped test as a failed one.
#[derive(Default)]
pub(super) struct Tally {
    passed: u64,
    failed: u64,
    complaints: Vec<String>,
}

impl Tally {
    /// Runs one gate.
    pub(super) fn gate(&mut self, name: &str, check: impl FnOnce() -> Outcome<()>) {
        let begun = super::now();
        match check() {
            Ok(()) => {
                self.passed += 1;
                eprintln!("gate {name}: passed in {} s", begun.elapsed().as_secs());
            }
            Err(message) => self.failed(name, &message),
        }
    }

    /// Notes one failure.
    pub(super) fn failed(&mut self, name: &str, message: &str) {
        self.failed += 1;
        eprintln!("{name}: {message}");
        self.complaints.push(format!("{name}: {}", message.lines().next().unwrap_or_default()));
    }

    /// Runs the test runner, shows its output and counts its results. When everything was asked for, a skipped test is a
    /// failed one.
    ///
    /// # Errors
    /// When it does not start, or ends badly without having reported a failed test: it did not compile.
    pub(super) fn tests(&mut self, command: &mut Command, is_nextest: bool, is_whole: bool) -> Outcome<()> {
        // nextest reports on stderr, cargo test on stdout; the other one goes straight to the terminal.
        if is_nextest {
            command.stderr(Stdio::piped())
        } else {
            command.stdout(Stdio::piped())
        };
        let mut child = command.spawn().map_err(|error| format!("the test runner did not start: {error}"))?;
        let before = self.failed;
        let piped: Option<Box<dyn std::io::Read>> = match (child.stderr.take(), child.stdout.take()) {
            (Some(stderr), _) => Some(Box::new(stderr)),
            (None, Some(stdout)) => Some(Box::new(stdout)),
            (None, None) => None,
        };
        for line in piped.into_iter().flat_map(|pipe| BufReader::new(pipe).lines()).map_while(Result::ok) {
            println!("{line}");
            let counts = if is_nextest { nextest_summary(&line) } else { cargo_summary(&line) };
            if let Some(counts) = counts {
                self.passed += counts.passed;
                self.failed += counts.failed;
                if is_whole && counts.skipped > 0 {
                    self.failed += counts.skipped;
                    self.complaints.push(format!("{} tests were skipped", counts.skipped));
                }
            }
        }
        let status = child.wait().map_err(|error| format!("the test runner was lost: {error}"))?;
        if !status.success() && self.failed == before {
            return Err(format!("the test runner ended with {status} and without a result"));
        }
        Ok(())
    }

    /// Prints the complaints again and the final line.
    pub(super) fn finish(self) -> Outcome<()> {
        for complaint in &self.complaints {
            println!("failed: {complaint}");
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { Ok(()) } else { Err("not everything passed".to_owned()) }
    }
}

/// What one line of a runner adds up.
#[derive(Debug, PartialEq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// `Summary [   1.2s] 12/14 tests run: 10 passed (1 slow), 1 failed, 1 timed out, 2 skipped`.
fn nextest_summary(line: &str) -> Option<Counts> {
    let counts = line.trim().strip_prefix("Summary [")?.split_once("run:")?.1;
    let count = |word| number_before(counts, word);
    let failed = count("failed") + count("timed out") + count("exec failed");
    Some(Counts { passed: count("passed"), failed, skipped: count("skipped") })
}

/// `test result: ok. 10 passed; 0 failed; 1 ignored; …`.
fn cargo_summary(line: &str) -> Option<Counts> {
    let counts = line.strip_prefix("test result: ")?;
    let count = |word| number_before(counts, word);
    Some(Counts { passed: count("passed"), failed: count("failed"), skipped: count("ignored") })
}

fn number_before(text: &str, word: &str) -> u64 {
    let Some(at) = text.find(word) else { return 0 };
    let digits: String = text[..at].trim_end().chars().rev().take_while(char::is_ascii_digit).collect();
    digits.chars().rev().collect::<String>().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_runners_are_understood() {
        let counts = |passed, failed, skipped| Some(Counts { passed, failed, skipped });
        assert_eq!(nextest_summary("     Summary [   0.012s] 14 tests run: 14 passed, 0 skipped"), counts(14, 0, 0));
        assert_eq!(
            nextest_summary("  Summary [ 90.1s] 12/14 tests run: 9 passed (1 slow), 2 failed, 1 timed out, 3 skipped"),
            counts(9, 3, 3)
        );
        assert_eq!(
            cargo_summary("test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out"),
            counts(10, 2, 1)
        );
        assert_eq!(cargo_summary("running 4 tests"), None);
    }
}
