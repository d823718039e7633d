//! What only the operator of the instance may do.

use super::shape::{Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const MADE_KEY: Object =
    object("SetUpKey", &[must("id", Shape::Text), must("name", Shape::Text), must("value", Shape::Text)]);

const SET_UP: Object = object(
    "SetUp",
    &[
        must("organization", Shape::Text),
        must("email", Shape::Text),
        must("password", Shape::Text),
        may("credit", Shape::Amount),
        may("key", Shape::Text),
    ],
);

/// Open: what a set-up makes is told by more members as there is more to make.
const SET_UP_DONE: Object = Object {
    name: "SetUpDone",
    fields: &[
        must("object", Shape::Is("setup")),
        must("organization", Shape::Any),
        must("owner", Shape::Any),
        must("admin_key", Shape::Of(&MADE_KEY)),
        must("key", Shape::OrNull(&Shape::Of(&MADE_KEY))),
        must("credit", Shape::OrNull(&Shape::Amount)),
        must("console", Shape::Text),
    ],
    is_open: true,
};

const GRANT: Object = object(
    "CreateGrant",
    &[must("organization", Shape::Text), must("amount", Shape::Amount), must("reason", Shape::Text)],
);

const GRANTED: Object = object(
    "Grant",
    &[
        must("object", Shape::Is("grant")),
        must("id", Shape::Text),
        must("organization", Shape::Text),
        must("amount", Shape::Amount),
        must("currency", Shape::Text),
        must("reason", Shape::Text),
        must("created_at", Shape::Time),
        must("balance", Shape::Amount),
    ],
);

const LEDGER: Object = object(
    "LedgerReport",
    &[
        must("object", Shape::Is("ledger.report")),
        must("ok", Shape::Flag),
        must("transfers", Shape::Whole),
        must("organizations", Shape::Whole),
        must("faults", Shape::Many(&Shape::Text)),
    ],
);

const IN_DOUBT: Object = object(
    "InDoubt",
    &[
        must("object", Shape::Is("ledger.in_doubt")),
        must("id", Shape::Text),
        must("organization", Shape::Text),
        must("charge", Shape::Amount),
        must("created_at", Shape::Time),
    ],
);

const JOB: Object = object(
    "Job",
    &[
        must("object", Shape::Is("job")),
        must("id", Shape::Text),
        must("period_seconds", Shape::Whole),
        must("last_success", Shape::OrNull(&Shape::Time)),
        must("done", Shape::Whole),
        must("has_backlog", Shape::Flag),
        must("last_error", Shape::OrNull(&Shape::Text)),
    ],
);

const RELOAD: Object = object("ReloadConfiguration", &[may("check", Shape::Flag)]);

const RELOADED: Object = object(
    "Configuration",
    &[
        must("object", Shape::Is("configuration")),
        must("in_force", Shape::Flag),
        must("models_added", Shape::Many(&Shape::Text)),
        must("models_removed", Shape::Many(&Shape::Text)),
        must("models_changed", Shape::Many(&Shape::Text)),
    ],
);

const REBUILT: Object =
    object("RebuiltUsage", &[must("object", Shape::Is("usage.rebuilt")), must("records", Shape::Whole)]);

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::SetUp => {
            Description::of("Set the first organization up, once.", Reply::One(&SET_UP_DONE)).taking(&SET_UP)
        }
        Operation::CreateGrant => Description::of("Fund a wallet.", Reply::One(&GRANTED)).taking(&GRANT),
        Operation::VerifyLedger => Description::of("Prove the ledger again from zero.", Reply::One(&LEDGER)),
        Operation::RebuildUsage => {
            Description::of("Make all sums of usage again from the records.", Reply::One(&REBUILT))
        }
        Operation::ListJobs => Description::of("How jobs fare.", Reply::List(&JOB)),
        Operation::ReloadConfiguration => Description::of(
            "Have this node read providers, models, routes and prices again; with check, only say what would change.",
            Reply::One(&RELOADED),
        )
        .taking(&RELOAD),
        Operation::RunJob => Description::of("Run a job now.", Reply::One(&JOB)),
        _ => Description::of("Charges whose delivery is unknown.", Reply::List(&IN_DOUBT)),
    }
}
