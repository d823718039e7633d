//! Invites: sent, sent again, taken back, accepted; and sealed texts left for a member.
//!
//! An invite is accepted under the lock of its organization's row, where the inviter's role of that very moment is read:
//! who lost the right to give the role gives nothing by a mail that is still on its way.

use crate::audit::record;
use crate::cells::{Cells as _, corrupt};
use crate::door::{Linked, Tx, both};
use crate::epochs::publish;
use crate::error::Error;
use crate::keyset::{Column, List, walked};
use crate::members::{self, lock, unchanged};
use crate::notices::{self, NewMail};
use crate::page::{Page, PageRequest};
use crate::people::{self, NewUser};
use crate::person_row::{bytes, invite, invite_columns};
use crate::replay::{self, Former, Once};
use crate::standing::{self, Judge};
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::error::Code;
use claviger_domain::id::{HandoverId, InviteId, KeyId, UserId};
use claviger_domain::limits;
use claviger_domain::notice::{MailKind, Notice, NoticeKind};
use claviger_domain::person::invite::Invite;
use claviger_domain::person::{User, UserState};
use claviger_domain::revocation::Change;
use claviger_domain::right::{Permission, Role, Standing};
use claviger_domain::secret::Digest;
use claviger_domain::tenancy::{Organization, TenantScope};
use claviger_domain::time::Timestamp;

statements! {
    INSERT = "INSERT INTO invite (org_id, id, email, role, token_hash, invited_by, created_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    REPLACE = "UPDATE invite SET withdrawn_at = $3 WHERE org_id = $1 AND email = $2 \
        AND accepted_at IS NULL AND withdrawn_at IS NULL";
    FIND = concat!(invite_columns!(), " WHERE i.org_id = $1 AND i.id = $2");
    FIND_BY_TOKEN = concat!(invite_columns!(), " WHERE i.token_hash = $1");
    IS_MEMBER = "SELECT m.user_id FROM membership m JOIN users u ON u.id = m.user_id WHERE m.org_id = $1 AND u.email = $2";
    COUNT_SENDS = "SELECT sends FROM invite WHERE org_id = $1 AND id = $2 \
        AND accepted_at IS NULL AND withdrawn_at IS NULL";
    COUNT_OF_ORGANIZATION = "SELECT CAST(COUNT(*) AS BIGINT) AS sent FROM invite WHERE org_id = $1 AND created_at > $2";
    COUNT_TO_ADDRESS = "SELECT CAST(COUNT(*) AS BIGINT) AS sent FROM invite WHERE email = $1 AND created_at > $2";
    RENEW = "UPDATE invite SET token_hash = $3, expires_at = $4, sends = sends + 1 WHERE org_id = $1 AND id = $2 \
        AND accepted_at IS NULL AND withdrawn_at IS NULL";
    GIVE_TOKEN = "UPDATE invite SET token_hash = $2 WHERE id = $1 AND accepted_at IS NULL AND withdrawn_at IS NULL \
        AND expires_at > $3";
    WITHDRAW = "UPDATE invite SET withdrawn_at = $3 WHERE org_id = $1 AND id = $2 AND accepted_at IS NULL \
        AND withdrawn_at IS NULL";
    ACCEPT = "UPDATE invite SET accepted_at = $3, accepted_by = $4 WHERE org_id = $1 AND id = $2 \
        AND accepted_at IS NULL AND withdrawn_at IS NULL";
    INSERT_HANDOVER = "INSERT INTO handover (org_id, id, ciphertext, created_by, created_at, expires_at) \
        VALUES ($1, $2, $3, $4, $5, $6)";
    TAKE_HANDOVER = "DELETE FROM handover WHERE id = $1 AND expires_at > $2 AND EXISTS (SELECT 1 FROM membership m \
        WHERE m.org_id = handover.org_id AND m.user_id = $3) RETURNING org_id, ciphertext";
    FORGET_HANDOVERS = "DELETE FROM handover WHERE expires_at <= $1";
}

/// All of an organization.
const INVITES: List = List {
    table: "invite",
    select: invite_columns!(),
    tenant: Some(Column("i", "org_id")),
    at: Column("i", "created_at"),
    id: Column("i", "id"),
    filter: "",
};

