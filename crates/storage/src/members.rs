//! Members of an organization: listed, given a role, removed; people who bring an organization of their own.
//!
//! The organization's row is locked first, so that two owners who remove each other at once see each other: exactly one
//! succeeds.

use crate::audit::record;
use crate::cells::Cells as _;
use crate::door::{Linked, Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::key_row::{self, key_columns, with_secrets};
use crate::keys::{self, ChangeKeyOutcome, change};
use crate::keyset::{self, Column, List, walked};
use crate::ledger::{self, Grant};
use crate::notices::{self, NewMail};
use crate::page::{Page, PageRequest};
use crate::people::{self, NewUser};
use crate::person_row::{member_columns, membership, user, user_columns};
use crate::sessions;
use crate::standing::{Demand, Judge};
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy::{self, NewOrganization};
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{KeyId, OrganizationId, UserId};
use claviger_domain::key::{Class, Key, Owner, Refused, RevocationReason, StateChange};
use claviger_domain::notice::{MailKind, Notice, NoticeKind};
use claviger_domain::person::ownership::{Fate, keeps_an_owner};
use claviger_domain::person::session::SessionEnd;
use claviger_domain::person::{Membership, User, UserState};
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::right::{Permission, Role};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;

statements! {
    LOCK = "UPDATE organization SET version = version + 1 WHERE id = $1";
    LOCK_NOTHING_CHANGED = "UPDATE organization SET version = version - 1 WHERE id = $1";
    INSERT = "INSERT INTO membership (org_id, user_id, role, created_at, invited_by) VALUES ($1, $2, $3, $4, $5)";
    FIND = concat!("SELECT ", user_columns!(), ", ", member_columns!(), " FROM membership m \
        JOIN users u ON u.id = m.user_id WHERE m.org_id = $1 AND m.user_id = $2");
    OWNERS = "SELECT m.user_id, u.state FROM membership m JOIN users u ON u.id = m.user_id \
        WHERE m.org_id = $1 AND m.role = 'owner'";
    SET_ROLE = "UPDATE membership SET role = $3 WHERE org_id = $1 AND user_id = $2";
    DELETE = "DELETE FROM membership WHERE org_id = $1 AND user_id = $2";
    SEEN_KEYS = concat!(key_columns!(), "FROM api_key k", with_secrets!(), "WHERE k.org_id = $1 \
        AND k.state <> 'revoked' AND (k.owner = $2 OR EXISTS (SELECT 1 FROM secret e WHERE e.key_id = k.id \
        AND e.created_by = $2 AND e.ended_at IS NULL)) ORDER BY k.id, s.number DESC");
    WITHDRAW_INVITES = "UPDATE invite SET withdrawn_at = $3 WHERE org_id = $1 AND invited_by = $2 \
        AND accepted_at IS NULL AND withdrawn_at IS NULL";
}

/// Everybody, by when they came.
const MEMBERS: List = List {
    table: "membership",
    select: concat!(
        "SELECT ",
        user_columns!(),
        ", ",
        member_columns!(),
        " FROM membership m JOIN users u ON u.id = m.user_id"
    ),
    tenant: Some(Column("m", "org_id")),
    at: Column("m", "created_at"),
    id: Column("m", "user_id"),
    filter: "AND (CAST($5 AS TEXT) IS NULL \
        OR REPLACE(CAST($5 AS TEXT), ',' || u.email || ',', '') <> CAST($5 AS TEXT))",
};

/// A member with the person behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: User,
    /// As what.
    pub membership: Membership,
}

/// How changing a member ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "made once an act; a box would only make it awkward to match")]
pub enum MemberOutcome {
    /// It is so now, by this call or before it.
    Done {
        /// The member as it is, or was before it went.
        member: Member,
        /// The epoch that brings it into force.
        epoch: Epoch,
    },
    /// No active owner would be left; nothing was changed.
    LastOwner,
}

/// What becomes of a key that a leaving member has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFate {
    /// It goes on, flagged for rotation.
    Keep,
    /// It goes on, flagged for rotation, as another member's.
    Transfer(UserId),
    /// It ends.
    Revoke,
}

/// What becomes of each key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// Of those that are not named.
    pub default: KeyFate,
    /// Of those that are.
    pub by_key: Vec<(KeyId, KeyFate)>,
}

impl Decisions {
    fn of(&self, id: KeyId) -> KeyFate {
        self.by_key.iter().find(|(named, _)| *named == id).map_or(self.default, |(_, fate)| *fate)
    }
}

/// A key after a member who has seen it left.
#[derive(Clone, Debug)]
pub struct LeftKey {
    /// As it is now.
    pub key: Key,
    /// What became of it.
    pub fate: KeyFate,
}

