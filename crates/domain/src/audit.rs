//! The audit record and its hash chain (`keys.md` §9).
//!
//! One gapless chain per organization and one for the instance: `hash = SHA-256(previous ‖ canonical record)`, the first
//! previous being 32 zero bytes, `mac = HMAC-SHA-256(audit key, hash)`. The canonical record is RFC 8785 JSON; addresses
//! and free text stand in it as salted digests, their values beside it, so that a person can be forgotten and the chain
//! still verifies. Where records are kept is not known here.

mod body;
mod chain;
mod checkpoint;
mod export;
mod key;

pub use body::{Personal, Unreadable};
pub use chain::{ChainCheck, ChainFault, Found};
pub use checkpoint::{Checkpoint, CheckpointFault, Head, PublicKey, Step};
pub use export::{ExportCheck, checkpoint_line, proof_line, read_checkpoint, record_line};
pub use key::AuditKey;

use crate::id::OrganizationId;
use crate::right::words;
use crate::time::Timestamp;
use std::fmt;
use std::str::FromStr;

words! {
    /// What was done; OpenAI's words where they exist.
    Action {
        /// A key was made.
        KeyCreated = "api_key.created";
        /// A key was changed.
        KeyUpdated = "api_key.updated";
        /// A key was revoked.
        KeyDeleted = "api_key.deleted";
        /// A key was disabled.
        KeyDisabled = "api_key.disabled";
        /// A key was enabled.
        KeyEnabled = "api_key.enabled";
        /// A key got a new secret.
        KeyRotated = "api_key.rotated";
        /// A lost value was replaced by another of the same number.
        KeyReissued = "api_key.reissued";
        /// One secret of a key was ended.
        SecretEnded = "api_key.secret_ended";
        /// A key of another system was taken over by its digest.
        KeyImported = "api_key.imported";
        /// A key was seen where others could read it.
        KeyExposed = "api_key.exposed";
        /// A key was used by somebody whom it did not know.
        KeyNewCaller = "api_key.new_caller";
        /// A key or secret that has ended was presented.
        EndedKeyUsed = "api_key.used_after_end";
        /// A key spends far more than it did.
        KeySpendSpike = "api_key.spend_spike";
        /// A canary key was presented.
        CanaryHit = "canary.hit";
        /// Keys found in public places were reported.
        LeakReported = "leak.reported";
        /// Audit records were exported.
        AuditExported = "audit.exported";
        /// Personal values beside audit records were erased.
        AuditErased = "audit.values_erased";
        /// Nodes said how a narrowing of rights came into force.
        RightsConfirmed = "rights.confirmed";
        /// Somebody signed in.
        LoginSucceeded = "login.succeeded";
        /// Somebody did not.
        LoginFailed = "login.failed";
        /// An organization was made.
        OrganizationCreated = "organization.created";
        /// An organization was named or changed.
        OrganizationUpdated = "organization.updated";
        /// A limit of an organization or environment was changed.
        RateLimitUpdated = "rate_limit.updated";
        /// What models an environment may call was changed.
        ModelPermissionsUpdated = "model_permissions.updated";
        /// An organization was suspended, resumed or closed.
        OrganizationState = "organization.state_changed";
        /// An environment was made.
        ProjectCreated = "project.created";
        /// An environment was renamed.
        ProjectUpdated = "project.updated";
        /// An environment was archived.
        ProjectArchived = "project.archived";
        /// An agent was made.
        ServiceAccountCreated = "service_account.created";
        /// An agent was changed.
        ServiceAccountUpdated = "service_account.updated";
        /// An agent was ended.
        ServiceAccountDeleted = "service_account.deleted";
        /// An agent came to trust an issuer's tokens.
        TrustCreated = "trust.created";
        /// It trusts them no more.
        TrustDeleted = "trust.deleted";
        /// A token that its issuer signed became no key.
        TrustRefused = "trust.refused";
        /// A registry was made.
        RegistryCreated = "registry.created";
        /// A registry was changed.
        RegistryUpdated = "registry.updated";
        /// A registry was ended.
        RegistryDeleted = "registry.deleted";
        /// A provider of an organization was made.
        ProviderCreated = "provider.created";
        /// A provider of an organization was changed.
        ProviderUpdated = "provider.updated";
        /// A provider of an organization was ended.
        ProviderDeleted = "provider.deleted";
        /// A person joined.
        UserAdded = "user.added";
        /// A person's role, state or rights changed.
        UserUpdated = "user.updated";
        /// A person left.
        UserDeleted = "user.deleted";
        /// Somebody was asked to join.
        InviteSent = "invite.sent";
        /// Somebody joined by an invite.
        InviteAccepted = "invite.accepted";
        /// An invite was taken back.
        InviteDeleted = "invite.deleted";
        /// A session was ended.
        SessionEnded = "session.ended";
        /// A password was set.
        PasswordChanged = "password.changed";
        /// A link to a new password was made by the operator.
        PasswordLinkCreated = "password.link_created";
        /// A link to the set-up was made by the operator.
        SetUpLinkCreated = "setup.link_created";
        /// An address was proved.
        EmailVerified = "email.verified";
        /// A passkey was added.
        PasskeyAdded = "passkey.added";
        /// A passkey was removed.
        PasskeyDeleted = "passkey.deleted";
        /// An account of an identity provider was linked to a person.
        IdentityLinked = "identity.linked";
        /// It was taken away again.
        IdentityUnlinked = "identity.unlinked";
        /// A sealed text was left for somebody.
        HandoverCreated = "handover.created";
        /// A sealed text was taken by its receiver.
        HandoverTaken = "handover.taken";
        /// The books of a dead node were closed: its credit went back.
        SeatClosed = "seat.closed";
        /// A node was told to leave.
        NodeDrained = "node.drained";
        /// Providers, models, routes and prices were read again from their files.
        ConfigurationReloaded = "configuration.reloaded";
        /// All sums of usage were forgotten, to be made again from the records.
        UsageRebuilt = "usage.rebuilt";
        /// A wallet was funded.
        GrantCreated = "grant.created";
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A person, by their id.
    User(String),
    /// A key of the organization, by its id.
    Key(String),
    /// An agent, by its id.
    Agent(String),
    /// An operator of the instance who signed in, by their user id.
    Operator(String),
    /// The operator at this machine.
    LocalOperator,
    /// The program itself: first start, jobs.
    System,
    /// Nobody known: an endpoint that asks for no credential.
    Nobody,
}

impl Actor {
    /// Kind and id as the record has them.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::User(id) => ("user", id),
            Self::Key(id) => ("key", id),
            Self::Agent(id) => ("agent", id),
            Self::Operator(id) => ("operator", id),
            Self::LocalOperator => ("operator", "local"),
            Self::System => ("system", "claviger"),
            Self::Nobody => ("nobody", ""),
        }
    }

    fn from_parts(kind: &str, id: &str) -> Option<Self> {
        Some(match (kind, id) {
            ("user", id) => Self::User(id.to_owned()),
            ("key", id) => Self::Key(id.to_owned()),
            ("agent", id) => Self::Agent(id.to_owned()),
            ("operator", "local") => Self::LocalOperator,
            ("operator", id) => Self::Operator(id.to_owned()),
            ("system", "claviger") => Self::System,
            ("nobody", "") => Self::Nobody,
            _ => return None,
        })
    }
}

