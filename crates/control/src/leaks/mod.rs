//! Keys seen where they do not belong: reports of secret scanners, and bait that was taken.

pub(crate) mod alarms;
pub(crate) mod github;

use parking_lot::Mutex;
use std::sync::Arc;

/// A public key that a secret scanner signs its reports with: P-256, as the uncompressed point.
#[derive(Clone, Debug)]
pub struct ReporterKey {
    /// How the report names it.
    pub id: String,
    /// `04 ‖ x ‖ y`.
    pub point: Vec<u8>,
}

/// What the operator decided about leaks.
#[derive(Clone, Debug, Default)]
pub struct LeakSettings {
    /// Keys of GitHub's secret scanning that are current; empty = the endpoint does not exist.
    pub github: Vec<ReporterKey>,
    /// Whether a canary that was presented disables the keys that are kept in the same place.
    pub canary_disables: bool,
    pub(crate) waiting: Arc<Mutex<alarms::Waiting>>,
}

impl LeakSettings {
    /// With these keys of reporters.
    pub fn new(github: Vec<ReporterKey>, canary_disables: bool) -> Self {
        Self { github, canary_disables, waiting: Arc::default() }
    }
}
