//! The harness of the end-to-end tests: the real binary, the real SDKs, real sockets and signals.
//!
//! It knows Claviger only from outside: its command line, its configuration file and its HTTP interfaces. Nothing of our
//! crates is linked, so a test cannot agree with a bug by sharing its code. A world is one server with its data
//! directory and one scripted upstream; whatever it started ends with it, by process id.
#![expect(clippy::disallowed_methods, reason = "tests are drivers: they read the clock and start tasks themselves")]

mod browser;
mod calls;
mod checker;
mod client;
mod counting;
pub mod evidence;
pub mod issuer;
mod mail_server;
mod plan;
mod ports;
mod program;
mod raw;
mod script;
mod tap;
mod upstream;
mod world;

pub use browser::Browser;
pub use calls::{chat, refused, text};
pub use checker::{Expected, Fact, check_books};
pub use client::{Answer, Client, Events};
pub use counting::{Counting, Understood};
pub use issuer::Issuer;
pub use mail_server::{MailServer, Received};
pub use plan::{Engine, Plan};
pub use program::{Program, Ran, binary, workspace_root};
pub use raw::{Fate, Raw, RawAnswer};
pub use script::{Script, node, node_program, python, rust_client, venv_program};
pub use tap::Tap;
pub use upstream::{Seen, Upstream};
pub use world::{World, postgres_url};

/// What a step of a test may fail with; shown as it is.
pub type Result<T> = anyhow::Result<T>;

/// The price of `text` in the simulator's tokens: four Unicode scalar values each, the last may be shorter.
pub fn tokens(text: &str) -> u64 {
    u64::try_from(text.chars().count().div_ceil(4)).unwrap_or(u64::MAX)
}

/// Charge in nano-units for token prices given in nano per million, rounded up once.
pub fn token_cost(input: u64, input_price: u64, output: u64, output_price: u64) -> i64 {
    let sum = u128::from(input) * u128::from(input_price) + u128::from(output) * u128::from(output_price);
    i64::try_from(sum.div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

/// An address of this machine on which nobody listens.
///
/// # Errors
/// When every port is taken.
pub fn free_address() -> Result<String> {
    Ok(format!("127.0.0.1:{}", ports::free()?))
}

/// The moment, for measuring how long something took.
pub fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Whether this is the long run.
pub fn is_long_run() -> bool {
    std::env::var_os("CLAVIGER_TEST_LONG").is_some()
}

/// Waits until `probe` gives something, looking every 20 ms.
///
/// # Errors
/// After `seconds` without.
pub async fn eventually<T, F>(seconds: u64, what: &str, mut probe: F) -> Result<T>
where
    F: AsyncFnMut() -> Result<Option<T>>,
{
    let end = std::time::Instant::now() + std::time::Duration::from_secs(seconds);
    loop {
        if let Some(found) = probe().await? {
            return Ok(found);
        }
        anyhow::ensure!(std::time::Instant::now() < end, "{what}: not within {seconds} s");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
