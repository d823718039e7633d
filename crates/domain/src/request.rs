//! The request record and the receipt made of it: who, what, how it ended, what it cost and why.
//!
//! One record per request of a known key, refusals included; never content. Names are copied in, so deleting a key or
//! a member leaves its history.

use crate::endpoint::EndpointName;
use crate::id::{EnvironmentId, KeyId, OrganizationId, PriceVersionId, ProviderId, RequestId, ResponseId, SecretId};
use crate::limits;
use crate::meter::{Meters, UsageSource};
use crate::money::Nano;
use crate::price::Conditions;
use crate::right::words;
use crate::time::Timestamp;

words! {
    /// How a request ended; the word of the cut-off rule (`money.md` §7).
    Outcome {
        /// A whole answer.
        Complete = "complete";
        /// A normal end without content or output.
        Empty = "empty";
        /// Ended by us at the hold.
        CutAtHold = "cut_at_hold";
        /// The client left.
        ClientClosed = "client_closed";
        /// The upstream answered 4xx.
        UpstreamRejected = "upstream_rejected";
        /// The upstream failed before content.
        UpstreamFailed = "upstream_failed";
        /// The upstream failed after content.
        UpstreamCut = "upstream_cut";
        /// The key was revoked as compromised.
        Revoked = "revoked";
        /// We stopped it.
        NodeStopped = "node_stopped";
        /// The node died with the charge not durable.
        NodeLost = "node_lost";
        /// Refused by us before any upstream call.
        Refused = "refused";
        /// Answered with what was answered before, under its Idempotency-Key.
        Replayed = "replayed";
    }
}

words! {
    /// Whether the last piece reached the kernel; best effort (D3).
    Delivery {
        /// It was handed over.
        Delivered = "delivered";
        /// The client was gone.
        NotDelivered = "not_delivered";
        /// Not known: the node stopped in between.
        InDoubt = "in_doubt";
    }
}

words! {
    /// What one try came to.
    AttemptOutcome {
        /// It answered; how the answer ended is the request's outcome.
        Answered = "answered";
        /// It refused the request itself.
        Rejected = "rejected";
        /// It refuses our credential, or knows neither address nor model.
        Misconfigured = "misconfigured";
        /// It has too much to do.
        Busy = "busy";
        /// It failed and said so.
        Failed = "failed";
        /// No connection.
        Unreachable = "unreachable";
        /// An idle connection turned out to be dead.
        Dropped = "dropped";
        /// What came was cut or unreadable.
        Broken = "broken";
        /// It took too long.
        TimedOut = "timed_out";
    }
}

/// One try at a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The provider's name.
    pub provider: String,
    /// The model's name there; `None` in records of former releases.
    pub upstream_model: Option<String>,
    /// What it came to; `None` in records of former releases.
    pub outcome: Option<AttemptOutcome>,
    /// The upstream's status; 0 when it could not be reached.
    pub status: u16,
    /// From dispatch to its head or failure, in milliseconds.
    pub head_ms: u64,
}

/// An answer that its server keeps for its caller to come back to (W13). The record binds it: to the organization, to the
/// provider of the last try and to the name it has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Its id there: [`is_kept_name`] holds.
    pub upstream_id: String,
    /// Which row the provider is, unless the configuration declares it.
    pub provider: Option<ProviderId>,
    /// The answer it goes on from.
    pub previous: Option<ResponseId>,
}

/// Whether an upstream's id of an answer may stand in a path: nothing in it ends a segment, begins a query or needs an
/// escape.
pub fn is_kept_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=limits::KEPT_ANSWER_NAME_BYTES).contains(&text.len()) && text.bytes().all(is_plain)
}

/// The rule that refused a request, and whose value it had then.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RefusedBy {
    /// `key.rpm`, `environment.models`, `organization.allowed_ips`, …
    pub rule: String,
    /// Its value, or the part of it that mattered.
    pub value: String,
}

/// One proxied request.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestRecord {
    /// Its id, shown as `x-request-id`.
    pub id: RequestId,
    /// Whose wallet.
    pub organization: OrganizationId,
    /// The key's environment.
    pub environment: EnvironmentId,
    /// The key.
    pub key: KeyId,
    /// The key's name then.
    pub key_name: String,
    /// The secret that was presented.
    pub secret: SecretId,
    /// The key's source tag then.
    pub source_tag: Option<String>,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The public model id it resolved to, or as sent where it resolved to none; empty when the refusal came before it
    /// was read.
    pub model: String,
    /// The alias it was called by, if it was (W56).
    pub alias: Option<String>,
    /// The model's name upstream.
    pub upstream_model: Option<String>,
    /// The upstream's own id of the exchange.
    pub upstream_request_id: Option<String>,
    /// The caller's `x-request-id`, if well formed.
    pub client_request_id: Option<String>,
    /// Whether a stream was asked for.
    pub is_stream: bool,
    /// Whether a test key called.
    pub is_test: bool,
    /// When it arrived.
    pub admitted_at: Timestamp,
    /// When the first byte of the answer left.
    pub first_byte_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Timestamp,
    /// The status the client got.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// The public code of a refusal or failure.
    pub error_code: Option<&'static str>,
    /// The rule of a key or of its place that refused it.
    pub refused_by: Option<Box<RefusedBy>>,
    /// The public code that the key's shadow would have refused it with.
    pub would_refuse: Option<&'static str>,
    /// The row of the cut-off rule, 1 to 20.
    pub rule: u8,
    /// Where the meters came from.
    pub usage_source: UsageSource,
    /// Whether usage was clipped or contradictory.
    pub is_anomalous: bool,
    /// What was used; *not reported* stays so.
    pub meters: Meters,
    /// The price version it was admitted under; none for free models.
    pub price_version: Option<PriceVersionId>,
    /// What was held.
    pub hold: Nano,
    /// What it cost the customer: min(cost, hold).
    pub charge: Nano,
    /// What it cost above the hold, never the customer's.
    pub absorbed: Nano,
    /// The tries, in order.
    pub attempts: Vec<Attempt>,
    /// Whether the last piece was handed over.
    pub delivery: Delivery,
    /// Under which conditions it was charged, where its price depends on some.
    pub conditions: Option<Box<Conditions>>,
    /// What its server keeps of the answer, if its caller may come back to it.
    pub kept: Option<Box<KeptAnswer>>,
}

impl RequestRecord {
    /// The answer that is kept, and the name of the provider that keeps it; none once it is forgotten, and none across the
    /// wall between test keys and live ones.
    pub fn find_kept(&self, is_test: bool, now: Timestamp) -> Option<(&KeptAnswer, &str)> {
        let kept = self.kept.as_deref()?;
        let provider = &self.attempts.last()?.provider;
        let is_over = now >= self.completed_at.plus(limits::KEPT_ANSWER);
        (self.is_test == is_test && !is_over).then_some((kept, provider))
    }
}