/// An invite to be stored.
#[derive(Clone, Debug)]
pub struct NewInvite {
    /// The invite; not accepted, not withdrawn.
    pub invite: Invite,
    /// The digest of its token; `None` = the mail's delivery draws it.
    pub digest: Option<Digest>,
}

/// How an invite was, or was not, sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InviteOutcome {
    /// It is.
    Sent,
    /// Whoever has the address is a member already.
    AlreadyMember,
    /// The organization, or this address, had as many as a day may bring.
    TooMany,
    /// It was sent before under the same Idempotency-Key.
    Repeated(Invite),
    /// The Idempotency-Key was used with another body.
    OtherBody,
}

/// How an invite was, or was not, sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResendOutcome {
    /// As it is now.
    Sent(Invite),
    /// It is used, withdrawn, or not here.
    NotPending,
    /// As often as one may be.
    TooOften,
}

/// How an invite was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "made once an act; a box would only make it awkward to match")]
pub enum AcceptOutcome {
    /// They are a member.
    Joined {
        /// Who.
        user: User,
        /// Where.
        organization: Organization,
    },
    /// By the rules of `reliability.md` §4, row 70.
    Refused(Code),
}

impl Store {
    /// Stores an invite and, with `has_mail`, puts its mail into the outbox. A pending invite of the same address is
    /// withdrawn. Under an Idempotency-Key it is sent once.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeat with the same id. `Beyond`: whoever invites may not, now.
    pub async fn create_invite(
        &self,
        new: NewInvite,
        has_mail: bool,
        once: Option<Once>,
        by: &Attribution,
    ) -> Result<InviteOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| send(tx, &new, has_mail, once.as_ref(), &by).await).await
    }

    /// The invites of an organization, newest first unless asked otherwise. `None` = unknown cursor.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_invites(&self, scope: TenantScope, page: &PageRequest) -> Result<Option<Page<Invite>>, Error> {
        walked!(self, INVITES, Some(scope.0.to_string()), page, invite)
    }

    /// One invite.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_invite(&self, scope: TenantScope, id: InviteId) -> Result<Option<Invite>, Error> {
        find(&mut self.reader().await?, scope, id).await
    }

    /// The invite of a token, used and withdrawn ones included as long as they have one. Not scoped: for whoever opens
    /// the link.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_invite_by_token(&self, digest: &Digest) -> Result<Option<Invite>, Error> {
        find_by_token(&mut self.reader().await?, digest).await
    }

    /// Gives a pending invite a new token, or none until its mail is delivered, and a new time; the old link is dead.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeat.
    pub async fn resend_invite(
        &self,
        scope: TenantScope,
        id: InviteId,
        digest: Option<Digest>,
        expires_at: Timestamp,
        has_mail: bool,
        by: &Attribution,
    ) -> Result<ResendOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), id.to_string());
            lock(tx, scope).await?;
            let sends = both!(tx, c => {
                let row = sqlx::query(COUNT_SENDS).bind(&organization).bind(&text).fetch_optional(c).await?;
                row.map(|row| row.int("sends")).transpose()?
            });
            match sends {
                None => return unchanged(tx, scope, ResendOutcome::NotPending).await,
                Some(sends) if sends >= i64::from(limits::INVITE_SENDS) => {
                    return unchanged(tx, scope, ResendOutcome::TooOften).await;
                }
                Some(_) => {}
            }
            both!(tx, c => {
                sqlx::query(RENEW)
                    .bind(&organization)
                    .bind(&text)
                    .bind(digest.as_ref().map(bytes))
                    .bind(expires_at.0)
                    .execute(c)
                    .await?;
            });
            let Some(found) = find(tx, scope, id).await? else { return Ok(ResendOutcome::NotPending) };
            if has_mail {
                notices::post(tx, &mail(&found, by.at)).await?;
            }
            record(tx, scope.0, &by, Action::InviteSent, &text, &[]).await?;
            Ok(ResendOutcome::Sent(found))
        })
        .await
    }

    /// Gives a pending invite the token that its mail is about to carry. `false` = it is not pending any more.
    ///
    /// # Errors
    /// `OutcomeUnknown`: draw another token.
    pub async fn give_invite_token(&self, id: InviteId, digest: Digest, now: Timestamp) -> Result<bool, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let (id, digest) = (id.to_string(), bytes(&digest));
            let rows = both!(tx, c => {
                sqlx::query(GIVE_TOKEN).bind(&id).bind(&digest).bind(now.0).execute(c).await?.rows_affected()
            });
            Ok(rows > 0)
        })
        .await
    }

    /// Takes an invite back. `None` = no such invite here; one that is not pending stays as it is.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn withdraw_invite(
        &self,
        scope: TenantScope,
        id: InviteId,
        by: &Attribution,
    ) -> Result<Option<Invite>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), id.to_string());
            let rows = both!(tx, c => {
                let query = sqlx::query(WITHDRAW).bind(&organization).bind(&text).bind(by.at.0);
                query.execute(c).await?.rows_affected()
            });
            if rows > 0 {
                record(tx, scope.0, &by, Action::InviteDeleted, &text, &[]).await?;
            }
            find(tx, scope, id).await
        })
        .await
    }

    /// Joins by an invite: an existing person, or `new` if they are not known yet. `None` = no invite has this token.
    ///
    /// # Errors
    /// `OutcomeUnknown`: the invite may be used; look.
    pub async fn accept_invite(
        &self,
        digest: Digest,
        who: Joining,
        asked: Option<Role>,
        by: &Attribution,
    ) -> Result<Option<AcceptOutcome>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| accept(tx, &digest, &who, asked, &by).await).await
    }

    /// Leaves a sealed text for a member.
    ///
    /// # Errors
    /// `Conflict`: the id exists.
    pub async fn create_handover(
        &self,
        scope: TenantScope,
        id: HandoverId,
        ciphertext: String,
        expires_at: Timestamp,
        by: &Attribution,
    ) -> Result<(), Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let text = id.to_string();
            both!(tx, c => {
                sqlx::query(INSERT_HANDOVER)
                    .bind(scope.0.to_string())
                    .bind(&text)
                    .bind(&ciphertext)
                    .bind(by.actor.parts().1)
                    .bind(by.at.0)
                    .bind(expires_at.0)
                    .execute(c)
                    .await?;
            });
            record(tx, scope.0, &by, Action::HandoverCreated, &text, &[]).await
        })
        .await
    }

    /// Takes a sealed text, once, if the person is a member of its organization. `None` = there is none for them.
    ///
    /// # Errors
    /// `OutcomeUnknown`: the text may be gone.
    pub async fn take_handover(&self, id: HandoverId, user: UserId, by: &Attribution) -> Result<Option<String>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (text, user) = (id.to_string(), user.to_string());
            let taken = both!(tx, c => {
                let row = sqlx::query(TAKE_HANDOVER).bind(&text).bind(by.at.0).bind(&user).fetch_optional(c).await?;
                row.map(|row| Ok::<_, Error>((row.parsed("org_id")?, row.text("ciphertext")?))).transpose()?
            });
            let Some((organization, ciphertext)) = taken else { return Ok(None) };
            record(tx, organization, &by, Action::HandoverTaken, &text, &[]).await?;
            Ok(Some(ciphertext))
        })
        .await
    }

    /// Forgets sealed texts whose time is over.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_handovers(&self, now: Timestamp) -> Result<u64, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            Ok(both!(tx, c => sqlx::query(FORGET_HANDOVERS).bind(now.0).execute(c).await?.rows_affected()))
        })
        .await
    }
}

