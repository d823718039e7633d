//! A token of another issuer becomes a short-lived key: the use of the token, the room of its trust, the key, in one
//! transaction. Whether the token fits the trust was judged before, by `domain::trust`.

use super::{find, find_anywhere, write};
use crate::agents;
use crate::audit::record;
use crate::cells::{Cells as _, corrupt};
use crate::door::{Tx, both};
use crate::environments;
use crate::epochs::publish;
use crate::error::Error;
use crate::key_row::by_text;
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy;
use crate::trusts;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::TrustId;
use claviger_domain::key::{Key, NewKey};
use claviger_domain::limits;
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::tenancy::{OrganizationState, TenantScope};
use claviger_domain::time::Timestamp;
use claviger_domain::trust::Unfit;

statements! {
    LOCK = "UPDATE organization SET version = version + 1 WHERE id = $1";
    COUNT_OF_TRUST = "SELECT CAST(COUNT(*) AS BIGINT) AS live FROM api_key WHERE trust_id = $1 AND expires_at > $2 \
        AND org_id = $3 AND state <> 'revoked'";
    FIND_USE = "SELECT expires_at FROM trust_use WHERE trust_id = $1 AND token_hash = $2";
    INSERT_USE = "INSERT INTO trust_use (trust_id, token_hash, expires_at) VALUES ($1, $2, $3)";
    MARK = "UPDATE api_key SET trust_id = $3 WHERE org_id = $1 AND id = $2";
    FIND_TRUST_OF_KEY = "SELECT trust_id FROM api_key WHERE org_id = $1 AND id = $2";
    FORGET_USES = "DELETE FROM trust_use WHERE expires_at <= $1";
}

/// A token that fits a trust.
#[derive(Clone, Debug)]
pub struct PresentedToken {
    /// SHA-256 of its text.
    pub hash: [u8; 32],
    /// When it does not hold any more, the leeway of clocks included.
    pub holds_until: Timestamp,
    /// About whom it is, for the record.
    pub subject: String,
}

/// How an exchange ended.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "made once an exchange; a box would only make it awkward to match")]
pub enum ExchangeOutcome {
    /// The key is stored.
    Made {
        /// As stored.
        key: Key,
        /// The epoch that brings it into force.
        epoch: Epoch,
    },
    /// The token became a key before, or too many of the trust's keys live.
    Unfit(Unfit),
    /// The trust, its agent, the agent's environment or the organization is not there any more, or stopped.
    Gone,
    /// Another key has this id: draw again.
    IdTaken,
}

impl Store {
    /// Makes the key of a token. It belongs to the trust's agent and its environment; it counts neither for the
    /// organization's limit nor in its default list.
    ///
    /// # Errors
    /// `OutcomeUnknown`: a token that is good once may be used up.
    pub async fn exchange_token(
        &self,
        scope: TenantScope,
        trust: TrustId,
        token: PresentedToken,
        new: NewKey,
        by: &Attribution,
    ) -> Result<ExchangeOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| exchange(tx, scope, trust, &token, &new, &by).await).await
    }
}

async fn exchange(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    trust: TrustId,
    token: &PresentedToken,
    new: &NewKey,
    by: &Attribution,
) -> Result<ExchangeOutcome, Error> {
    let (organization, trust_text) = (scope.0.to_string(), trust.to_string());
    both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
    let is_open = tenancy::find(tx, scope.0).await?.is_some_and(|found| found.state == OrganizationState::Active);
    let Some(found) = trusts::find(tx, scope, trust).await?.filter(|_| is_open) else {
        return Ok(ExchangeOutcome::Gone);
    };
    let Some(agent) = agents::find(tx, scope, found.agent).await?.filter(|agent| agent.ended_at.is_none()) else {
        return Ok(ExchangeOutcome::Gone);
    };
    if environments::find(tx, scope, agent.environment).await?.is_none_or(|found| found.archived_at.is_some()) {
        return Ok(ExchangeOutcome::Gone);
    }
    if find_anywhere(tx, new.id).await?.is_some() {
        return Ok(ExchangeOutcome::IdTaken);
    }
    let live = both!(tx, c => {
        let query = sqlx::query(COUNT_OF_TRUST).bind(&trust_text).bind(by.at.0).bind(&organization);
        query.fetch_one(c).await?.int("live")?
    });
    if live >= i64::from(limits::KEYS_PER_TRUST) {
        return Ok(ExchangeOutcome::Unfit(Unfit::TooManyKeys));
    }
    if found.is_single_use && !use_up(tx, &trust_text, token).await? {
        return Ok(ExchangeOutcome::Unfit(Unfit::Replayed));
    }
    let key = new.made(scope.0, agent.environment, by.at, &by_text(by));
    write::insert(tx, &key).await?;
    let key_text = new.id.to_string();
    both!(tx, c => { sqlx::query(MARK).bind(&organization).bind(&key_text).bind(&trust_text).execute(c).await?; });
    let mut changes = super::difference::of_new(&key);
    changes.push(super::change("trust_id", None, Some(trust_text)));
    changes.push(super::change("subject", None, Some(token.subject.clone())));
    record(tx, scope.0, by, Action::KeyCreated, &key_text, &changes).await?;
    let epoch = publish(tx, scope.0, &Change::Key(new.id), by.at).await?;
    let key = find(tx, scope, new.id).await?.ok_or_else(|| corrupt("api_key", "a row just written"))?;
    Ok(ExchangeOutcome::Made { key, epoch })
}

/// Whether this was the first time.
async fn use_up(tx: &mut Tx<'_>, trust: &str, token: &PresentedToken) -> Result<bool, Error> {
    let hash = token.hash.as_slice();
    let is_used = both!(tx, c => {
        sqlx::query(FIND_USE).bind(trust).bind(hash).fetch_optional(c).await?.is_some()
    });
    if is_used {
        return Ok(false);
    }
    both!(tx, c => {
        sqlx::query(INSERT_USE).bind(trust).bind(hash).bind(token.holds_until.0).execute(c).await?;
    });
    Ok(true)
}

/// Whether a key came from a trust.
pub(super) async fn is_exchanged(tx: &mut Tx<'_>, key: &Key) -> Result<bool, Error> {
    let (organization, id) = (key.organization.to_string(), key.id.to_string());
    both!(tx, c => {
        let row = sqlx::query(FIND_TRUST_OF_KEY).bind(&organization).bind(&id).fetch_optional(c).await?;
        Ok(row.map(|row| row.text_or_none("trust_id")).transpose()?.flatten().is_some())
    })
}

/// Makes a key an ordinary one.
pub(super) async fn let_go(tx: &mut Tx<'_>, key: &Key) -> Result<(), Error> {
    let (organization, id) = (key.organization.to_string(), key.id.to_string());
    both!(tx, c => {
        sqlx::query(MARK).bind(&organization).bind(&id).bind(None::<String>).execute(c).await?;
    });
    Ok(())
}

/// Forgets tokens that do not hold any more: how many.
pub(super) async fn forget_uses(tx: &mut Tx<'_>, now: Timestamp) -> Result<u64, Error> {
    Ok(both!(tx, c => sqlx::query(FORGET_USES).bind(now.0).execute(c).await?.rows_affected()))
}
