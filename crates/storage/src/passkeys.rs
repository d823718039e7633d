//! Passkeys: credentials of people that their authenticators hold.

use crate::cells::Cells;
use crate::door::{Linked, Tx, both};
use crate::error::Error;
use crate::people::{self, record_for_person};
use crate::sessions;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{PasskeyId, SessionId, UserId};
use claviger_domain::limits;
use claviger_domain::person::User;
use claviger_domain::person::session::SessionEnd;
use claviger_domain::time::Timestamp;

statements! {
    INSERT = "INSERT INTO passkey (id, user_id, credential_id, public_key, sign_count, name, created_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    LIST = "SELECT id, user_id, credential_id, public_key, sign_count, name, created_at, last_used_at FROM passkey \
        WHERE user_id = $1 ORDER BY created_at, id";
    FIND = "SELECT id, user_id, credential_id, public_key, sign_count, name, created_at, last_used_at FROM passkey \
        WHERE credential_id = $1";
    LOCK_USER = "UPDATE users SET state = state WHERE id = $1";
    COUNT = "SELECT CAST(COUNT(*) AS BIGINT) AS held FROM passkey WHERE user_id = $1";
    DELETE = "DELETE FROM passkey WHERE id = $1 AND user_id = $2";
    USED = "UPDATE passkey SET sign_count = $3, last_used_at = $4 WHERE id = $1 AND sign_count = $2";
}

/// A passkey of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Its id.
    pub id: PasskeyId,
    /// Whose.
    pub user: UserId,
    /// The authenticator's name for it.
    pub credential_id: Vec<u8>,
    /// The COSE key, as the authenticator gave it.
    pub public_key: Vec<u8>,
    /// The authenticator's counter; 0 where it keeps none.
    pub sign_count: i64,
    /// As its owner calls it.
    pub name: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last signed in.
    pub last_used_at: Option<Timestamp>,
}

/// How adding a passkey ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasskeyOutcome {
    /// It is stored.
    Added,
    /// Somebody has this credential.
    Taken,
    /// The person has as many as they may.
    TooMany,
}

impl Store {
    /// Adds a passkey and ends every session of its owner but `except`.
    ///
    /// # Errors
    /// `OutcomeUnknown`: look whether it is there.
    pub async fn add_passkey(
        &self,
        new: Passkey,
        except: Option<SessionId>,
        by: &Attribution,
    ) -> Result<PasskeyOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let user = new.user.to_string();
            both!(tx, c => { sqlx::query(LOCK_USER).bind(&user).execute(c).await?; });
            if find(tx, &new.credential_id).await?.is_some() {
                return Ok(PasskeyOutcome::Taken);
            }
            let held = both!(tx, c => sqlx::query(COUNT).bind(&user).fetch_one(c).await?.int("held")?);
            if usize::try_from(held).unwrap_or(usize::MAX) >= limits::PASSKEYS_PER_USER {
                return Ok(PasskeyOutcome::TooMany);
            }
            both!(tx, c => {
                sqlx::query(INSERT)
                    .bind(new.id.to_string())
                    .bind(&user)
                    .bind(&new.credential_id)
                    .bind(&new.public_key)
                    .bind(new.sign_count)
                    .bind(&new.name)
                    .bind(new.created_at.0)
                    .execute(c)
                    .await?;
            });
            sessions::end_all(tx, new.user, except, SessionEnd::RightsChanged, by.at).await?;
            record_for_person(tx, new.user, &by, Action::PasskeyAdded).await?;
            Ok(PasskeyOutcome::Added)
        })
        .await
    }

    /// The passkeys of a person, oldest first.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_passkeys(&self, user: UserId) -> Result<Vec<Passkey>, Error> {
        let mut reader = self.reader().await?;
        let user = user.to_string();
        both!(&mut reader, c => sqlx::query(LIST).bind(&user).fetch_all(c).await?.iter().map(passkey).collect())
    }

    /// The passkey of a credential, and its owner. Not scoped: for signing in.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_passkey(&self, credential_id: &[u8]) -> Result<Option<(Passkey, User)>, Error> {
        let mut reader = self.reader().await?;
        let Some(passkey) = find(&mut reader, credential_id).await? else { return Ok(None) };
        let user = people::find(&mut reader, passkey.user).await?;
        Ok(user.map(|user| (passkey, user)))
    }

    /// Writes a use of a passkey. `false` = its counter moved meanwhile: the same answer came twice.
    ///
    /// # Errors
    /// The database's.
    pub async fn use_passkey(&self, id: PasskeyId, former: i64, count: i64, at: Timestamp) -> Result<bool, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let id = id.to_string();
            let rows = both!(tx, c => {
                let query = sqlx::query(USED).bind(&id).bind(former).bind(count).bind(at.0);
                query.execute(c).await?.rows_affected()
            });
            Ok(rows > 0)
        })
        .await
    }

    /// Removes a passkey of a person and ends every session of theirs but `except`. `false` = they have no such passkey.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn remove_passkey(
        &self,
        user: UserId,
        id: PasskeyId,
        except: Option<SessionId>,
        by: &Attribution,
    ) -> Result<bool, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (id, owner) = (id.to_string(), user.to_string());
            let rows = both!(tx, c => sqlx::query(DELETE).bind(&id).bind(&owner).execute(c).await?.rows_affected());
            if rows > 0 {
                sessions::end_all(tx, user, except, SessionEnd::RightsChanged, by.at).await?;
                record_for_person(tx, user, &by, Action::PasskeyDeleted).await?;
            }
            Ok(rows > 0)
        })
        .await
    }
}

async fn find(linked: &mut impl Linked, credential_id: &[u8]) -> Result<Option<Passkey>, Error> {
    both!(linked, c => {
        sqlx::query(FIND).bind(credential_id).fetch_optional(c).await?.map(|row| passkey(&row)).transpose()
    })
}

fn passkey<R: Cells>(row: &R) -> Result<Passkey, Error> {
    Ok(Passkey {
        id: row.parsed("id")?,
        user: row.parsed("user_id")?,
        credential_id: row.bytes("credential_id")?,
        public_key: row.bytes("public_key")?,
        sign_count: row.int("sign_count")?,
        name: row.text("name")?,
        created_at: Timestamp(row.int("created_at")?),
        last_used_at: row.int_or_none("last_used_at")?.map(Timestamp),
    })
}