/// Who joins.
#[derive(Clone, Debug)]
pub enum Joining {
    /// Somebody who is signed in.
    Known(UserId),
    /// Somebody new, made by the same act.
    New(NewUser),
}

async fn send(
    tx: &mut Tx<'_>,
    new: &NewInvite,
    has_mail: bool,
    once: Option<&Once>,
    by: &Attribution,
) -> Result<InviteOutcome, Error> {
    let scope = TenantScope(new.invite.organization);
    lock(tx, scope).await?;
    match replay::find(tx, once, by.at).await? {
        Former::None => {}
        Former::OtherBody => return unchanged(tx, scope, InviteOutcome::OtherBody).await,
        Former::Same(text) => {
            let former = match text.parse() {
                Ok(id) => find(tx, scope, id).await?,
                Err(_) => None,
            };
            let former = former.ok_or_else(|| corrupt("replay.object", &text))?;
            return unchanged(tx, scope, InviteOutcome::Repeated(former)).await;
        }
    }
    let (organization, email) = (scope.0.to_string(), new.invite.email.as_str());
    if find(tx, scope, new.invite.id).await?.is_some() {
        return unchanged(tx, scope, InviteOutcome::Sent).await;
    }
    let judge = Judge::of(tx, scope, by).await?;
    judge.require(Permission::MembersManage)?;
    judge.require_role(new.invite.role)?;
    let member = both!(tx, c => {
        sqlx::query(IS_MEMBER).bind(&organization).bind(email).fetch_optional(c).await?.is_some()
    });
    if member {
        return unchanged(tx, scope, InviteOutcome::AlreadyMember).await;
    }
    if are_too_many(tx, &organization, email, by.at).await? {
        return unchanged(tx, scope, InviteOutcome::TooMany).await;
    }
    both!(tx, c => {
        sqlx::query(REPLACE).bind(&organization).bind(email).bind(by.at.0).execute(c).await?;
    });
    insert(tx, new).await?;
    if has_mail {
        notices::post(tx, &mail(&new.invite, by.at)).await?;
    }
    let id = new.invite.id.to_string();
    replay::save(tx, once, &id).await?;
    record(tx, scope.0, by, Action::InviteSent, &id, &[]).await?;
    Ok(InviteOutcome::Sent)
}

