//! What is kept for a time only: secrets that ended long ago leave the memory of nodes, answers that may no longer be
//! repeated, and tokens that do not hold any more, leave the database.

use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::id::{KeyId, OrganizationId};
use claviger_domain::key::Owner;
use claviger_domain::limits;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use std::time::Duration;

statements! {
    /// The newest secret of a key is never forgotten: it is how lists show the key.
    FORGET_SECRETS = "UPDATE secret SET is_forgotten = TRUE WHERE id IN (SELECT s.id FROM secret s \
        WHERE s.ended_at < $1 AND NOT s.is_forgotten \
        AND EXISTS (SELECT 1 FROM secret n WHERE n.key_id = s.key_id AND n.number > s.number) LIMIT 1000)";
    /// Secrets whose end is due, near, or a matter of quiet.
    LIST_OVERLAPS = "SELECT DISTINCT s.org_id, s.key_id FROM secret s WHERE s.ends_at IS NOT NULL AND s.ended_at IS NULL \
        AND (s.ends_at <= $1 OR s.quiet_hours IS NOT NULL OR (s.at_deadline = 'extend' AND s.ends_at <= $2)) \
        ORDER BY s.org_id, s.key_id LIMIT CAST($3 AS BIGINT)";
    FIND_MEMBER = "SELECT user_id FROM membership WHERE org_id = $1 AND user_id = $2";
    FIND_AGENT = "SELECT id FROM agent WHERE org_id = $1 AND id = $2 AND ended_at IS NULL";
    FORGET_REPLAYS = "DELETE FROM replay WHERE expires_at <= $1";
}

/// Secrets of one batch, as the statement says.
const BATCH: u64 = 1000;

impl Store {
    /// Keys with an older secret that time may do something to.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_overlaps(&self, now: Timestamp, most: u32) -> Result<Vec<(OrganizationId, KeyId)>, Error> {
        let mut reader = self.reader().await?;
        let near = now.plus(Duration::from_secs(3600));
        both!(&mut reader, c => {
            let query = sqlx::query(LIST_OVERLAPS).bind(now.0).bind(near.0).bind(i64::from(most));
            let rows = query.fetch_all(c).await?;
            rows.iter().map(|row| Ok((row.parsed("org_id")?, row.parsed("key_id")?))).collect()
        })
    }

    /// Whether the organization has this member, or this agent and it has not ended.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn has_owner(&self, scope: TenantScope, owner: Owner) -> Result<bool, Error> {
        let sql = match owner {
            Owner::User(_) => FIND_MEMBER,
            Owner::Agent(_) => FIND_AGENT,
        };
        let (organization, owner) = (scope.0.to_string(), owner.to_string());
        let mut reader = self.reader().await?;
        both!(&mut reader, c => {
            Ok(sqlx::query(sql).bind(&organization).bind(&owner).fetch_optional(c).await?.is_some())
        })
    }

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
            let uses = super::exchange::forget_uses(tx, now).await?;
            let replies = crate::inference_replay::forget(tx, now).await?;
            let rows = [secrets, replays, uses, replies].into_iter().fold(0, u64::saturating_add);
            Ok((rows, secrets >= BATCH))
        })
        .await
    }
}
