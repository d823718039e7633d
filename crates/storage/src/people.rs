//! People of the instance: made, found, changed, refused. What they belong to is `members.rs`.
//!
//! Whatever makes a credential worthless ends the sessions that were opened with it, in the same transaction.

use crate::audit::{record, record_for_instance};
use crate::cells::Cells as _;
use crate::door::{Linked, Tx, both};
use crate::error::Error;
use crate::keyset::{Column, List, walked};
use crate::members;
use crate::page::{Page, PageRequest};
use crate::person_row::{member_columns, membership, user, user_columns};
use crate::sessions;
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{OrganizationId, SessionId, UserId};
use claviger_domain::person::ownership::{Fate, keeps_an_owner};
use claviger_domain::person::session::SessionEnd;
use claviger_domain::person::token::TokenKind;
use claviger_domain::person::{EmailAddress, Locale, Membership, User, UserState};
use claviger_domain::secret::Secret;
use claviger_domain::tenancy::{Organization, TenantScope};
use claviger_domain::time::Timestamp;

statements! {
    INSERT = "INSERT INTO users (id, email, password_hash, created_at, name, email_verified_at, is_operator) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    FIND = concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id = $1");
    FIND_BY_EMAIL = concat!("SELECT ", user_columns!(), ", u.password_hash FROM users u WHERE u.email = $1");
    FIND_PASSWORD = "SELECT password_hash FROM users WHERE id = $1";
    MEMBERSHIPS = concat!("SELECT m.user_id, ", member_columns!(), " FROM membership m \
        WHERE m.user_id = $1 ORDER BY m.created_at, m.org_id");
    SET_PASSWORD = "UPDATE users SET password_hash = $2 WHERE id = $1";
    REHASH = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2";
    VERIFY = "UPDATE users SET email_verified_at = $2 WHERE id = $1 AND email_verified_at IS NULL";
    UPDATE_PROFILE = "UPDATE users SET name = $2, locale = $3 WHERE id = $1";
    SET_OPERATOR = "UPDATE users SET is_operator = $2 WHERE id = $1";
    SET_STATE = "UPDATE users SET state = $2 WHERE id = $1";
    LOCK = "UPDATE users SET state = state WHERE id = $1";
    TOUCH = "UPDATE users SET last_seen_at = $2 WHERE id = $1 AND (last_seen_at IS NULL OR last_seen_at < $2)";
}

/// Everybody of the instance.
const EVERYBODY: List = List {
    table: "users",
    select: concat!("SELECT ", user_columns!(), " FROM users u"),
    tenant: None,
    at: Column("u", "created_at"),
    id: Column("u", "id"),
    filter: "",
};

/// A person to be stored.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// Their id.
    pub id: UserId,
    /// Their address.
    pub email: EmailAddress,
    /// A PHC string; `None` = they sign in by other ways.
    pub password_hash: Option<Secret<String>>,
    /// As they write it; may be empty.
    pub name: String,
    /// Whether mail to the address is known to arrive.
    pub is_verified: bool,
    /// Whether they are an operator of the instance.
    pub is_operator: bool,
}

/// What of a profile its owner chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// As they write it; may be empty.
    pub name: String,
    /// Their language.
    pub locale: Option<Locale>,
}

/// What the operator changes of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// Operator of the instance, or not.
    Operator(bool),
    /// Whether they may come at all.
    State(UserState),
}