/// Whether a day has brought as many invites of this organization, or to this address from anywhere, as it may: whoever
/// signs up freely must not be able to have mails sent to strangers without end.
async fn are_too_many(tx: &mut Tx<'_>, organization: &str, email: &str, now: Timestamp) -> Result<bool, Error> {
    let since = now.minus(limits::INVITE_WINDOW);
    let bounds = [
        (COUNT_OF_ORGANIZATION, organization, limits::INVITES_PER_ORGANIZATION),
        (COUNT_TO_ADDRESS, email, limits::INVITES_PER_ADDRESS),
    ];
    for (text, subject, most) in bounds {
        let sent = both!(tx, c => sqlx::query(text).bind(subject).bind(since.0).fetch_one(c).await?.int("sent")?);
        if sent >= i64::from(most) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn accept(
    tx: &mut Tx<'_>,
    digest: &Digest,
    who: &Joining,
    asked: Option<Role>,
    by: &Attribution,
) -> Result<Option<AcceptOutcome>, Error> {
    let Some(found) = find_by_token(tx, digest).await? else { return Ok(None) };
    let scope = TenantScope(found.organization);
    lock(tx, scope).await?;
    // Read again under the lock: somebody else may have been first.
    let Some(found) = find(tx, scope, found.id).await? else { return unchanged(tx, scope, None).await };
    let Some(organization) = tenancy::find(tx, scope.0).await? else { return unchanged(tx, scope, None).await };
    let email = match who {
        Joining::New(new) => Some(new.email.clone()),
        Joining::Known(id) => {
            let user = people::find(tx, *id).await?.filter(|user| user.state == UserState::Active);
            user.map(|user| user.email)
        }
    };
    let Some(email) = email else {
        return unchanged(tx, scope, Some(AcceptOutcome::Refused(Code::InvalidLogin))).await;
    };
    let inviter = inviter(tx, scope, &found.invited_by, by.at).await?;
    if let Err(code) = found.accept(&email, asked, inviter.as_ref(), organization.policy.creators, by.at) {
        return unchanged(tx, scope, Some(AcceptOutcome::Refused(code))).await;
    }
    let user = match who {
        Joining::Known(id) => *id,
        Joining::New(new) => {
            if people::find_by_email(tx, &new.email).await?.is_some() {
                return unchanged(tx, scope, Some(AcceptOutcome::Refused(Code::InvalidLogin))).await;
            }
            people::insert(tx, new, by.at).await?;
            new.id
        }
    };
    join(tx, &found, user, by).await?;
    let user = people::find(tx, user).await?;
    Ok(user.map(|user| AcceptOutcome::Joined { user, organization }))
}

pub(crate) async fn join(tx: &mut Tx<'_>, invite: &Invite, user: UserId, by: &Attribution) -> Result<(), Error> {
    let organization = invite.organization;
    let (organization_text, id, user_text) = (organization.to_string(), invite.id.to_string(), user.to_string());
    both!(tx, c => {
        let query = sqlx::query(ACCEPT).bind(&organization_text).bind(&id).bind(by.at.0).bind(&user_text);
        query.execute(c).await?;
    });
    if members::find(tx, TenantScope(organization), user).await?.is_none() {
        members::insert(tx, organization, user, invite.role, Some(&invite.invited_by), by.at).await?;
    }
    record(tx, organization, by, Action::InviteAccepted, &id, &[]).await?;
    record(tx, organization, by, Action::UserAdded, &user_text, &[]).await?;
    let notice = Notice {
        kind: NoticeKind::MemberJoined,
        organization,
        also: None,
        object: user_text,
        detail: serde_json::json!({ "email": invite.email.as_str(), "role": invite.role.name() }).to_string(),
        at: by.at,
    };
    notices::notify(tx, &notice).await?;
    publish(tx, organization, &Change::Organization, by.at).await.map(drop)
}

/// What the inviter stands on at this moment; `None` = nothing any more. A key is worth no more than its owner.
pub(crate) async fn inviter(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    invited_by: &str,
    now: Timestamp,
) -> Result<Option<Standing>, Error> {
    if invited_by.parse::<UserId>().is_ok() {
        return standing::of_user(tx, scope, invited_by).await;
    }
    if invited_by.parse::<KeyId>().is_ok() {
        let lifetimes = tenancy::find(tx, scope.0).await?.map(|found| found.policy.lifetimes).unwrap_or_default();
        return standing::of_key_id(tx, scope, invited_by, &lifetimes, now).await;
    }
    // The operator at this machine may always.
    Ok((invited_by == "operator").then_some(Standing::Member(Role::Owner)))
}

/// The mail that carries an invite; its token is drawn when it is delivered.
fn mail(invite: &Invite, at: Timestamp) -> NewMail {
    NewMail {
        id: format!("{}:{}", invite.id, at.0),
        kind: MailKind::Invite,
        recipient: invite.email.clone(),
        user: None,
        organization: Some(invite.organization),
        object: invite.id.to_string(),
        detail: serde_json::json!({ "role": invite.role.name() }).to_string(),
        at,
    }
}

async fn insert(tx: &mut Tx<'_>, new: &NewInvite) -> Result<(), Error> {
    both!(tx, c => {
        sqlx::query(INSERT)
            .bind(new.invite.organization.to_string())
            .bind(new.invite.id.to_string())
            .bind(new.invite.email.as_str())
            .bind(new.invite.role.name())
            .bind(new.digest.as_ref().map(bytes))
            .bind(&new.invite.invited_by)
            .bind(new.invite.created_at.0)
            .bind(new.invite.expires_at.0)
            .execute(c)
            .await?;
    });
    Ok(())
}

pub(crate) async fn find(linked: &mut impl Linked, scope: TenantScope, id: InviteId) -> Result<Option<Invite>, Error> {
    let (organization, id) = (scope.0.to_string(), id.to_string());
    both!(linked, c => {
        sqlx::query(FIND).bind(&organization).bind(&id).fetch_optional(c).await?.map(|row| invite(&row)).transpose()
    })
}

async fn find_by_token(linked: &mut impl Linked, digest: &Digest) -> Result<Option<Invite>, Error> {
    let digest = bytes(digest);
    both!(linked, c => {
        sqlx::query(FIND_BY_TOKEN).bind(&digest).fetch_optional(c).await?.map(|row| invite(&row)).transpose()
    })
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    INVITES.built()
}
