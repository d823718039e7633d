//! `storage.audit_sinks`: where signed checkpoints go besides the data directory. What is named and not known is refused,
//! never ignored.

use super::Invalid;
use super::layers::Layered;
use super::secret_file::read_secret;
use crate::audit_sinks::SyslogWay;
use claviger_domain::secret::Secret;
use http::Uri;
use std::path::PathBuf;

/// A place outside the database.
#[derive(Clone, Debug)]
pub(crate) enum AuditSink {
    /// A file to append to.
    File(PathBuf),
    /// A syslog.
    Syslog(SyslogWay),
    /// A receiver of signed requests, and the secret they are signed with.
    Webhook(Uri, Secret<String>),
}

pub(super) fn read(layered: &Layered) -> Result<Vec<AuditSink>, Invalid> {
    let storage = &layered.document.storage;
    storage.audit_sinks.iter().map(|text| sink(layered, text, &storage.audit_webhook_secret_file)).collect()
}

fn sink(layered: &Layered, text: &str, secret_file: &str) -> Result<AuditSink, Invalid> {
    if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
        return Ok(AuditSink::File(layered.base().join(path)));
    }
    if let Some(way) = SyslogWay::parse(text) {
        return Ok(AuditSink::Syslog(way));
    }
    let url: Option<Uri> = text.parse().ok().filter(crate::https::is_private);
    let Some(url) = url else {
        return Err(Invalid::at(
            "storage.audit_sinks",
            format_args!(
                "`{text}` is not a sink such as file:/var/log/claviger-audit, syslog+tcp://log:601, syslog+udp://log:514, \
                 syslog+unix:/dev/log or https://host/path"
            ),
        ));
    };
    if secret_file.is_empty() {
        return Err(Invalid::at("storage.audit_webhook_secret_file", "is needed to sign what goes to a webhook"));
    }
    Ok(AuditSink::Webhook(url, read_secret(&layered.base().join(secret_file))?))
}
