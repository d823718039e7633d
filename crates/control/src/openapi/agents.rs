//! Agents, which this surface calls service accounts.

use super::environments::ASK;
use super::keys::CONFIRMATION;
use super::shape::{Object, PAGE, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

/// Roles as this surface names them: `member` is a developer, `reader` a viewer.
const ROLE: Shape = Shape::Word(&["owner", "admin", "member", "billing", "reader", "none"]);

/// The members of an agent, and with them those of replies that add some.
macro_rules! agent_object {
    ($name:literal $(, $more:expr)*) => {
        object($name, &[
            must("object", Shape::Is("organization.project.service_account")),
            must("id", Shape::Text),
            must("name", Shape::Text),
            must("role", ROLE),
            must("environment_id", Shape::Text),
            must("created_at", Shape::Time),
            must("ended_at", Shape::OrNull(&Shape::Time)),
            must("version", Shape::Whole),
            $($more,)*
        ])
    };
}

const KEY: Object = object(
    "ServiceAccountKey",
    &[
        must("object", Shape::Is("organization.project.service_account.api_key")),
        must("id", Shape::Text),
        must("name", Shape::Text),
        may("value", Shape::Text),
        must("created_at", Shape::Time),
        must("expires_at", Shape::OrNull(&Shape::Time)),
        may("reissue_until", Shape::Time),
    ],
);

const AGENT: Object = agent_object!("ServiceAccount");
const CREATED: Object = agent_object!("CreatedServiceAccount", must("api_key", Shape::OrNull(&Shape::Of(&KEY))));

const CREATE: Object = object(
    "CreateServiceAccount",
    &[
        must("name", Shape::Text),
        may("role", ROLE),
        may("create_service_account_only", Shape::Flag),
        may("expires_in_seconds", Shape::Whole),
        may("source_tag", Shape::Text),
    ],
);

const UPDATE: Object = object("UpdateServiceAccount", &[may("name", Shape::Text), may("role", ROLE)]);

const CREATE_KEY: Object = object(
    "CreateServiceAccountKey",
    &[may("name", Shape::Text), may("expires_in_seconds", Shape::Whole), may("source_tag", Shape::Text)],
);

const NUMBER: Shape = Shape::OrNull(&Shape::Whole);

const TRUST: Object = object(
    "Trust",
    &[
        must("object", Shape::Is("organization.project.service_account.trust")),
        must("id", Shape::Text),
        must("service_account_id", Shape::Text),
        must("issuer", Shape::Text),
        must("audience", Shape::Text),
        must("subject", Shape::Text),
        must("claims", Shape::Map(&Shape::Text)),
        must("ttl_seconds", Shape::Whole),
        must("single_use", Shape::Flag),
        must("source_tag", Shape::OrNull(&Shape::Text)),
        must("limits", Shape::Of(&TRUST_LIMITS)),
        must("policy", Shape::Any),
        must("created_at", Shape::Time),
        must("created_by", Shape::Text),
    ],
);

const TRUST_LIMITS: Object = object(
    "TrustLimits",
    &[must("rpm", NUMBER), must("tpm", NUMBER), must("concurrency", NUMBER), must("burst", NUMBER)],
);

const CREATE_TRUST: Object = object(
    "CreateTrust",
    &[
        must("issuer", Shape::Text),
        must("audience", Shape::Text),
        must("subject", Shape::Text),
        may("claims", Shape::Map(&Shape::Text)),
        may("ttl_seconds", Shape::Whole),
        may("single_use", Shape::Flag),
        may("source_tag", Shape::OrNull(&Shape::Text)),
        may("limits", Shape::Any),
        may("policy", Shape::Any),
        may("shadow", Shape::Any),
    ],
);

const TRUST_DELETED: Object = object(
    "DeletedTrust",
    &[
        must("object", Shape::Is("organization.project.service_account.trust.deleted")),
        must("id", Shape::Text),
        must("deleted", Shape::Flag),
        must("confirmation", Shape::Of(&CONFIRMATION)),
    ],
);

const EXCHANGE: Object = object("ExchangeToken", &[must("token", Shape::Text), may("service_account_id", Shape::Text)]);

const EXCHANGED: Object = object(
    "ExchangedKey",
    &[
        must("object", Shape::Is("organization.project.service_account.api_key")),
        must("id", Shape::Text),
        must("name", Shape::Text),
        must("value", Shape::Text),
        must("created_at", Shape::Time),
        must("expires_at", Shape::OrNull(&Shape::Time)),
        must("service_account_id", Shape::Text),
        must("project_id", Shape::Text),
    ],
);

const DELETED: Object = object(
    "DeletedServiceAccount",
    &[
        must("object", Shape::Is("organization.project.service_account.deleted")),
        must("id", Shape::Text),
        must("deleted", Shape::Flag),
        must("confirmation", Shape::Of(&CONFIRMATION)),
    ],
);

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::ListAgents => Description::of("List service accounts.", Reply::List(&AGENT)).asking(PAGE),
        Operation::CreateAgent => {
            let summary = "Make a service account, with its first key unless told otherwise.";
            Description::of(summary, Reply::One(&CREATED)).taking(&CREATE)
        }
        Operation::UpdateAgent => Description::of("Change a service account.", Reply::One(&AGENT)).taking(&UPDATE),
        Operation::DeleteAgent => {
            Description::of("End a service account; its keys are revoked with it.", Reply::One(&DELETED))
        }
        Operation::CreateAgentKey => {
            Description::of("Make a key that a service account owns.", Reply::One(&KEY)).taking(&CREATE_KEY)
        }
        Operation::ListTrusts => Description::of("List whom it trusts.", Reply::List(&TRUST)).asking(PAGE),
        Operation::CreateTrust => {
            let summary = "Let tokens of an issuer become short-lived keys of it.";
            Description::of(summary, Reply::One(&TRUST)).taking(&CREATE_TRUST)
        }
        Operation::DeleteTrust => {
            Description::of("End a trust; the keys that came from it are revoked with it.", Reply::One(&TRUST_DELETED))
        }
        Operation::ExchangeToken => {
            let summary = "A token of an issuer that a service account trusts becomes a short-lived key.";
            Description::of(summary, Reply::One(&EXCHANGED)).taking(&EXCHANGE)
        }
        Operation::AskAgents => {
            Description::of("List service accounts, asked by a body.", Reply::List(&AGENT)).taking(&ASK)
        }
        _ => Description::of("Read a service account.", Reply::One(&AGENT)),
    }
}
