//! The proof that a narrowing of rights is in force everywhere, as a record of its own behind the act's (`keys.md` §9).
//!
//! A record is hashed when the act commits, and the proof exists only after that. So the proof is a second link of the
//! same chain, joined to the act by its request and by its epoch. It is written once for an epoch, however often it is
//! asked for.

use super::{AuditEvent, append};
use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution, Chain, Confirmed};
use claviger_domain::id::OrganizationId;
use claviger_domain::revocation::Epoch;

statements! {
    FIND_CHANGE = "SELECT org_id, object, CASE WHEN mark > 0 THEN mark ELSE at END AS at FROM rights_event \
        WHERE epoch = $1";
    FIND_RECORDED = "SELECT seq FROM audit WHERE chain = $1 AND action = $2 AND at >= $3 AND body LIKE $4 \
        LIMIT CAST(1 AS BIGINT)";
}

impl Store {
    /// Records that an epoch is in force on every node, in the chain of the organization whose rights it narrowed; whether
    /// it is new. `target` is what the act was about; without one it is what the epoch's event names. An epoch that is
    /// not remembered any more, or that is recorded, is left alone.
    ///
    /// # Errors
    /// Those of writing; repeating is safe.
    pub async fn record_confirmation(
        &self,
        target: Option<String>,
        confirmed: Confirmed,
        by: &Attribution,
    ) -> Result<bool, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| record(tx, target.clone(), &confirmed, &by).await).await
    }
}

async fn record(
    tx: &mut Tx<'_>,
    target: Option<String>,
    confirmed: &Confirmed,
    by: &Attribution,
) -> Result<bool, Error> {
    let epoch = Epoch(confirmed.epoch);
    let change: Option<(OrganizationId, Option<String>, i64)> = both!(tx, c => {
        let row = sqlx::query(FIND_CHANGE).bind(epoch.0).fetch_optional(c).await?;
        row.map(|row| {
            Ok::<_, Error>((row.parsed("org_id")?, row.text_or_none("object")?, row.int("at")?))
        }).transpose()?
    });
    let Some((organization, object, at)) = change else { return Ok(false) };
    let chain = Chain::Organization(organization);
    // The epoch is a number, and its member stands once in a canonical record.
    let pattern = format!("%\"epoch\":{},%", epoch.0);
    let is_recorded = both!(tx, c => {
        sqlx::query(FIND_RECORDED)
            .bind(chain.to_string())
            .bind(Action::RightsConfirmed.name())
            .bind(at)
            .bind(&pattern)
            .fetch_optional(c)
            .await?
            .is_some()
    });
    if is_recorded {
        return Ok(false);
    }
    let target = target.or(object).unwrap_or_else(|| organization.to_string());
    let event = AuditEvent {
        confirmation: Some(confirmed.clone()),
        ..AuditEvent::done(Action::RightsConfirmed, target, Vec::new())
    };
    append(tx, chain, by, &event).await?;
    Ok(true)
}