impl Store {
    /// Makes a person. Repeating it with the same id changes nothing. `None` = the address is taken.
    ///
    /// # Errors
    /// `Conflict` when the id is taken by another address.
    pub async fn create_user(&self, new: NewUser, by: &Attribution) -> Result<Option<User>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            if let Some(existing) = find(tx, new.id).await? {
                return if existing.email == new.email { Ok(Some(existing)) } else { Err(Error::Conflict("user id")) };
            }
            if find_by_email(tx, &new.email).await?.is_some() {
                return Ok(None);
            }
            insert(tx, &new, by.at).await?;
            record_for_instance(tx, &by, Action::UserAdded, &new.id.to_string(), &[]).await?;
            find(tx, new.id).await
        })
        .await
    }

    /// A person by id. Not scoped: for authentication and the operator.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_user(&self, id: UserId) -> Result<Option<User>, Error> {
        find(&mut self.reader().await?, id).await
    }

    /// A person by address, with the PHC string of their password if they have one. For signing in.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_login(&self, email: &EmailAddress) -> Result<Option<(User, Option<Secret<String>>)>, Error> {
        find_by_email(&mut self.reader().await?, email).await
    }

    /// The PHC string of a person's password, if they have one.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_password(&self, id: UserId) -> Result<Option<Secret<String>>, Error> {
        let mut reader = self.reader().await?;
        let id = id.to_string();
        let found = both!(&mut reader, c => {
            let row = sqlx::query(FIND_PASSWORD).bind(&id).fetch_optional(c).await?;
            row.map(|row| row.text("password_hash")).transpose()?
        });
        Ok(found.filter(|hash| !hash.is_empty()).map(Secret::new))
    }

    /// Where a person belongs, oldest membership first.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_memberships(&self, id: UserId) -> Result<Vec<(Organization, Membership)>, Error> {
        let mut reader = self.reader().await?;
        let mut found = Vec::new();
        for membership in memberships(&mut reader, id).await? {
            if let Some(organization) = tenancy::find(&mut reader, membership.organization).await? {
                found.push((organization, membership));
            }
        }
        Ok(found)
    }

    /// Everybody, newest first unless asked otherwise. For the operator. `None` = unknown cursor.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_users(&self, page: &PageRequest) -> Result<Option<Page<User>>, Error> {
        walked!(self, EVERYBODY, None, page, user)
    }

    /// Sets a password and ends every session but `except`. `false` = no such person.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn set_password(
        &self,
        id: UserId,
        password_hash: Secret<String>,
        except: Option<SessionId>,
        by: &Attribution,
    ) -> Result<bool, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let is_known = set_password(tx, id, &password_hash, by.at).await?;
            if is_known {
                sessions::end_all(tx, id, except, SessionEnd::RightsChanged, by.at).await?;
                record_for_person(tx, id, &by, Action::PasswordChanged).await?;
            }
            Ok(is_known)
        })
        .await
    }

    /// Replaces a hash by one of the same password under newer parameters; nothing happens if the password changed
    /// meanwhile. No right changes: no record, no session ends.
    ///
    /// # Errors
    /// The database's.
    pub async fn rehash_password(&self, id: UserId, old: Secret<String>, new: Secret<String>) -> Result<(), Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let id = id.to_string();
            both!(tx, c => {
                sqlx::query(REHASH).bind(&id).bind(old.expose()).bind(new.expose()).execute(c).await?;
            });
            Ok(())
        })
        .await
    }

    /// Changes a profile.
    ///
    /// # Errors
    /// The database's.
    pub async fn update_profile(&self, id: UserId, profile: Profile) -> Result<Option<User>, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let text = id.to_string();
            let locale = profile.locale.map(Locale::name);
            both!(tx, c => {
                sqlx::query(UPDATE_PROFILE).bind(&text).bind(&profile.name).bind(locale).execute(c).await?;
            });
            find(tx, id).await
        })
        .await
    }

    /// Makes a person an operator, or refuses them everywhere. Their sessions end: the next sign-in has the new rights.
    /// `None` = no such person.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe. `LastOwner`: an organization has no other active owner.
    pub async fn change_user(&self, id: UserId, change: UserChange, by: &Attribution) -> Result<Option<User>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let text = id.to_string();
            if change == UserChange::State(UserState::Disabled) {
                keep_owners(tx, id).await?;
            }
            both!(tx, c => { sqlx::query(LOCK).bind(&text).execute(c).await?; });
            let Some(former) = find(tx, id).await? else { return Ok(None) };
            let field = match change {
                UserChange::Operator(is_operator) => {
                    both!(tx, c => { sqlx::query(SET_OPERATOR).bind(&text).bind(is_operator).execute(c).await?; });
                    crate::keys::change("operator", Some(former.is_operator.to_string()), Some(is_operator.to_string()))
                }
                UserChange::State(state) => {
                    both!(tx, c => { sqlx::query(SET_STATE).bind(&text).bind(state.name()).execute(c).await?; });
                    crate::keys::change("state", Some(former.state.name().to_owned()), Some(state.name().to_owned()))
                }
            };
            sessions::end_all(tx, id, None, SessionEnd::RightsChanged, by.at).await?;
            record_for_instance(tx, &by, Action::UserUpdated, &text, &[field]).await?;
            find(tx, id).await
        })
        .await
    }
}

