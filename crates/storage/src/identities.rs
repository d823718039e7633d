//! Accounts of identity providers: whose they are, and how somebody new becomes known by one.
//!
//! An account is its issuer's subject. An address never leads to an existing person: whoever has the mailbox today need
//! not be who had it when they were made. It may lead to a pending invite, which is for whoever has the mailbox.

use crate::audit::{record, record_for_instance};
use crate::cells::Cells as _;
use crate::door::{Linked, Tx, both};
use crate::epochs::publish;
use crate::error::Error;
use crate::invites;
use crate::members::{self, Own, lock, unchanged};
use crate::people::{self, NewUser, record_for_person};
use crate::person_row::{invite, invite_columns};
use crate::statements::statements;
use crate::store::Store;
use crate::tenancy;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{OrganizationId, UserId};
use claviger_domain::person::User;
use claviger_domain::person::invite::Invite;
use claviger_domain::revocation::Change;
use claviger_domain::right::Role;
use claviger_domain::tenancy::{OrganizationState, TenantScope};
use claviger_domain::time::Timestamp;

statements! {
    INSERT = "INSERT INTO identity (issuer, subject, user_id, created_at) VALUES ($1, $2, $3, $4)";
    FIND = "SELECT user_id FROM identity WHERE issuer = $1 AND subject = $2";
    LIST = "SELECT issuer, subject, created_at FROM identity WHERE user_id = $1 ORDER BY created_at, issuer, subject";
    DELETE = "DELETE FROM identity WHERE user_id = $1 AND issuer = $2";
    PENDING = concat!(invite_columns!(), " WHERE i.email = $1 AND i.accepted_at IS NULL AND i.withdrawn_at IS NULL \
        AND i.expires_at > $2 ORDER BY i.org_id");
}

/// An account elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who vouches for it.
    pub issuer: String,
    /// Their name for it, never given to another.
    pub subject: String,
    /// When it was linked.
    pub linked_at: Timestamp,
}

/// Where somebody new belongs whom nobody invited.
#[derive(Clone, Debug)]
pub enum Home {
    /// Where everybody of this issuer belongs.
    Member(OrganizationId, Role),
    /// An organization of their own.
    Own(Own),
}

/// How somebody arrived by an account that nobody is linked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// They are known now, and members somewhere.
    Joined(User),
    /// Somebody has the account or the address already; nothing was changed.
    Known,
    /// Nobody asked them in; nothing was changed.
    Uninvited,
}

impl Store {
    /// The person that an identity provider's account is linked to. Not scoped: for signing in.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_identity(&self, issuer: &str, subject: &str) -> Result<Option<User>, Error> {
        let mut reader = self.reader().await?;
        match find(&mut reader, issuer, subject).await? {
            Some(id) => people::find(&mut reader, id).await,
            None => Ok(None),
        }
    }

    /// The accounts that are linked to a person, oldest first.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn list_identities(&self, user: UserId) -> Result<Vec<Identity>, Error> {
        let mut reader = self.reader().await?;
        let user = user.to_string();
        both!(&mut reader, c => {
            let rows = sqlx::query(LIST).bind(&user).fetch_all(c).await?;
            rows.iter()
                .map(|row| {
                    Ok(Identity {
                        issuer: row.text("issuer")?,
                        subject: row.text("subject")?,
                        linked_at: Timestamp(row.int("created_at")?),
                    })
                })
                .collect()
        })
    }

    /// Links an identity provider's account to a person. The same link twice is one.
    ///
    /// # Errors
    /// `Conflict`: the account is linked to somebody else.
    pub async fn link_identity(
        &self,
        issuer: &str,
        subject: &str,
        user: UserId,
        by: &Attribution,
    ) -> Result<(), Error> {
        let (issuer, subject, by) = (issuer.to_owned(), subject.to_owned(), by.clone());
        self.act(async move |tx: &mut Tx<'_>| match find(tx, &issuer, &subject).await? {
            Some(linked) if linked == user => Ok(()),
            Some(_) => Err(Error::Conflict("identity")),
            None => link(tx, &issuer, &subject, user, &by).await,
        })
        .await
    }

    /// Takes a person's accounts of one issuer away. `false` = there was none.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn unlink_identity(&self, user: UserId, issuer: &str, by: &Attribution) -> Result<bool, Error> {
        let (issuer, by) = (issuer.to_owned(), by.clone());
        self.act(async move |tx: &mut Tx<'_>| {
            let text = user.to_string();
            let rows = both!(tx, c => sqlx::query(DELETE).bind(&text).bind(&issuer).execute(c).await?.rows_affected());
            if rows > 0 {
                record_for_person(tx, user, &by, Action::IdentityUnlinked).await?;
            }
            Ok(rows > 0)
        })
        .await
    }

    /// Makes a person of an account that nobody is linked to: a member by every pending invite of their address whose
    /// inviter may still give the role, else of `home`. Their address was proved by the issuer.
    ///
    /// # Errors
    /// `Conflict` when an id or the slug of a home of their own is taken. `OutcomeUnknown`: repeat with the same id.
    pub async fn join_by_identity(
        &self,
        new: NewUser,
        identity: Identity,
        home: Option<Home>,
        by: &Attribution,
    ) -> Result<Arrival, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| arrive(tx, &new, &identity, home.as_ref(), &by).await).await
    }
}

