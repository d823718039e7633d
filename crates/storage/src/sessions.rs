//! Sessions and one-time tokens: begun, found by their digest, used up, ended.
//!
//! A token is used by one conditional update, so two requests with the same one never both pass.

use crate::cells::{Cells, known};
use crate::door::{Tx, both};
use crate::error::Error;
use crate::people::{self, record_for_person};
use crate::person_row::{bytes, session, session_columns, user, user_columns};
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{OrganizationId, SessionId, UserId};
use claviger_domain::person::User;
use claviger_domain::person::session::{Session, SessionEnd};
use claviger_domain::person::token::TokenKind;
use claviger_domain::secret::Digest;
use claviger_domain::time::Timestamp;

statements! {
    INSERT = "INSERT INTO user_session (id, user_id, token_hash, created_at, last_seen_at, expires_at, fresh_until, \
        address, agent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    FIND = concat!("SELECT ", session_columns!(), ", ", user_columns!(), " FROM user_session s \
        JOIN users u ON u.id = s.user_id WHERE s.token_hash = $1");
    LIST = concat!("SELECT ", session_columns!(), " FROM user_session s WHERE s.user_id = $1 \
        AND s.ended_at IS NULL AND s.expires_at > $2 ORDER BY s.created_at DESC, s.id DESC");
    TOUCH = "UPDATE user_session SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2";
    TOUCH_MEMBER = "UPDATE membership SET last_active_at = $3 WHERE org_id = $1 AND user_id = $2 \
        AND (last_active_at IS NULL OR last_active_at < $3)";
    END = "UPDATE user_session SET ended_at = $3, end_reason = $4 WHERE id = $1 AND user_id = $2 AND ended_at IS NULL";
    END_ALL = "UPDATE user_session SET ended_at = $2, end_reason = $3 WHERE user_id = $1 AND ended_at IS NULL \
        AND id <> $4";
    FORGET_SESSIONS = "DELETE FROM user_session WHERE expires_at < $1";
    INSERT_TOKEN = "INSERT INTO one_time_token (hash, kind, user_id, detail, created_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    REPLACE_TOKENS = "UPDATE one_time_token SET used_at = $3 WHERE kind = $1 AND user_id = $2 AND used_at IS NULL";
    REPLACE_KIND = "UPDATE one_time_token SET used_at = $2 WHERE kind = $1 AND used_at IS NULL";
    PEEK_TOKEN = "SELECT user_id, detail, expires_at FROM one_time_token \
        WHERE hash = $1 AND kind = $2 AND used_at IS NULL AND expires_at > $3";
    TAKE_TOKEN = "UPDATE one_time_token SET used_at = $3 \
        WHERE hash = $1 AND kind = $2 AND used_at IS NULL AND expires_at > $3 RETURNING user_id, detail, expires_at";
    AMEND_TOKEN = "UPDATE one_time_token SET user_id = $4, detail = $5 \
        WHERE hash = $1 AND kind = $2 AND used_at IS NULL AND expires_at > $3";
    FORGET_TOKENS = "DELETE FROM one_time_token WHERE expires_at < $1";
}

/// A one-time token to be stored.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its digest.
    pub digest: Digest,
    /// What it opens.
    pub kind: TokenKind,
    /// For whom.
    pub user: Option<UserId>,
    /// What its use must know; JSON, never a secret.
    pub detail: String,
    /// When it was drawn.
    pub created_at: Timestamp,
    /// Until when it may be used.
    pub expires_at: Timestamp,
    /// Which older ones it makes worthless.
    pub replaces: Replaces,
}

/// Which older tokens a new one makes worthless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replaces {
    /// None.
    Nothing,
    /// Those of the same kind and user.
    OfUser,
    /// All of the same kind.
    OfKind,
}

/// A token that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoodToken {
    /// For whom.
    pub user: Option<UserId>,
    /// What its use must know.
    pub detail: String,
    /// Until when it may be used.
    pub expires_at: Timestamp,
}

