//! Keys that end with what they belong to: an archived environment, an ended agent, a trust that is no more. Runs inside the act that ends it.

use crate::audit::record;
use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::epochs::publish;
use crate::error::Error;
use crate::key_row::by_text;
use crate::keys::{self, change, mark_revoked};
use crate::standing::Judge;
use crate::statements::statements;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{AgentId, EnvironmentId, KeyId, TrustId};
use claviger_domain::key::{Class, RevocationReason};
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::tenancy::TenantScope;

statements! {
    /// An expired key may get a later expiry, but not one that came from a trust: those are left as they ended.
    OF_ENVIRONMENT = "SELECT id, class FROM api_key WHERE org_id = $1 AND environment_id = $2 AND state <> 'revoked' \
        AND (trust_id IS NULL OR expires_at > $3) ORDER BY id";
    OF_OWNER = "SELECT id, class FROM api_key WHERE org_id = $1 AND owner = $2 AND state <> 'revoked' \
        AND (trust_id IS NULL OR expires_at > $3) ORDER BY id";
    OF_TRUST = "SELECT id, class FROM api_key WHERE org_id = $1 AND trust_id = $2 AND state <> 'revoked' AND expires_at > $3 \
        ORDER BY id";
    LIVE_IN_ENVIRONMENT = "SELECT id FROM api_key WHERE org_id = $1 AND environment_id = $2 AND state <> 'revoked' \
        AND (expires_at IS NULL OR expires_at > $3) LIMIT 1";
    REVOKE = "UPDATE api_key SET state = 'revoked', state_at = $3, state_reason = $4, state_by = $5, \
        version = version + 1 WHERE org_id = $1 AND id = $2";
}

/// Whose keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    Environment(EnvironmentId),
    Agent(AgentId),
    Trust(TrustId),
}

/// Whether an environment has keys that are neither revoked nor expired.
pub(crate) async fn has_live(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    environment: EnvironmentId,
    by: &Attribution,
) -> Result<bool, Error> {
    let (organization, environment) = (scope.0.to_string(), environment.to_string());
    both!(tx, c => {
        let query = sqlx::query(LIVE_IN_ENVIRONMENT).bind(&organization).bind(&environment).bind(by.at.0);
        Ok(query.fetch_optional(c).await?.is_some())
    })
}

/// Revokes all of them, each with its record and its event. The last epoch, if there was any key.
///
/// # Errors
/// `Beyond`: one of them is an admin key that may more than whoever acts; none is revoked then.
pub(crate) async fn revoke(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    of: Of,
    judge: &Judge,
    by: &Attribution,
) -> Result<Option<Epoch>, Error> {
    let organization = scope.0.to_string();
    let (text, object) = match of {
        Of::Environment(id) => (OF_ENVIRONMENT, id.to_string()),
        Of::Agent(id) => (OF_OWNER, id.to_string()),
        Of::Trust(id) => (OF_TRUST, id.to_string()),
    };
    let keys: Vec<(KeyId, String)> = both!(tx, c => {
        let rows = sqlx::query(text).bind(&organization).bind(&object).bind(by.at.0).fetch_all(c).await?;
        rows.iter().map(|row| Ok((row.parsed("id")?, row.text("class")?))).collect::<Result<_, Error>>()?
    });
    let actor = by_text(by);
    let reason = RevocationReason::Other.name();
    let mut epoch = None;
    for (key, class) in keys {
        let id = key.to_string();
        if class == Class::Admin.name()
            && let Some(found) = keys::find_anywhere(tx, key).await?
        {
            judge.require_key(tx, &found).await?;
        }
        both!(tx, c => {
            let query = sqlx::query(REVOKE).bind(&organization).bind(&id).bind(by.at.0).bind(reason);
            query.bind(&actor).execute(c).await?;
        });
        let changes = [change("state", None, Some(format!("revoked ({reason}, with {object})")))];
        record(tx, scope.0, by, Action::KeyDeleted, &id, &changes).await?;
        let published = publish(tx, scope.0, &Change::Key(key), by.at).await?;
        mark_revoked(tx, &organization, &id, published).await?;
        epoch = Some(published);
    }
    Ok(epoch)
}