async fn arrive(
    tx: &mut Tx<'_>,
    new: &NewUser,
    identity: &Identity,
    home: Option<&Home>,
    by: &Attribution,
) -> Result<Arrival, Error> {
    if let Some(linked) = find(tx, &identity.issuer, &identity.subject).await? {
        let user = people::find(tx, linked).await?.filter(|user| user.id == new.id);
        return Ok(user.map_or(Arrival::Known, Arrival::Joined));
    }
    if people::find_by_email(tx, &new.email).await?.is_some() {
        return Ok(Arrival::Known);
    }
    let invites = acceptable(tx, new, by).await?;
    if invites.is_empty() && home.is_none() {
        return Ok(Arrival::Uninvited);
    }
    people::insert(tx, new, by.at).await?;
    link(tx, &identity.issuer, &identity.subject, new.id, by).await?;
    for invite in &invites {
        invites::join(tx, invite, new.id, by).await?;
    }
    match home.filter(|_| invites.is_empty()) {
        None => {}
        Some(Home::Member(organization, role)) => {
            lock(tx, TenantScope(*organization)).await?;
            let found = tenancy::find(tx, *organization).await?;
            if found.is_none_or(|found| found.state != OrganizationState::Active) {
                return Err(Error::Conflict("the organization of an issuer"));
            }
            settle(tx, *organization, new.id, *role, by).await?;
        }
        Some(Home::Own(own)) => members::bring(tx, own, new.id, by).await?,
    }
    Ok(people::find(tx, new.id).await?.map_or(Arrival::Uninvited, Arrival::Joined))
}

/// The pending invites of an address whose inviters may still give their roles, their organizations locked. In the order
/// of organizations, so that two who arrive at once wait for each other and not in a circle.
async fn acceptable(tx: &mut Tx<'_>, new: &NewUser, by: &Attribution) -> Result<Vec<Invite>, Error> {
    let pending = both!(tx, c => {
        let rows = sqlx::query(PENDING).bind(new.email.as_str()).bind(by.at.0).fetch_all(c).await?;
        rows.iter().map(invite).collect::<Result<Vec<_>, Error>>()?
    });
    let mut acceptable = Vec::new();
    for candidate in pending {
        let scope = TenantScope(candidate.organization);
        lock(tx, scope).await?;
        // Read again under the lock: it may have been withdrawn meanwhile.
        let found = invites::find(tx, scope, candidate.id).await?;
        let organization = tenancy::find(tx, scope.0).await?;
        let inviter = invites::inviter(tx, scope, &candidate.invited_by, by.at).await?;
        let is_good =
            |found: &Invite, creators| found.accept(&new.email, None, inviter.as_ref(), creators, by.at).is_ok();
        match (found, organization) {
            (Some(found), Some(organization)) if is_good(&found, organization.policy.creators) => {
                acceptable.push(found);
            }
            _ => unchanged(tx, scope, ()).await?,
        }
    }
    Ok(acceptable)
}

async fn settle(
    tx: &mut Tx<'_>,
    organization: OrganizationId,
    user: UserId,
    role: Role,
    by: &Attribution,
) -> Result<(), Error> {
    members::insert(tx, organization, user, role, None, by.at).await?;
    record(tx, organization, by, Action::UserAdded, &user.to_string(), &[]).await?;
    publish(tx, organization, &Change::Organization, by.at).await.map(drop)
}

async fn link(tx: &mut Tx<'_>, issuer: &str, subject: &str, user: UserId, by: &Attribution) -> Result<(), Error> {
    let text = user.to_string();
    both!(tx, c => {
        sqlx::query(INSERT).bind(issuer).bind(subject).bind(&text).bind(by.at.0).execute(c).await?;
    });
    record_for_instance(tx, by, Action::IdentityLinked, &text, &[]).await
}

async fn find(linked: &mut impl Linked, issuer: &str, subject: &str) -> Result<Option<UserId>, Error> {
    both!(linked, c => {
        let row = sqlx::query(FIND).bind(issuer).bind(subject).fetch_optional(c).await?;
        row.map(|row| row.parsed("user_id")).transpose()
    })
}
