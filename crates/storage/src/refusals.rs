//! How often keys were refused, by hour and reason. The records of refusals are sampled; these counts are whole.

use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::id::{KeyId, OrganizationId};
use claviger_domain::limits;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;

statements! {
    ADD = "INSERT INTO refusal (org_id, key_id, hour, code, count) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (org_id, key_id, hour, code) DO UPDATE SET count = refusal.count + excluded.count";
    COUNT = "SELECT key_id, code, CAST(SUM(count) AS BIGINT) AS refused FROM refusal \
        WHERE org_id = $1 AND hour >= $2 AND (CAST($3 AS TEXT) IS NULL OR key_id = CAST($3 AS TEXT)) \
        GROUP BY key_id, code ORDER BY key_id, code";
    FORGET = "DELETE FROM refusal WHERE hour < $1";
}

/// Refused requests of one key, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusals {
    /// Its organization.
    pub organization: OrganizationId,
    /// The key.
    pub key: KeyId,
    /// The public code.
    pub code: String,
    /// How many.
    pub count: u64,
}

const HOUR_SECONDS: i64 = 3600;

impl Store {
    /// Adds to the counts of the hour of `at`, and forgets those older than records of keys are remembered. Not an
    /// administrative act: no audit, no epoch.
    ///
    /// # Errors
    /// The database's. `OutcomeUnknown`: a repetition may count twice.
    pub async fn add_refusals(&self, refusals: Vec<Refusals>, at: Timestamp) -> Result<(), Error> {
        let oldest = at.seconds().saturating_sub(i64::try_from(limits::REMEMBER_KEYS.as_secs()).unwrap_or(i64::MAX));
        self.act(async move |tx: &mut Tx<'_>| {
            for refused in &refusals {
                both!(tx, c => {
                    sqlx::query(ADD)
                        .bind(refused.organization.to_string())
                        .bind(refused.key.to_string())
                        .bind(hour_of(at))
                        .bind(&refused.code)
                        .bind(i64::try_from(refused.count).unwrap_or(i64::MAX))
                        .execute(c)
                        .await?;
                });
            }
            both!(tx, c => { sqlx::query(FORGET).bind(oldest).execute(c).await?; });
            Ok(())
        })
        .await
    }

    /// Refused requests since the beginning of the hour of `since`, by key and reason; of one key or of all.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn count_refusals(
        &self,
        scope: TenantScope,
        key: Option<KeyId>,
        since: Timestamp,
    ) -> Result<Vec<Refusals>, Error> {
        let mut reader = self.reader().await?;
        let (organization, key) = (scope.0.to_string(), key.map(|key| key.to_string()));
        both!(&mut reader, c => {
            let rows =
                sqlx::query(COUNT).bind(&organization).bind(hour_of(since)).bind(&key).fetch_all(c).await?;
            rows.iter()
                .map(|row| {
                    Ok(Refusals {
                        organization: scope.0,
                        key: row.parsed("key_id")?,
                        code: row.text("code")?,
                        count: u64::try_from(row.int("refused")?).unwrap_or(0),
                    })
                })
                .collect()
        })
    }
}

/// The beginning of the hour, in seconds since 1970.
const fn hour_of(at: Timestamp) -> i64 {
    let seconds = at.seconds();
    seconds.saturating_sub(seconds.rem_euclid(HOUR_SECONDS))
}
