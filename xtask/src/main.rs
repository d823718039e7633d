//! `cargo xtask <command>`: the two commands of a fresh machine and the few around them.
//!
//! Standard library only: the first command must not compile a dependency tree before it does anything. Knows cargo,
//! files and processes; knows nothing of our crates' insides except what `tidy` reads as text.

mod bench;
mod json;
mod openapi;
mod run;
mod rust_text;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask run  [serve arguments]      build, then serve on a fresh data directory below target/
cargo xtask test [--long] [filter]      install and start what the tests need, then run everything (or what matches)
cargo xtask tidy                        the rules that no compiler keeps
cargo xtask openapi                     write docs/openapi.json from the endpoint table
cargo xtask bench [arguments]           the release binary beside nginx, in one table
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("run") => run::run(rest),
        Some("test") => test::run(rest),
        Some("tidy") => tidy::run(),
        Some("openapi") => openapi::run(),
        Some("bench") => bench::run(rest),
        Some("help" | "--help" | "-h") | None => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("there is no command `{other}`\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
