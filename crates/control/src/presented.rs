//! Whose a presented text is, asked of the store: by the id in it, or by its digest for keys that came from elsewhere.
//!
//! Unknown id and wrong secret take the same path and the same work. Whether the key may be used is not decided here.

use crate::respond::Refusal;
use crate::serve::Control;
use claviger_domain::key::{Key, KeyText, StoredSecret};
use claviger_domain::secret::Digest;
use claviger_domain::tenancy::Organization;

/// Unknown, wrong secret, bait: the same bytes for the same work.
pub(crate) const UNKNOWN: &str = "No key of this server matches it.";

/// A text that is a key's: which, and which of its secrets, ended ones included.
pub(crate) struct Presented {
    pub(crate) key: Key,
    pub(crate) secret: StoredSecret,
    pub(crate) organization: Organization,
}

/// Finds the key of a text; `Err` of the inner result is the sentence that says why there is none (`keys.md` §2.2).
pub(crate) async fn find(control: &Control, text: &[u8]) -> Result<Result<Presented, String>, Refusal> {
    let sentence = match KeyText::parse(text, &control.settings().prefixes) {
        Ok(parsed) => {
            let found = control.store().find_presented_key(parsed.id).await?;
            if found.is_none() {
                // A miss does the work of a hit, so that the time says nothing.
                let _ = control.pepper()?.digest(text).matches(&Digest::from_bytes([0; 32]));
            }
            if let Some(presented) = found.and_then(|found| matching(control, found, text)) {
                return Ok(Ok(presented));
            }
            UNKNOWN.to_owned()
        }
        Err(diagnosis) => diagnosis.sentence().to_string(),
    };
    if !KeyText::may_be_foreign(text) || !control.rights().has_foreign_keys() {
        return Ok(Err(sentence));
    }
    for pepper in &control.settings().peppers {
        let found = control.store().find_key_by_digest(pepper.digest(text)).await?;
        if let Some(presented) = found.and_then(|found| matching(control, found, text)) {
            return Ok(Ok(presented));
        }
    }
    Ok(Err(sentence))
}

/// The secret of the key that the text is: as many comparisons as there are secrets.
fn matching(control: &Control, (key, organization): (Key, Organization), text: &[u8]) -> Option<Presented> {
    let peppers = &control.settings().peppers;
    let digests: Vec<(u16, Digest)> = peppers.iter().map(|pepper| (pepper.version, pepper.digest(text))).collect();
    let is_match = |secret: &StoredSecret| {
        digests.iter().any(|(version, digest)| *version == secret.pepper_version && secret.digest.matches(digest))
    };
    let found = key.secrets.iter().fold(None, |found, secret| if is_match(secret) { Some(secret) } else { found });
    let secret = found.cloned()?;
    Some(Presented { key, secret, organization })
}
