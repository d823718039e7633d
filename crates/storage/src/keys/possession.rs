//! What a text of a key is enough for: ending its secret, and finding out whose it was.

use super::{Changed, KeyAct, apply, find, find_anywhere, leaks::tell, plain};
use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{KeyId, SecretId};
use claviger_domain::key::Key;
use claviger_domain::notice::NoticeKind;
use claviger_domain::secret::Digest;
use claviger_domain::tenancy::TenantScope;

statements! {
    FIND_OWN_DIGEST = "SELECT key_id, id FROM secret WHERE org_id = $1 AND digest = $2";
}

/// What leaked of a key.
#[derive(Clone, Debug)]
pub enum Trail {
    /// Its id.
    Id(KeyId),
    /// The text itself, as its digest under each pepper.
    Digests(Vec<Digest>),
}

impl Store {
    /// Ends a secret whose holder says that it is known to others; without another live one the key is revoked. Its owners
    /// are told in the same transaction. `None` = no such key; `is_new` is false when that was so already.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn revoke_by_possession(
        &self,
        scope: TenantScope,
        (key, secret): (KeyId, SecretId),
        note: Option<String>,
        by: &Attribution,
    ) -> Result<Option<Changed>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| give_up(tx, scope, key, secret, note.as_ref(), &by).await).await
    }

    /// The organization's keys that these trails lead to, each with the secret where the text itself was known; a trail to
    /// nowhere, or to another's key, is `None`.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn look_up_keys(
        &self,
        scope: TenantScope,
        trails: &[Trail],
    ) -> Result<Vec<Option<(Key, Option<SecretId>)>>, Error> {
        let organization = scope.0.to_string();
        let mut reader = self.reader().await?;
        let mut found = Vec::with_capacity(trails.len());
        for trail in trails {
            let target: Option<(KeyId, Option<SecretId>)> = match trail {
                Trail::Id(id) => Some((*id, None)),
                Trail::Digests(digests) => {
                    let mut target = None;
                    for digest in digests {
                        let row = both!(&mut reader, c => {
                            let query = sqlx::query(FIND_OWN_DIGEST).bind(&organization);
                            let row = query.bind(digest.as_bytes().as_slice()).fetch_optional(c).await?;
                            row.map(|row| Ok::<_, Error>((row.parsed("key_id")?, Some(row.parsed("id")?)))).transpose()?
                        });
                        target = target.or(row);
                    }
                    target
                }
            };
            let key = match target {
                Some((id, secret)) => find(&mut reader, scope, id).await?.map(|key| (key, secret)),
                None => None,
            };
            found.push(key);
        }
        Ok(found)
    }
}

async fn give_up(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    id: KeyId,
    secret: SecretId,
    note: Option<&String>,
    by: &Attribution,
) -> Result<Option<Changed>, Error> {
    let Some(key) = find_anywhere(tx, id).await?.filter(|key| key.organization == scope.0) else { return Ok(None) };
    let (at, who) = (by.at, crate::key_row::by_text(by));
    let lives_on = key.live_secrets(at).any(|live| live.id != secret);
    let action = if lives_on { Action::SecretEnded } else { Action::KeyDeleted };
    let act = KeyAct { note: note.cloned(), ..KeyAct::from(action) };
    let decide = move |key: &Key| Ok::<_, std::convert::Infallible>(key.without_secret(secret, at, &who));
    let changed = plain(apply(tx, scope, id, &act, &decide, by).await?).and_then(Result::ok);
    if changed.as_ref().is_some_and(|changed| changed.is_new) {
        let detail = serde_json::json!({
            "name": key.name, "address": by.address, "client": by.client, "reason": note.map_or("", String::as_str),
        });
        tell(tx, NoticeKind::KeySelfRevoked, &key, detail, by).await?;
    }
    Ok(changed)
}
