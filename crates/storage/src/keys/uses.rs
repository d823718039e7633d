//! Last uses of secrets and their keys: written in batches, forwards only, without locks that acts wait for.

use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::id::{KeyId, SecretId};
use claviger_domain::limits;
use claviger_domain::time::Timestamp;

statements! {
    STAMP_KEY = "UPDATE api_key SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
    STAMP_SECRET = "UPDATE secret SET last_used_at = $2, first_used_at = COALESCE(first_used_at, $2) \
        WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)";
}

/// A secret was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// The key.
    pub key: KeyId,
    /// Which of its secrets.
    pub secret: SecretId,
    /// When.
    pub at: Timestamp,
}

impl Store {
    /// Writes last uses, forwards only. Unknown ids are passed over. Not an administrative act: no audit, no epoch.
    ///
    /// # Errors
    /// The database's; the stamps may be written again.
    pub async fn stamp_last_uses(&self, uses: &[SecretUse]) -> Result<(), Error> {
        for chunk in uses.chunks(limits::INSERT_ROWS) {
            let chunk = chunk.to_vec();
            self.act(async move |tx: &mut Tx<'_>| {
                for used in &chunk {
                    stamp(tx, used).await?;
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

async fn stamp(tx: &mut Tx<'_>, used: &SecretUse) -> Result<(), Error> {
    let (key, secret) = (used.key.to_string(), used.secret.to_string());
    both!(tx, c => { sqlx::query(STAMP_KEY).bind(&key).bind(used.at.0).execute(c).await?; });
    both!(tx, c => {
        sqlx::query(STAMP_SECRET).bind(&secret).bind(used.at.0).execute(c).await?;
    });
    Ok(())
}