/// How removing a member ended.
#[derive(Clone, Debug)]
pub enum RemovalOutcome {
    /// They are gone.
    Done {
        /// The keys they owned or had seen.
        keys: Vec<LeftKey>,
        /// The epoch that brings all of it into force.
        epoch: Epoch,
    },
    /// No active owner would be left; nothing was changed.
    LastOwner,
}

/// An organization that somebody brings along, and what it starts with.
#[derive(Clone, Debug)]
pub struct Own {
    /// The organization.
    pub organization: NewOrganization,
    /// Its credit.
    pub credit: Option<Grant>,
}

impl From<NewOrganization> for Own {
    fn from(organization: NewOrganization) -> Self {
        Self { organization, credit: None }
    }
}

impl Store {
    /// Makes a person and an organization of their own, whose owner they are. `None` = the address is taken: nothing is
    /// made, and with `has_mail` whoever has the address is told that somebody tried.
    ///
    /// # Errors
    /// `Conflict` when the slug or an id is taken. `OutcomeUnknown`: repeat with the same ids.
    pub async fn sign_up(
        &self,
        new: NewUser,
        own: impl Into<Own>,
        has_mail: bool,
        by: &Attribution,
    ) -> Result<Option<User>, Error> {
        let (by, own) = (by.clone(), own.into());
        self.act(async move |tx: &mut Tx<'_>| {
            let existing = people::find_by_email(tx, &new.email).await?.map(|(user, _)| user);
            let is_repeated = existing.as_ref().is_some_and(|user| user.id == new.id);
            if !is_repeated && existing.is_none() {
                people::insert(tx, &new, by.at).await?;
                bring(tx, &own, new.id, &by).await?;
            }
            if has_mail {
                let kind = if existing.is_none() || is_repeated { MailKind::Verify } else { MailKind::AlreadyKnown };
                let user = existing.as_ref().map_or(new.id, |user| user.id);
                notices::post(tx, &welcome(kind, &new, user, by.at)).await?;
            }
            if existing.is_none() || is_repeated { people::find(tx, new.id).await } else { Ok(None) }
        })
        .await
    }

    /// The members of an organization, newest first unless asked otherwise; of these addresses only, if there are any, of
    /// which the first twenty count. `None` = unknown cursor.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_members(
        &self,
        scope: TenantScope,
        emails: &[String],
        page: &PageRequest,
    ) -> Result<Option<Page<Member>>, Error> {
        walked!(self, MEMBERS, Some(scope.0.to_string()), page, member, keyset::spread(emails))
    }

    /// One member.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_member(&self, scope: TenantScope, id: UserId) -> Result<Option<Member>, Error> {
        find(&mut self.reader().await?, scope, id).await
    }

    /// Gives a member a role; their sessions end, since they were signed in as something else. `None` = no such member.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe. `Beyond`: whoever acts may not, now.
    pub async fn change_role(
        &self,
        scope: TenantScope,
        id: UserId,
        role: Role,
        by: &Attribution,
    ) -> Result<Option<MemberOutcome>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            lock(tx, scope).await?;
            let Some(former) = find(tx, scope, id).await? else { return unchanged(tx, scope, None).await };
            let judge = Judge::of(tx, scope, &by).await?;
            judge.require(Permission::MembersManage)?;
            judge.require_role(former.membership.role)?;
            judge.require_role(role)?;
            if former.membership.role == role {
                let epoch = current_epoch(tx).await?;
                return unchanged(tx, scope, Some(MemberOutcome::Done { member: former, epoch })).await;
            }
            if keeps_an_owner(&owners(tx, scope).await?, id, Fate::Role(role)).is_err() {
                return unchanged(tx, scope, Some(MemberOutcome::LastOwner)).await;
            }
            let (organization, user) = (scope.0.to_string(), id.to_string());
            both!(tx, c => {
                sqlx::query(SET_ROLE).bind(&organization).bind(&user).bind(role.name()).execute(c).await?;
            });
            sessions::end_all(tx, id, None, SessionEnd::RightsChanged, by.at).await?;
            let changes =
                [change("role", Some(former.membership.role.name().to_owned()), Some(role.name().to_owned()))];
            record(tx, scope.0, &by, Action::UserUpdated, &user, &changes).await?;
            let epoch = publish(tx, scope.0, &Change::Organization, by.at).await?;
            let membership = Membership { role, ..former.membership };
            Ok(Some(MemberOutcome::Done { member: Member { membership, ..former }, epoch }))
        })
        .await
    }

    /// Removes a member: their sessions end, admin keys they own are revoked, the invites they sent are withdrawn, owners
    /// are told. Of the inference keys they own or have seen, each meets its decision; one that is kept is flagged for
    /// rotation. `None` = no such member.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe. `Beyond`: whoever acts may not, now.
    pub async fn remove_member(
        &self,
        scope: TenantScope,
        id: UserId,
        decisions: Decisions,
        by: &Attribution,
    ) -> Result<Option<RemovalOutcome>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            lock(tx, scope).await?;
            let Some(member) = find(tx, scope, id).await? else { return unchanged(tx, scope, None).await };
            let judge = Judge::of(tx, scope, &by).await?;
            judge.require(Permission::MembersManage)?;
            judge.require_role(member.membership.role)?;
            if keeps_an_owner(&owners(tx, scope).await?, id, Fate::Gone).is_err() {
                return unchanged(tx, scope, Some(RemovalOutcome::LastOwner)).await;
            }
            let (organization, user) = (scope.0.to_string(), id.to_string());
            both!(tx, c => { sqlx::query(DELETE).bind(&organization).bind(&user).execute(c).await?; });
            both!(tx, c => {
                sqlx::query(WITHDRAW_INVITES).bind(&organization).bind(&user).bind(by.at.0).execute(c).await?;
            });
            sessions::end_all(tx, id, None, SessionEnd::RightsChanged, by.at).await?;
            let mut keys = Vec::new();
            for key in seen_keys(tx, scope, id).await? {
                keys.push(leave(tx, scope, &judge, &key, id, &decisions, &by).await?);
            }
            record(tx, scope.0, &by, Action::UserDeleted, &user, &[]).await?;
            notices::notify(tx, &left(scope, &member, keys.len(), by.at)).await?;
            let epoch = publish(tx, scope.0, &Change::Organization, by.at).await?;
            Ok(Some(RemovalOutcome::Done { keys, epoch }))
        })
        .await
    }

    /// The living keys that a person owns, or whose living secrets they made and so have seen.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_seen_keys(&self, scope: TenantScope, id: UserId) -> Result<Vec<Key>, Error> {
        seen_keys(&mut self.reader().await?, scope, id).await
    }

    /// Makes a person an owner of an organization, whoever they were there. For the operator at this machine.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn make_owner(&self, scope: TenantScope, id: UserId, by: &Attribution) -> Result<Epoch, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            lock(tx, scope).await?;
            let user = id.to_string();
            let former = find(tx, scope, id).await?;
            let from = former.as_ref().map(|member| member.membership.role.name().to_owned());
            if former.is_some() {
                let organization = scope.0.to_string();
                both!(tx, c => {
                    sqlx::query(SET_ROLE).bind(&organization).bind(&user).bind(Role::Owner.name()).execute(c).await?;
                });
            } else {
                insert(tx, scope.0, id, Role::Owner, Some("operator"), by.at).await?;
            }
            sessions::end_all(tx, id, None, SessionEnd::RightsChanged, by.at).await?;
            let action = if former.is_some() { Action::UserUpdated } else { Action::UserAdded };
            let changes = [change("role", from, Some(Role::Owner.name().to_owned()))];
            record(tx, scope.0, &by, action, &user, &changes).await?;
            publish(tx, scope.0, &Change::Organization, by.at).await
        })
        .await
    }
}

