//! Places outside the database that keep signed checkpoints.
//!
//! One file lies in the data directory, which finds a database that was exchanged or cut; a careful operator adds another
//! disk, a syslog or a webhook. Nothing waits here: what a place lacks is read from the database again, behind its cursor,
//! so a place that is away gets everything later, in order, and some of it perhaps twice. What a checkpoint says is not
//! known here.

mod cursor;
mod file;
mod syslog;
mod webhook;

use crate::config::{AuditSink, Config};
use claviger_control::{AuditSettings, CheckpointSink};
use claviger_domain::audit::read_checkpoint;
use cursor::Cursor;
use file::FileSink;
use std::io;
use std::sync::Arc;
use syslog::SyslogSink;
pub(crate) use syslog::SyslogWay;
use webhook::WebhookSink;

/// The file in the data directory.
const OWN: &str = "audit-checkpoints.jsonl";

/// The sinks that the configuration names, and the one in the data directory.
pub(crate) fn settings(config: &Config) -> AuditSettings {
    let own: Arc<dyn CheckpointSink> = Arc::new(FileSink::at(config.data.join(OWN)));
    let named = config.audit_sinks.iter().map(|sink| -> Arc<dyn CheckpointSink> {
        match sink {
            AuditSink::File(path) => Arc::new(FileSink::at(path.clone())),
            AuditSink::Syslog(way) => {
                Arc::new(SyslogSink::new(way.clone(), Cursor::of(&config.data, &way.to_string())))
            }
            AuditSink::Webhook(url, secret) => {
                Arc::new(WebhookSink::new(url.clone(), secret.clone(), Cursor::of(&config.data, &url.to_string())))
            }
        }
    });
    AuditSettings::new(std::iter::once(own).chain(named).collect(), config.is_audit_strict)
}

/// The number of a checkpoint's line.
fn numbers(line: &str) -> io::Result<i64> {
    let number = read_checkpoint(line).and_then(|checkpoint| checkpoint.number());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the line is no checkpoint"))
}

#[cfg(test)]
mod tests {
    use claviger_domain::audit::{AuditKey, Chain, Checkpoint, Head, checkpoint_line};
    use claviger_domain::time::Timestamp;

    /// Lines of the first checkpoints of an instance.
    pub(super) fn checkpoints(count: usize) -> Vec<String> {
        let key = AuditKey::from([3; 32]);
        let mut former: Option<Checkpoint> = None;
        let mut lines = Vec::new();
        for number in 0..count {
            let sequence = i64::try_from(number).expect("small") + 1;
            let heads = vec![Head { chain: Chain::Instance, sequence, hash: [9; 32] }];
            let next = key.checkpoint(former.as_ref(), Timestamp(5), heads).expect("signed");
            lines.push(checkpoint_line(&next).expect("a line"));
            former = Some(next);
        }
        lines
    }
}
