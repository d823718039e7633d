//! The audit log as people and machines read it; its checkpoints on their way out of the database; denied attempts.

pub(crate) mod checkpoints;
pub(crate) mod export;
pub(crate) mod list;
mod object;
pub(crate) mod security;
pub(crate) mod verify;

use claviger_domain::denied::DeniedAttempts;
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What comes of sending.
pub type Sent<'a> = Pin<Box<dyn Future<Output = std::io::Result<()>> + Send + 'a>>;

/// A place outside the database where checkpoints are kept. Only this finds records that were cut off at the end.
pub trait CheckpointSink: Send + Sync + 'static {
    /// Its name, for logs and metrics.
    fn name(&self) -> String;

    /// The number of the last checkpoint it has; 0 = none.
    ///
    /// # Errors
    /// When it cannot be read.
    fn last(&self) -> std::io::Result<i64>;

    /// Keeps further lines, in order, durably when it returns and bounded in time by itself. What was kept before a failure
    /// counts in [`CheckpointSink::last`].
    ///
    /// # Errors
    /// When not all of them are kept.
    fn append<'a>(&'a self, lines: &'a [String]) -> Sent<'a>;

    /// Everything it has, oldest first; empty if it can only be written to.
    ///
    /// # Errors
    /// When it cannot be read.
    fn lines(&self) -> std::io::Result<Vec<String>>;
}

/// What the operator decided about audit.
#[derive(Clone, Default)]
pub struct AuditSettings {
    /// Where checkpoints go.
    pub sinks: Vec<Arc<dyn CheckpointSink>>,
    /// Whether changes are refused while a sink has missed checkpoints for five minutes.
    pub is_strict: bool,
    pub(crate) state: Arc<State>,
}

/// What this process knows about its sinks and about denied attempts.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) reach: Mutex<checkpoints::Reach>,
    pub(crate) is_shut: AtomicBool,
    pub(crate) denied: Mutex<DeniedAttempts>,
}

impl AuditSettings {
    /// Checkpoints go to these places.
    pub fn new(sinks: Vec<Arc<dyn CheckpointSink>>, is_strict: bool) -> Self {
        Self { sinks, is_strict, state: Arc::default() }
    }
}

impl std::fmt::Debug for AuditSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.sinks.iter().map(|sink| sink.name()).collect();
        f.debug_struct("AuditSettings").field("sinks", &names).field("is_strict", &self.is_strict).finish()
    }
}