async fn seen_keys(linked: &mut impl Linked, scope: TenantScope, id: UserId) -> Result<Vec<Key>, Error> {
    let (organization, id) = (scope.0.to_string(), id.to_string());
    both!(linked, c => key_row::keys(&sqlx::query(SEEN_KEYS).bind(&organization).bind(&id).fetch_all(c).await?))
}

/// What becomes of one key when somebody who has seen it leaves.
async fn leave(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    judge: &Judge,
    key: &Key,
    who: UserId,
    decisions: &Decisions,
    by: &Attribution,
) -> Result<LeftKey, Error> {
    let is_owner = key.owner == Some(Owner::User(who));
    let fate = match decisions.of(key.id) {
        // An admin key acts as its owner, who is gone.
        _ if key.class == Class::Admin && is_owner => KeyFate::Revoke,
        KeyFate::Keep => KeyFate::Keep,
        KeyFate::Revoke => {
            judge.require_change(tx, Demand::Permission(Permission::KeysRevoke), Some(key), key).await?;
            KeyFate::Revoke
        }
        KeyFate::Transfer(owner) => {
            // Another's admin key is managed by who may as much, before and behind.
            let next = Key { owner: Some(Owner::User(owner)), ..key.clone() };
            judge.require_change(tx, Demand::Strength(Permission::KeysUpdate), Some(key), &next).await?;
            judge.require_key(tx, &next).await?;
            KeyFate::Transfer(owner)
        }
    };
    let (at, changed_by) = (by.at, key_row::by_text(by));
    let decide = move |key: &Key| -> Result<Option<Key>, Refused> {
        Ok(match fate {
            KeyFate::Revoke => key.state.revoke(at, RevocationReason::MemberLeft).map(|state| {
                let reason = Some(RevocationReason::MemberLeft.name().to_owned());
                Key { state, state_changed: Some(StateChange { at, by: changed_by.clone(), reason }), ..key.clone() }
            }),
            KeyFate::Keep => Some(Key { rotation_due_since: key.rotation_due_since.or(Some(at)), ..key.clone() }),
            KeyFate::Transfer(owner) => Some(Key {
                owner: Some(Owner::User(owner)),
                rotation_due_since: key.rotation_due_since.or(Some(at)),
                ..key.clone()
            }),
        })
    };
    let action = if fate == KeyFate::Revoke { Action::KeyDeleted } else { Action::KeyUpdated };
    let changed = keys::apply(tx, scope, key.id, &action.into(), &decide, by).await?;
    let key = match changed {
        Some(ChangeKeyOutcome::Changed(changed)) => changed.key,
        _ => key.clone(),
    };
    Ok(LeftKey { key, fate })
}