/// Who did it, from where, in which request: what every administrative act brings along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// Who acts.
    pub actor: Actor,
    /// The credential: id of a key or of a session; empty for local acts.
    pub credential: String,
    /// The client's address, as text; empty for local acts.
    pub address: String,
    /// What the client calls itself: the beginning of its user agent; empty if it does not say.
    pub client: String,
    /// The request id of the act.
    pub request_id: String,
    /// When.
    pub at: Timestamp,
}

impl Attribution {
    /// An act of somebody at this machine, or of the program itself.
    pub fn local(actor: Actor, request_id: impl Into<String>, at: Timestamp) -> Self {
        let (credential, address, client) = (String::new(), String::new(), String::new());
        Self { actor, credential, address, client, request_id: request_id.into(), at }
    }
}

words! {
    /// How the act ended.
    Outcome {
        /// It was done.
        Succeeded = "succeeded";
        /// It was tried, and refused by a rule.
        Denied = "denied";
        /// It was tried with something wrong, such as a password.
        Failed = "failed";
    }
}

/// Whose chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Chain {
    /// The instance's own: what belongs to no organization.
    Instance,
    /// An organization's.
    Organization(OrganizationId),
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance => f.write_str("instance"),
            Self::Organization(id) => id.fmt(f),
        }
    }
}

