//! Keys seen where they do not belong: reports of secret scanners, and bait that was taken.

pub(crate) mod alarms;
pub(crate) mod github;

use claviger_domain::money::Nano;
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

/// What the operator decided about leaks and what looks like one.
#[derive(Clone, Debug, Default)]
pub struct LeakSettings {
    /// Keys of GitHub's secret scanning that are current; empty = the endpoint does not exist.
    pub github: Vec<ReporterKey>,
    /// Whether a canary that was presented disables the keys that are kept in the same place.
    pub canary_disables: bool,
    /// What an hour of a key costs at least before its owners are told that it is far more than usual; `None` = never.
    pub spend_alert: Option<Nano>,
    pub(crate) waiting: Arc<Mutex<alarms::Waiting>>,
}

impl LeakSettings {
    /// With these keys of reporters.
    pub fn new(github: Vec<ReporterKey>, canary_disables: bool, spend_alert: Option<Nano>) -> Self {
        Self { github, canary_disables, spend_alert, waiting: Arc::default() }
    }
}