impl Store {
    /// Begins a session, in place of `replaces`. Audited as a sign-in where the person belongs.
    ///
    /// # Errors
    /// `Conflict`: the same id or digest exists.
    pub async fn begin_session(
        &self,
        new: Session,
        digest: Digest,
        replaces: Option<SessionId>,
        by: &Attribution,
    ) -> Result<(), Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            begin(tx, &new, &digest, replaces, by.at).await?;
            record_for_person(tx, new.user, &by, Action::LoginSucceeded).await
        })
        .await
    }

    /// The session of a token, ended ones included, and its user. Not scoped: for authentication.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_session(&self, digest: &Digest) -> Result<Option<(Session, User)>, Error> {
        let mut reader = self.reader().await?;
        let digest = bytes(digest);
        both!(&mut reader, c => {
            let row = sqlx::query(FIND).bind(&digest).fetch_optional(c).await?;
            row.map(|row| Ok((session(&row)?, user(&row)?))).transpose()
        })
    }

    /// The living sessions of a person, newest first.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>, Error> {
        let mut reader = self.reader().await?;
        let user = user.to_string();
        both!(&mut reader, c => {
            sqlx::query(LIST).bind(&user).bind(now.0).fetch_all(c).await?.iter().map(session).collect()
        })
    }

    /// Writes a use of a session, and of the membership it acts under; forwards only.
    ///
    /// # Errors
    /// The database's; the next use writes again.
    pub async fn touch_session(
        &self,
        id: SessionId,
        user: UserId,
        organization: Option<OrganizationId>,
        at: Timestamp,
    ) -> Result<(), Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let id = id.to_string();
            both!(tx, c => { sqlx::query(TOUCH).bind(&id).bind(at.0).execute(c).await?; });
            people::touch(tx, user, at).await?;
            if let Some(organization) = organization {
                let (organization, user) = (organization.to_string(), user.to_string());
                both!(tx, c => {
                    sqlx::query(TOUCH_MEMBER).bind(&organization).bind(&user).bind(at.0).execute(c).await?;
                });
            }
            Ok(())
        })
        .await
    }

    /// Ends one session of a person. `false` = no such living session of theirs.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn end_session(
        &self,
        user: UserId,
        id: SessionId,
        reason: SessionEnd,
        by: &Attribution,
    ) -> Result<bool, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let is_ended = end(tx, user, id, reason, by.at).await?;
            if is_ended {
                record_for_person(tx, user, &by, Action::SessionEnded).await?;
            }
            Ok(is_ended)
        })
        .await
    }

    /// Ends every session of a person but `except`.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn end_sessions(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: SessionEnd,
        by: &Attribution,
    ) -> Result<u64, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let ended = end_all(tx, user, except, reason, by.at).await?;
            record_for_person(tx, user, &by, Action::SessionEnded).await?;
            Ok(ended)
        })
        .await
    }

    /// Stores a one-time token.
    ///
    /// # Errors
    /// `Conflict`: the same token exists.
    pub async fn save_token(&self, new: NewToken) -> Result<(), Error> {
        self.act(async move |tx: &mut Tx<'_>| save_token(tx, &new).await).await
    }

    /// A token that could be used, without using it.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_token(
        &self,
        kind: TokenKind,
        digest: &Digest,
        now: Timestamp,
    ) -> Result<Option<GoodToken>, Error> {
        let mut reader = self.reader().await?;
        let digest = bytes(digest);
        both!(&mut reader, c => {
            let row = sqlx::query(PEEK_TOKEN).bind(&digest).bind(kind.name()).bind(now.0).fetch_optional(c).await?;
            row.map(|row| token(&row)).transpose()
        })
    }

    /// Uses a token up. `None` = there is no such token that may still be used.
    ///
    /// # Errors
    /// `OutcomeUnknown`: the token may be used up; draw another.
    pub async fn take_token(
        &self,
        kind: TokenKind,
        digest: Digest,
        now: Timestamp,
    ) -> Result<Option<GoodToken>, Error> {
        self.act(async move |tx: &mut Tx<'_>| take_token(tx, kind, &digest, now).await).await
    }

    /// Gives a waiting token its user and what they decided. `false` = it may not be used any more.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn amend_token(
        &self,
        kind: TokenKind,
        digest: Digest,
        user: UserId,
        detail: String,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let (digest, user) = (bytes(&digest), user.to_string());
            let rows = both!(tx, c => {
                sqlx::query(AMEND_TOKEN)
                    .bind(&digest)
                    .bind(kind.name())
                    .bind(now.0)
                    .bind(&user)
                    .bind(&detail)
                    .execute(c)
                    .await?
                    .rows_affected()
            });
            Ok(rows > 0)
        })
        .await
    }

    /// Forgets sessions and tokens that ended before `before`.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_sessions(&self, before: Timestamp) -> Result<u64, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let sessions = both!(tx, c => {
                sqlx::query(FORGET_SESSIONS).bind(before.0).execute(c).await?.rows_affected()
            });
            let tokens = both!(tx, c => {
                sqlx::query(FORGET_TOKENS).bind(before.0).execute(c).await?.rows_affected()
            });
            Ok(sessions.saturating_add(tokens))
        })
        .await
    }
}

