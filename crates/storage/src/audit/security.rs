//! Denied attempts, one row a minute and code: outside the chains, so that a flood of them stops nothing.

use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
pub use claviger_domain::denied::DeniedMinute as SecurityMinute;

statements! {
    ADD = "INSERT INTO security_minute (minute, org_id, code, attempts, networks, sample) \
        VALUES ($1, '', $2, $3, $4, $5) ON CONFLICT (minute, org_id, code) \
        DO UPDATE SET attempts = security_minute.attempts + excluded.attempts, \
        networks = security_minute.networks + excluded.networks";
}

impl Store {
    /// Adds what was denied.
    ///
    /// # Errors
    /// Those of writing; a repetition may count twice.
    pub async fn save_security_minutes(&self, minutes: &[SecurityMinute]) -> Result<(), Error> {
        let minutes = minutes.to_vec();
        self.act(async move |tx: &mut Tx<'_>| {
            for row in &minutes {
                let (attempts, networks) = (i64::try_from(row.attempts), i64::try_from(row.networks));
                both!(tx, c => {
                    sqlx::query(ADD)
                        .bind(row.minute.0)
                        .bind(&row.code)
                        .bind(attempts.unwrap_or(i64::MAX))
                        .bind(networks.unwrap_or(i64::MAX))
                        .bind(&row.sample)
                        .execute(c)
                        .await?;
                });
            }
            Ok(())
        })
        .await
    }
}
