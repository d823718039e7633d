//! What is kept for a time only: secrets that ended long ago leave the memory of nodes, answers that may no longer be
//! repeated leave the database.

use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::limits;
use claviger_domain::time::Timestamp;

statements! {
    /// The newest secret of a key is never forgotten: it is how lists show the key.
    FORGET_SECRETS = "UPDATE secret SET is_forgotten = TRUE WHERE id IN (SELECT s.id FROM secret s \
        WHERE s.ended_at < $1 AND NOT s.is_forgotten \
        AND EXISTS (SELECT 1 FROM secret n WHERE n.key_id = s.key_id AND n.number > s.number) LIMIT 1000)";
    FORGET_REPLAYS = "DELETE FROM replay WHERE expires_at <= $1";
}

/// Secrets of one batch, as the statement says.
const BATCH: u64 = 1000;

impl Store {
    /// Forgets one batch: how many rows, and whether there may be more. Safe to repeat.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget(&self, now: Timestamp) -> Result<(u64, bool), Error> {
        let ended_before = now.minus(limits::REMEMBER_SECRETS);
        self.act(async move |tx: &mut Tx<'_>| {
            let secrets = both!(tx, c => {
                sqlx::query(FORGET_SECRETS).bind(ended_before.0).execute(c).await?.rows_affected()
            });
            let replays = both!(tx, c => sqlx::query(FORGET_REPLAYS).bind(now.0).execute(c).await?.rows_affected());
            Ok((secrets.saturating_add(replays), secrets >= BATCH))
        })
        .await
    }
}
