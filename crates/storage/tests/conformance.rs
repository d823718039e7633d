//! The conformance suite: the same acts, answers, orders and refusals on both engines.
//!
//! Every test takes the engine as an argument and runs on both. Postgres is never skipped: without a cluster its half
//! fails, and says what starts one.
#![expect(clippy::disallowed_methods, reason = "tests of concurrency own their tasks")]

#[path = "conformance/audit.rs"]
mod audit;
#[path = "conformance/callers.rs"]
mod callers;
#[path = "conformance/charges.rs"]
mod charges;
#[path = "conformance/durability.rs"]
mod durability;
#[path = "conformance/ends.rs"]
mod ends;
#[path = "conformance/engine.rs"]
mod engine;
#[path = "conformance/identities.rs"]
mod identities;
#[path = "conformance/journal.rs"]
mod journal;
#[path = "conformance/judged.rs"]
mod judged;
#[path = "conformance/key_life.rs"]
mod key_life;
#[path = "conformance/keys.rs"]
mod keys;
#[path = "conformance/leaks.rs"]
mod leaks;
#[path = "conformance/leases.rs"]
mod leases;
#[path = "conformance/ledger.rs"]
mod ledger;
#[path = "conformance/limits.rs"]
mod limits;
#[path = "conformance/links.rs"]
mod links;
#[path = "conformance/members.rs"]
mod members;
#[path = "conformance/nodes.rs"]
mod nodes;
#[path = "conformance/notices.rs"]
mod notices;
#[path = "conformance/outage.rs"]
mod outage;
#[path = "conformance/people.rs"]
mod people;
#[path = "conformance/places.rs"]
mod places;
#[path = "conformance/possession.rs"]
mod possession;
#[path = "conformance/providers.rs"]
mod providers;
#[path = "conformance/proxy.rs"]
mod proxy;
#[path = "conformance/replays.rs"]
mod replays;
#[path = "conformance/requests.rs"]
mod requests;
#[path = "conformance/rights.rs"]
mod rights;
#[path = "conformance/rollups.rs"]
mod rollups;
#[path = "conformance/tasks.rs"]
mod tasks;
#[path = "conformance/tenancy.rs"]
mod tenancy;
#[path = "conformance/trusts.rs"]
mod trusts;
#[path = "conformance/world.rs"]
mod world;

/// Makes two tests of each promise, `promise::on_sqlite` and `promise::on_postgres`.
macro_rules! on_both_engines {
    ($($promise:ident,)*) => {$(
        mod $promise {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_sqlite() {
                super::$promise(claviger_storage::Engine::Sqlite).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_postgres() {
                super::$promise(claviger_storage::Engine::Postgres).await;
            }
        }
    )*};
}
pub(crate) use on_both_engines;
