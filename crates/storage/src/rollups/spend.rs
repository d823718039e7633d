//! What a key was charged: its sums, and its records beyond them.

use crate::cells::Cells as _;
use crate::door::both;
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::id::KeyId;
use claviger_domain::money::Nano;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;

/// What one key was charged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeySpend {
    /// As far back as records go.
    pub total: Nano,
    /// Since each of the instants that were asked about.
    pub since: [Nano; 3],
}

statements! {
    /// One statement sees one point in time, on both engines. The organization is compared as an expression, so that what
    /// lies beyond the cursor is found by its place and not by walking all that the organization ever asked.
    SPEND = "SELECT CAST(COALESCE(SUM(ever), 0) AS BIGINT) AS total, \
        CAST(COALESCE(SUM(CASE WHEN at >= $3 THEN charge ELSE 0 END), 0) AS BIGINT) AS since_0, \
        CAST(COALESCE(SUM(CASE WHEN at >= $4 THEN charge ELSE 0 END), 0) AS BIGINT) AS since_1, \
        CAST(COALESCE(SUM(CASE WHEN at >= $5 THEN charge ELSE 0 END), 0) AS BIGINT) AS since_2 FROM (\
        SELECT u.charge AS ever, CAST(-1 AS BIGINT) AS at, u.charge AS charge FROM usage_dimension d \
            JOIN usage_15m u ON u.dimension = d.id AND u.slot = -1 WHERE d.org_id = $2 AND d.key_id = $1 \
        UNION ALL SELECT CAST(0 AS BIGINT), u.slot, u.charge FROM usage_dimension d \
            JOIN usage_15m u ON u.dimension = d.id AND u.slot >= $6 WHERE d.org_id = $2 AND d.key_id = $1 \
        UNION ALL SELECT r.charge, r.completed_at, r.charge FROM usage_cursor c \
            JOIN arrived r ON r.seat = c.seat AND r.place > c.place WHERE r.org_id || '' = $2 AND r.key_id = $1\
        ) AS spent";
}

impl Store {
    /// What a key was charged: in all, and since each of three instants, which are beginnings of days somewhere.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn key_spend(&self, scope: TenantScope, key: KeyId, since: [Timestamp; 3]) -> Result<KeySpend, Error> {
        let (organization, key) = (scope.0.to_string(), key.to_string());
        let [first, second, third] = since;
        // Quarters begin at 0; below it lies the sum of all.
        let earliest = first.min(second).min(third).0.max(0);
        let mut reader = self.level_reader().await?;
        both!(&mut reader, c => {
            let query = sqlx::query(SPEND).bind(&key).bind(&organization).bind(first.0).bind(second.0).bind(third.0);
            let row = query.bind(earliest).fetch_one(c).await?;
            let since = [row.int("since_0")?, row.int("since_1")?, row.int("since_2")?];
            Ok(KeySpend { total: Nano(row.int("total")?), since: since.map(Nano) })
        })
    }
}
