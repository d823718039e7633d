//! What the management plane asks of the running node.

use crate::mail::Letter;
use bytes::Bytes;
use claviger_domain::audit::Attribution;
use claviger_domain::catalog::{Catalog, Dialect, Difference, Provider};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::{KeyId, NodeId, OrganizationId};
use claviger_domain::key::{Verified, VerifyAsk};
use claviger_domain::money::Nano;
use claviger_domain::revocation::{Epoch, NodeConfirmation};
use claviger_domain::secret::Secret;
use claviger_domain::time::{Now, Timestamp};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Waits until every node knows a change of rights, and knows what only a running node does.
pub trait AwaitRights: Send + Sync + 'static {
    /// Waits, `patience` at most, until no node admits by rights older than `epoch` any more. Asked after the commit.
    fn confirmed(&self, epoch: Epoch, patience: Duration) -> Pin<Box<dyn Future<Output = Awaited> + Send + '_>>;

    /// How long that can take while nodes and database do what they should, an unreachable node included.
    fn patience(&self) -> Duration;

    /// What running requests hold of a wallet; `None` when no server runs.
    fn held(&self, organization: OrganizationId) -> Option<Nano>;

    /// Requests of a key that run on this node.
    fn running(&self, key: KeyId) -> u64;

    /// The platform's routes in force; `None` when no server runs here.
    fn catalog(&self) -> Option<Arc<Catalog>> {
        None
    }

    /// Whether secrets made elsewhere may exist: only then is a text of a foreign shape looked up.
    fn has_foreign_keys(&self) -> bool;

    /// Takes one of the requests that a key may make about itself.
    ///
    /// # Errors
    /// 429.
    fn self_service(&self, key: KeyId) -> Result<(), PublicError>;

    /// By which time limits are judged at `now`: a running node knows the database's clock too.
    fn latest(&self, now: Now) -> Timestamp {
        now.wall
    }

    /// What a running node says of a key that was presented elsewhere.
    ///
    /// # Errors
    /// 503: there is no node here, or it does not know enough.
    fn verify(&self, ask: &VerifyAsk<'_>) -> Result<Verified, PublicError>;

    /// Has a running node read its configuration again; with `is_check` it only says what would change.
    ///
    /// # Errors
    /// 400 what is wrong with it; 503: there is no node here, or it could not be recorded. Nothing has changed.
    fn reload<'a>(
        &'a self,
        _is_check: bool,
        _by: &'a Attribution,
    ) -> Pin<Box<dyn Future<Output = Result<Difference, PublicError>> + Send + 'a>> {
        let what = "No server runs here, and only a running one has a configuration in force.";
        Box::pin(std::future::ready(Err(PublicError::with_message(Code::ServiceUnavailable, what))))
    }
}

/// What came of waiting.
#[derive(Clone, Debug)]
pub enum Awaited {
    /// Every node is through; empty when none runs, so that nobody can admit anything.
    Confirmed(Vec<NodeConfirmation>),
    /// These are still waited for.
    Pending(Vec<NodeId>),
    /// The database could not be asked.
    Lost,
}

/// No server runs anywhere: there is nobody to wait for.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNodes;

impl AwaitRights for NoNodes {
    fn confirmed(&self, _epoch: Epoch, _patience: Duration) -> Pin<Box<dyn Future<Output = Awaited> + Send + '_>> {
        Box::pin(std::future::ready(Awaited::Confirmed(Vec::new())))
    }

    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    fn held(&self, _organization: OrganizationId) -> Option<Nano> {
        None
    }

    fn running(&self, _key: KeyId) -> u64 {
        0
    }

    fn has_foreign_keys(&self) -> bool {
        true
    }

    fn self_service(&self, _key: KeyId) -> Result<(), PublicError> {
        Ok(())
    }

    fn verify(&self, _ask: &VerifyAsk<'_>) -> Result<Verified, PublicError> {
        Err(no_node())
    }
}

/// What is judged by a running node cannot be judged without one.
pub fn no_node() -> PublicError {
    PublicError::with_message(Code::ServiceUnavailable, "No server runs here, and only a running one can judge a key.")
}

/// Brings letters to people: the mail server that the operator named.
pub trait DeliverMail: Send + Sync + std::fmt::Debug + 'static {
    /// Resolves when the server has taken the letter, or has not.
    fn deliver(&self, letter: Letter) -> Pin<Box<dyn Future<Output = Result<(), Undelivered>> + Send + '_>>;
}

/// Why a letter was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// Whether trying again is useless.
    pub is_final: bool,
    /// For the operator.
    pub why: String,
}

/// Asks the issuers of tokens that the operator named: the only requests that the management plane has made.
pub trait AskIssuers: Send + Sync + std::fmt::Debug + 'static {
    /// Sends one question. No redirect is followed, and no more than `limits::ISSUER_DOCUMENT_BYTES` are read.
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Told, Unanswered>> + Send + '_>>;
}

/// What an issuer is asked.
#[derive(Debug)]
pub struct Question {
    /// `https://…`; `http://` on this machine only.
    pub url: String,
    /// A form to be posted; `None` = the document is got.
    pub form: Option<Secret<String>>,
    /// The `Authorization` line.
    pub authorization: Option<Secret<String>>,
}

/// What it answered.
#[derive(Debug)]
pub struct Told {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

/// Why there is no answer; for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered(pub String);

/// Asks model servers for what they have, as far as their reach goes.
pub trait ProbeProviders: Send + Sync + std::fmt::Debug + 'static {
    /// Model servers and credentials of the server's machine; within `limits::DETECTION_PATIENCE`.
    fn detect(&self) -> Pin<Box<dyn Future<Output = Vec<Found>> + Send + '_>>;

    /// `GET models` with the provider's credential, within `limits::PROVIDER_PATIENCE`. No redirect is followed.
    fn list_models(&self, provider: Provider) -> Pin<Box<dyn Future<Output = Result<Told, Unanswered>> + Send + '_>>;
}

/// What could be a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it would be called.
    pub name: &'static str,
    /// What it is, for people.
    pub label: String,
    /// How it speaks.
    pub dialect: Dialect,
    /// Where it is.
    pub base_url: String,
    /// The variable that holds its credential.
    pub variable: Option<&'static str>,
    /// What it lists; nobody was asked where a credential is needed.
    pub models: Option<Vec<String>>,
}
