//! The organization, what it asks of its keys, and what the operator does with it.

use super::keys::{CONFIRMATION, WHY};
use super::shape::{Object, PAGE, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const COUNT_OR_NULL: Shape = Shape::OrNull(&Shape::Whole);
const TEXT_OR_NULL: Shape = Shape::OrNull(&Shape::Text);

/// The members of the organization, and with them those of replies that add some.
macro_rules! organization_object {
    ($name:literal $(, $more:expr)*) => {
        object($name, &[
            must("object", Shape::Is("organization")),
            must("id", Shape::Text),
            must("slug", Shape::Text),
            must("name", Shape::Text),
            must("state", Shape::Word(&["setup", "active", "suspended", "closed"])),
            must("reason", TEXT_OR_NULL),
            must("reporting_zone", Shape::Text),
            must("max_keys", Shape::Whole),
            must("live_keys", Shape::Whole),
            must("key_prefix", TEXT_OR_NULL),
            must("default_environment_id", Shape::Text),
            must("created_at", Shape::Time),
            must("version", Shape::Whole),
            $($more,)*
        ])
    };
}

const ORGANIZATION: Object = organization_object!("Organization");
const MOVED: Object = organization_object!("MovedOrganization", must("confirmation", Shape::Of(&CONFIRMATION)));

const UPDATE: Object = object(
    "UpdateOrganization",
    &[may("name", Shape::Text), may("slug", Shape::Text), may("reporting_zone", Shape::Text)],
);

const CLOSE: Object = object("CloseOrganization", &[must("slug", Shape::Text), may("reason", Shape::Text)]);

const CREATE: Object = object(
    "CreateOrganization",
    &[
        must("name", Shape::Text),
        may("slug", Shape::Text),
        may("max_keys", Shape::Whole),
        may("key_prefix", TEXT_OR_NULL),
    ],
);

const BOUND: Object = object("BoundOrganization", &[may("max_keys", Shape::Whole), may("key_prefix", TEXT_OR_NULL)]);

const CREATORS: Shape = Shape::Word(&["owners", "admins", "developers"]);
const LEAK_ACTION: Shape = Shape::Word(&["revoke", "notify"]);
const NETWORKS: Shape = Shape::OrNull(&Shape::Many(&Shape::Text));

/// The members of the policy, and with them those of replies that add some.
macro_rules! policy_object {
    ($name:literal $(, $more:expr)*) => {
        object($name, &[
            must("object", Shape::Is("organization.policy")),
            must("creators", CREATORS),
            must("max_lifetime_days", COUNT_OR_NULL),
            must("max_lifetime_binds_at", Shape::OrNull(&Shape::Time)),
            must("suggested_expiry_days", COUNT_OR_NULL),
            must("require_source_tag", Shape::Flag),
            must("allowed_ips", NETWORKS),
            must("leak_action", LEAK_ACTION),
            must("finish_when_quiet_hours", COUNT_OR_NULL),
            must("developers_see_all", Shape::Flag),
            must("version", Shape::Whole),
            $($more,)*
        ])
    };
}

const STOP: Object =
    object("StoppedKey", &[must("id", Shape::Text), must("name", Shape::Text), must("stops_at", Shape::Time)]);

const POLICY: Object = policy_object!("Policy");
const UPDATED_POLICY: Object = policy_object!(
    "UpdatedPolicy",
    must("dry_run", Shape::Flag),
    must("stops", Shape::Many(&Shape::Of(&STOP))),
    must("excludes_your_address", Shape::Flag),
    must("confirmation", Shape::OrNull(&Shape::Of(&CONFIRMATION)))
);

const UPDATE_POLICY: Object = object(
    "UpdatePolicy",
    &[
        may("dry_run", Shape::Flag),
        may("creators", CREATORS),
        may("max_lifetime_days", COUNT_OR_NULL),
        may("max_lifetime_grace_days", Shape::Whole),
        may("suggested_expiry_days", COUNT_OR_NULL),
        may("require_source_tag", Shape::Flag),
        may("allowed_ips", NETWORKS),
        may("leak_action", LEAK_ACTION),
        may("finish_when_quiet_hours", COUNT_OR_NULL),
        may("developers_see_all", Shape::Flag),
    ],
);

pub(super) fn describe(operation: Operation) -> Description {
    let one = |summary| Description::of(summary, Reply::One(&ORGANIZATION));
    let moved = |summary| Description::of(summary, Reply::One(&MOVED)).taking(&WHY);
    match operation {
        Operation::UpdateOrganization => one("Change the name, slug or reporting zone.").taking(&UPDATE),
        Operation::GetPolicy => Description::of("What the organization asks of its keys.", Reply::One(&POLICY)),
        Operation::UpdatePolicy => {
            let summary = "Change what the organization asks of its keys; the reply lists what it stops.";
            Description::of(summary, Reply::One(&UPDATED_POLICY)).taking(&UPDATE_POLICY)
        }
        Operation::CloseOrganization => {
            Description::of("Close the organization, for ever.", Reply::One(&MOVED)).taking(&CLOSE)
        }
        Operation::ListOrganizations => {
            Description::of("Every organization of the instance.", Reply::List(&ORGANIZATION)).asking(PAGE)
        }
        Operation::CreateOrganization => one("Make an organization.").taking(&CREATE),
        Operation::ReadOrganization => one("Read any organization."),
        Operation::BoundOrganization => one("Change an organization's bounds.").taking(&BOUND),
        Operation::SuspendOrganization => moved("Suspend an organization."),
        Operation::ResumeOrganization => moved("Resume a suspended organization."),
        Operation::EndOrganization => moved("Close an organization, for ever."),
        _ => one("The organization itself."),
    }
}
