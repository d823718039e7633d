//! Every SQL text of the acts, by name, so that a test prepares each on both engines.

/// Declares SQL texts beside the acts that use them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*
        pub(crate) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name),)*];
    };
}
pub(crate) use statements;

/// All of them. Texts of one engine only are listed by that engine (`engine/mod.rs`).
pub(crate) fn all() -> impl Iterator<Item = (&'static str, String)> {
    let fixed = [
        crate::agents::STATEMENTS,
        crate::audit::STATEMENTS,
        crate::audit::confirmations::STATEMENTS,
        crate::audit::security::STATEMENTS,
        crate::environments::STATEMENTS,
        crate::epochs::STATEMENTS,
        crate::key_ends::STATEMENTS,
        crate::keys::STATEMENTS,
        crate::keys::CALLERS,
        crate::keys::CREATION,
        crate::keys::ENDS,
        crate::keys::SPIKES,
        crate::keys::EXCHANGES,
        crate::keys::FORGETTING,
        crate::keys::IMPORTS,
        crate::keys::LEAKS,
        crate::keys::POSSESSION,
        crate::keys::USES,
        crate::keys::WRITES,
        crate::leases::STATEMENTS,
        crate::ledger::STATEMENTS,
        crate::links::STATEMENTS,
        crate::inference_replay::STATEMENTS,
        crate::invites::STATEMENTS,
        crate::members::STATEMENTS,
        crate::nodes::STATEMENTS,
        crate::notices::STATEMENTS,
        crate::identities::STATEMENTS,
        crate::passkeys::STATEMENTS,
        crate::people::STATEMENTS,
        crate::organizations::STATEMENTS,
        crate::owners::STATEMENTS,
        crate::peppers::STATEMENTS,
        crate::prices::STATEMENTS,
        crate::providers::STATEMENTS,
        crate::rate_limits::STATEMENTS,
        crate::recovery::STATEMENTS,
        crate::refusals::STATEMENTS,
        crate::registries::STATEMENTS,
        crate::replay::STATEMENTS,
        crate::requests::STATEMENTS,
        crate::seats::STATEMENTS,
        crate::sessions::STATEMENTS,
        crate::setup::STATEMENTS,
        crate::shared_rates::STATEMENTS,
        crate::tasks::STATEMENTS,
        crate::tasks::MONEY,
        crate::tasks::ROWS,
        crate::tenancy::STATEMENTS,
        crate::trusts::STATEMENTS,
        crate::verify::STATEMENTS,
    ];
    fixed.into_iter().flatten().map(|(name, sql)| (*name, (*sql).to_owned())).chain(built())
}

/// Those that are made at run time.
fn built() -> impl Iterator<Item = (&'static str, String)> {
    let built = [
        crate::keys::built(),
        crate::requests::built(),
        crate::verify::built(),
        crate::agents::built(),
        crate::audit::built(),
        crate::invites::built(),
        crate::members::built(),
        crate::people::built(),
        crate::environments::built(),
        crate::organizations::built(),
        crate::providers::built(),
        crate::registries::built(),
        crate::tasks::built(),
        crate::trusts::built(),
        crate::rollups::built(),
        crate::usage::built(),
        crate::recovery::built(),
    ];
    built.into_iter().flatten()
}