impl FromStr for Chain {
    type Err = crate::id::MalformedId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "instance" { Ok(Self::Instance) } else { text.parse().map(Self::Organization) }
    }
}

/// One field that changed; never a secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldChange {
    /// The field.
    pub field: String,
    /// Its former value.
    pub from: Option<String>,
    /// Its new value.
    pub to: Option<String>,
}

/// How one node learned of a narrowing of rights. Members stand in the order of their names, as RFC 8785 wants them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmedNode {
    /// `acknowledged`, `silenced`.
    pub how: String,
    /// The node.
    pub id: String,
    /// Milliseconds after the act.
    pub ms: u64,
}

/// What was confirmed of a narrowing of rights (`keys.md` §6).
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmed {
    /// Whether running streams were cut.
    pub cut: bool,
    /// The epoch.
    pub epoch: i64,
    /// Every node.
    pub nodes: Vec<ConfirmedNode>,
    /// Requests that were running here.
    pub running_here: u64,
    /// Milliseconds from the act to the answer.
    pub took_ms: u64,
}

/// One administrative act, as it is recorded. Read back, an erased value is its salted digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its id as text.
    pub id: String,
    /// Whose chain.
    pub chain: Chain,
    /// Its place in the chain, from 1, without gaps.
    pub sequence: i64,
    /// Who, whence, when.
    pub attribution: Attribution,
    /// What.
    pub action: Action,
    /// How it ended.
    pub outcome: Outcome,
    /// The object's id.
    pub target: String,
    /// What changed.
    pub changes: Vec<FieldChange>,
    /// What nodes confirmed, in a record of its own behind the act's.
    pub confirmation: Option<Confirmed>,
}

/// A link of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The hash of the record before; 32 zero bytes for the first.
    pub previous: [u8; 32],
    /// This record's hash.
    pub hash: [u8; 32],
    /// `HMAC-SHA-256(audit key, hash)`.
    pub mac: [u8; 32],
}

/// A record ready to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its canonical text.
    pub body: String,
    /// Its place in the chain.
    pub link: Link,
    /// The values behind its digests.
    pub personal: Vec<Personal>,
}

/// The hash of the (missing) record before the first.
pub const CHAIN_START: [u8; 32] = [0; 32];

impl AuditRecord {
    /// Writes the record as it will stand behind `previous`.
    pub fn seal(&self, previous: [u8; 32], key: &AuditKey) -> Sealed {
        let (body, personal) = body::write(self, &previous, key);
        let hash = chain::hash(&previous, &body);
        Sealed { body, link: Link { previous, hash, mac: key.mac(&hash) }, personal }
    }

    /// Reads a canonical text, with the values that are left beside it.
    ///
    /// # Errors
    /// Says what does not read; a text that is not canonical to the byte does not.
    pub fn read(body: &str, personal: &[Personal]) -> Result<Self, Unreadable> {
        body::read(body, personal).map(|(record, _)| record)
    }
}

#[cfg(test)]
mod tampering;
#[cfg(test)]
mod tests;
