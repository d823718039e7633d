//! The bench: a load generator and a runner that compares Claviger with nginx on the same machine in the same minute.
//!
//! One program, so that nothing but Debian's nginx is needed beside it. `run` (the default) starts everything and
//! prints the table; `load`, `sse` and `hold` are the generators it starts on a core of their own, each of which
//! prints JSON lines. Every address is a loopback address: anything else is refused. `docs/performance.md` tells the method.

mod arguments;
mod call;
mod clock;
mod latency;
mod load;
mod reply;
mod runner;

use std::process::ExitCode;

use anyhow::bail;
use arguments::Arguments;

const HELP: &str = "\
claviger-bench [run] [--rounds N] [--seconds S] [--quick] [--only direct,nginx,claviger,claviger-free] [--claviger PATH]
               [--streams 1000,5000|none] [--dir DIR] [--markdown FILE] [--keep]
claviger-bench load --url U --model M --keys-file F --connections N --seconds S [--ask chat|embeddings|form]    closed loop
claviger-bench load --url U --model M --keys-file F --rate R --connections N --seconds S    open loop
claviger-bench sse  --url U --model M --keys-file F --rate R --connections N --seconds S    open loop on streams
claviger-bench keys [--keys N] [--postgres URL] [--only sqlite|postgres] [--claviger PATH]  a million keys beside a thousand
claviger-bench nodes --postgres URL [--revokes N] [--rate R] [--claviger PATH]              revocations over three nodes
claviger-bench wire [--rounds N] [--seconds S]                                              streams, vectors and forms beside nginx
claviger-bench hold --url U --model M --keys-file F --streams N --ramp R --seconds S        open streams and keep them";

fn main() -> ExitCode {
    match dispatch(Arguments::from_command_line()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Exit code 0: every floor met; 1: a floor missed; 2: the bench itself failed.
fn dispatch(mut arguments: Arguments) -> anyhow::Result<ExitCode> {
    let verb = arguments.verb().unwrap_or_else(|| "run".to_owned());
    match verb.as_str() {
        "run" => return runner::run(arguments),
        "load" if arguments.is_given("rate") => println!("{}", load::open::run(arguments, load::Answer::Json)?),
        "load" => println!("{}", load::closed::run(arguments)?),
        "sse" => println!("{}", load::open::run(arguments, load::Answer::Stream)?),
        "keys" => runner::keys::run(arguments)?,
        "nodes" => runner::nodes::run(arguments)?,
        "wire" => runner::wire::run(arguments)?,
        "hold" => load::hold::run(arguments)?,
        "help" => println!("{HELP}"),
        other => bail!("no command named {other:?}\n{HELP}"),
    }
    Ok(ExitCode::SUCCESS)
}