pub(crate) async fn begin(
    tx: &mut Tx<'_>,
    new: &Session,
    digest: &Digest,
    replaces: Option<SessionId>,
    at: Timestamp,
) -> Result<(), Error> {
    if let Some(former) = replaces {
        end(tx, new.user, former, SessionEnd::Replaced, at).await?;
    }
    let digest = bytes(digest);
    both!(tx, c => {
        sqlx::query(INSERT)
            .bind(new.id.to_string())
            .bind(new.user.to_string())
            .bind(&digest)
            .bind(new.created_at.0)
            .bind(new.last_seen_at.0)
            .bind(new.expires_at.0)
            .bind(new.fresh_until.0)
            .bind(&new.address)
            .bind(&new.agent)
            .execute(c)
            .await?;
    });
    Ok(())
}

async fn end(tx: &mut Tx<'_>, user: UserId, id: SessionId, reason: SessionEnd, at: Timestamp) -> Result<bool, Error> {
    let (id, user) = (id.to_string(), user.to_string());
    let rows = both!(tx, c => {
        let query = sqlx::query(END).bind(&id).bind(&user).bind(at.0).bind(reason.name());
        query.execute(c).await?.rows_affected()
    });
    Ok(rows > 0)
}

/// Ends every session of a person but `except`; how many there were.
pub(crate) async fn end_all(
    tx: &mut Tx<'_>,
    user: UserId,
    except: Option<SessionId>,
    reason: SessionEnd,
    at: Timestamp,
) -> Result<u64, Error> {
    let user = user.to_string();
    let except = except.map(|id| id.to_string()).unwrap_or_default();
    Ok(both!(tx, c => {
        let query = sqlx::query(END_ALL).bind(&user).bind(at.0).bind(reason.name()).bind(&except);
        query.execute(c).await?.rows_affected()
    }))
}

pub(crate) async fn save_token(tx: &mut Tx<'_>, new: &NewToken) -> Result<(), Error> {
    let user = new.user.map(|id| id.to_string());
    match (new.replaces, &user) {
        (Replaces::OfUser, Some(_)) => {
            if let Some(user) = new.user {
                replace_tokens(tx, new.kind, user, new.created_at).await?;
            }
        }
        (Replaces::OfKind, _) => both!(tx, c => {
            sqlx::query(REPLACE_KIND).bind(new.kind.name()).bind(new.created_at.0).execute(c).await?;
        }),
        _ => {}
    }
    let digest = bytes(&new.digest);
    both!(tx, c => {
        sqlx::query(INSERT_TOKEN)
            .bind(&digest)
            .bind(new.kind.name())
            .bind(&user)
            .bind(&new.detail)
            .bind(new.created_at.0)
            .bind(new.expires_at.0)
            .execute(c)
            .await?;
    });
    Ok(())
}

/// Makes the tokens of a person that are not used yet worthless.
pub(crate) async fn replace_tokens(tx: &mut Tx<'_>, kind: TokenKind, user: UserId, at: Timestamp) -> Result<(), Error> {
    let user = user.to_string();
    both!(tx, c => {
        sqlx::query(REPLACE_TOKENS).bind(kind.name()).bind(&user).bind(at.0).execute(c).await?;
    });
    Ok(())
}

pub(crate) async fn take_token(
    tx: &mut Tx<'_>,
    kind: TokenKind,
    digest: &Digest,
    now: Timestamp,
) -> Result<Option<GoodToken>, Error> {
    let digest = bytes(digest);
    both!(tx, c => {
        let row = sqlx::query(TAKE_TOKEN).bind(&digest).bind(kind.name()).bind(now.0).fetch_optional(c).await?;
        row.map(|row| token(&row)).transpose()
    })
}

fn token<R: Cells>(row: &R) -> Result<GoodToken, Error> {
    let user = row.text_or_none("user_id")?;
    let user = user.map(|text| known(text.parse().ok(), "one_time_token.user_id", &text)).transpose()?;
    Ok(GoodToken { user, detail: row.text("detail")?, expires_at: Timestamp(row.int("expires_at")?) })
}