/// What owners are told of a removal.
fn left(scope: TenantScope, member: &Member, keys: usize, at: Timestamp) -> Notice {
    let detail = serde_json::json!({
        "email": member.user.email.as_str(),
        "role": member.membership.role.name(),
        "keys_seen": keys,
    });
    Notice {
        kind: NoticeKind::MemberRemoved,
        organization: scope.0,
        also: None,
        object: member.user.id.to_string(),
        detail: detail.to_string(),
        at,
    }
}

/// The mail that answers a sign-up.
fn welcome(kind: MailKind, new: &NewUser, user: UserId, at: Timestamp) -> NewMail {
    NewMail {
        id: format!("sign_up_{}", new.id),
        kind,
        recipient: new.email.clone(),
        user: Some(user),
        organization: None,
        object: String::new(),
        detail: "{}".to_owned(),
        at,
    }
}

/// Makes an organization whose owner this person is.
pub(crate) async fn bring(tx: &mut Tx<'_>, own: &Own, owner: UserId, by: &Attribution) -> Result<(), Error> {
    let organization = own.organization.id;
    tenancy::insert(tx, &own.organization).await?;
    insert(tx, organization, owner, Role::Owner, None, by.at).await?;
    record(tx, organization, by, Action::OrganizationCreated, &organization.to_string(), &[]).await?;
    record(tx, organization, by, Action::UserAdded, &owner.to_string(), &[]).await?;
    publish(tx, organization, &Change::Organization, by.at).await?;
    if let Some(credit) = &own.credit {
        ledger::grant(tx, TenantScope(organization), credit, by).await?;
    }
    Ok(())
}

/// Locks the organization's row to the end of the transaction.
pub(crate) async fn lock(tx: &mut Tx<'_>, scope: TenantScope) -> Result<(), Error> {
    let id = scope.0.to_string();
    both!(tx, c => { sqlx::query(LOCK).bind(&id).execute(c).await?; });
    Ok(())
}

/// Takes the lock's version back: nothing changed.
pub(crate) async fn unchanged<T>(tx: &mut Tx<'_>, scope: TenantScope, answer: T) -> Result<T, Error> {
    let id = scope.0.to_string();
    both!(tx, c => { sqlx::query(LOCK_NOTHING_CHANGED).bind(&id).execute(c).await?; });
    Ok(answer)
}

pub(crate) async fn insert(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    user: UserId,
    role: Role,
    invited_by: Option<&str>,
    at: Timestamp,
) -> Result<(), Error> {
    both!(tx, c => {
        sqlx::query(INSERT)
            .bind(organization.to_string())
            .bind(user.to_string())
            .bind(role.name())
            .bind(at.0)
            .bind(invited_by)
            .execute(c)
            .await?;
    });
    Ok(())
}

pub(crate) async fn find(linked: &mut impl Linked, scope: TenantScope, id: UserId) -> Result<Option<Member>, Error> {
    let (organization, id) = (scope.0.to_string(), id.to_string());
    both!(linked, c => {
        sqlx::query(FIND).bind(&organization).bind(&id).fetch_optional(c).await?.map(|row| member(&row)).transpose()
    })
}

pub(crate) async fn owners(tx: &mut Tx<'_>, scope: TenantScope) -> Result<Vec<(UserId, UserState)>, Error> {
    let organization = scope.0.to_string();
    both!(tx, c => {
        let rows = sqlx::query(OWNERS).bind(&organization).fetch_all(c).await?;
        rows.iter()
            .map(|row| {
                let state = UserState::from_name(&row.text("state")?).unwrap_or(UserState::Disabled);
                Ok((row.parsed("user_id")?, state))
            })
            .collect()
    })
}

fn member<R: crate::cells::Cells>(row: &R) -> Result<Member, Error> {
    Ok(Member { user: user(row)?, membership: membership(row)? })
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    MEMBERS.built()
}