/// Refuses to switch off somebody without whom an organization has no active owner; the rows of their organizations are
/// locked, in the order of their ids, before their own.
async fn keep_owners(tx: &mut Tx<'_>, id: UserId) -> Result<(), Error> {
    let mut places: Vec<OrganizationId> =
        memberships(tx, id).await?.into_iter().map(|membership| membership.organization).collect();
    places.sort_unstable();
    for place in places {
        let scope = TenantScope(place);
        members::lock(tx, scope).await?;
        let owners = members::owners(tx, scope).await?;
        let is_active = owners.iter().any(|(user, state)| *user == id && *state == UserState::Active);
        if is_active && keeps_an_owner(&owners, id, Fate::Gone).is_err() {
            return Err(Error::LastOwner);
        }
        members::unchanged(tx, scope, ()).await?;
    }
    Ok(())
}

/// Writes the record where the person belongs, or in the instance's chain if they belong nowhere.
pub(crate) async fn record_for_person(
    tx: &mut Tx<'_>,
    id: UserId,
    by: &Attribution,
    action: Action,
) -> Result<(), Error> {
    let places: Vec<OrganizationId> =
        memberships(tx, id).await?.into_iter().map(|membership| membership.organization).collect();
    let target = id.to_string();
    if places.is_empty() {
        return record_for_instance(tx, by, action, &target, &[]).await;
    }
    for organization in places {
        record(tx, organization, by, action, &target, &[]).await?;
    }
    Ok(())
}

pub(crate) async fn insert(tx: &mut Tx<'_>, new: &NewUser, at: Timestamp) -> Result<(), Error> {
    let password = new.password_hash.as_ref().map(|hash| hash.expose().clone()).unwrap_or_default();
    both!(tx, c => {
        sqlx::query(INSERT)
            .bind(new.id.to_string())
            .bind(new.email.as_str())
            .bind(&password)
            .bind(at.0)
            .bind(&new.name)
            .bind(new.is_verified.then_some(at.0))
            .bind(new.is_operator)
            .execute(c)
            .await?;
    });
    Ok(())
}

pub(crate) async fn find(linked: &mut impl Linked, id: UserId) -> Result<Option<User>, Error> {
    let id = id.to_string();
    both!(linked, c => sqlx::query(FIND).bind(&id).fetch_optional(c).await?.map(|row| user(&row)).transpose())
}

pub(crate) async fn find_by_email(
    linked: &mut impl Linked,
    email: &EmailAddress,
) -> Result<Option<(User, Option<Secret<String>>)>, Error> {
    both!(linked, c => {
        let row = sqlx::query(FIND_BY_EMAIL).bind(email.as_str()).fetch_optional(c).await?;
        row.map(|row| {
            let password = row.text("password_hash")?;
            Ok((user(&row)?, (!password.is_empty()).then(|| Secret::new(password))))
        })
        .transpose()
    })
}

pub(crate) async fn memberships(linked: &mut impl Linked, id: UserId) -> Result<Vec<Membership>, Error> {
    let id = id.to_string();
    both!(linked, c => sqlx::query(MEMBERSHIPS).bind(&id).fetch_all(c).await?.iter().map(membership).collect())
}

/// Sets a password; links to a new one that are still open are worth nothing any more. `false` = no such person.
pub(crate) async fn set_password(
    tx: &mut Tx<'_>,
    id: UserId,
    hash: &Secret<String>,
    at: Timestamp,
) -> Result<bool, Error> {
    sessions::replace_tokens(tx, TokenKind::Reset, id, at).await?;
    let id = id.to_string();
    Ok(both!(tx, c => sqlx::query(SET_PASSWORD).bind(&id).bind(hash.expose()).execute(c).await?.rows_affected()) > 0)
}

pub(crate) async fn verify_email(tx: &mut Tx<'_>, id: UserId, by: &Attribution) -> Result<(), Error> {
    let text = id.to_string();
    let rows = both!(tx, c => sqlx::query(VERIFY).bind(&text).bind(by.at.0).execute(c).await?.rows_affected());
    if rows > 0 {
        record_for_person(tx, id, by, Action::EmailVerified).await?;
    }
    Ok(())
}

pub(crate) async fn touch(tx: &mut Tx<'_>, id: UserId, at: Timestamp) -> Result<(), Error> {
    let id = id.to_string();
    both!(tx, c => { sqlx::query(TOUCH).bind(&id).bind(at.0).execute(c).await?; });
    Ok(())
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    EVERYBODY.built()
}
