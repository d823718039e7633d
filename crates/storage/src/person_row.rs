//! People, memberships, sessions and invites as rows: their columns, and reading them back.

use crate::cells::{Cells, corrupt, known};
use crate::error::Error;
use claviger_domain::person::invite::Invite;
use claviger_domain::person::session::Session;
use claviger_domain::person::{Locale, Membership, User, UserState};
use claviger_domain::right::Role;
use claviger_domain::secret::Digest;
use claviger_domain::time::Timestamp;

/// What every reading of users selects.
macro_rules! user_columns {
    () => {
        "u.id AS user_id, u.email, u.email_verified_at, u.name AS user_name, u.is_operator, u.locale, \
         u.state AS user_state, u.created_at AS user_created_at, u.last_seen_at AS user_last_seen_at"
    };
}
pub(crate) use user_columns;

/// What every reading of memberships selects.
macro_rules! member_columns {
    () => {
        "m.org_id, m.role, m.invited_by, m.created_at AS joined_at, m.last_active_at"
    };
}
pub(crate) use member_columns;

/// What every reading of sessions selects.
macro_rules! session_columns {
    () => {
        "s.id AS session_id, s.user_id, s.created_at AS begun_at, s.last_seen_at, s.expires_at, s.fresh_until, \
         s.address, s.agent, s.ended_at"
    };
}
pub(crate) use session_columns;

/// What every reading of invites selects.
macro_rules! invite_columns {
    () => {
        "SELECT i.org_id, i.id, i.email, i.role, i.invited_by, i.created_at, i.expires_at, i.accepted_at, \
         i.accepted_by, i.withdrawn_at FROM invite i"
    };
}
pub(crate) use invite_columns;

pub(crate) fn user<R: Cells>(row: &R) -> Result<User, Error> {
    let state = row.text("user_state")?;
    Ok(User {
        id: row.parsed("user_id")?,
        email: row.parsed("email")?,
        email_verified_at: row.int_or_none("email_verified_at")?.map(Timestamp),
        name: row.text("user_name")?,
        is_operator: row.flag("is_operator")?,
        locale: row.text_or_none("locale")?.and_then(|name| Locale::from_name(&name)),
        state: known(UserState::from_name(&state), "users.state", &state)?,
        created_at: Timestamp(row.int("user_created_at")?),
        last_seen_at: row.int_or_none("user_last_seen_at")?.map(Timestamp),
    })
}

pub(crate) fn membership<R: Cells>(row: &R) -> Result<Membership, Error> {
    Ok(Membership {
        organization: row.parsed("org_id")?,
        user: row.parsed("user_id")?,
        role: role(row, "role")?,
        invited_by: row.text_or_none("invited_by")?,
        created_at: Timestamp(row.int("joined_at")?),
        last_active_at: row.int_or_none("last_active_at")?.map(Timestamp),
    })
}

pub(crate) fn session<R: Cells>(row: &R) -> Result<Session, Error> {
    Ok(Session {
        id: row.parsed("session_id")?,
        user: row.parsed("user_id")?,
        created_at: Timestamp(row.int("begun_at")?),
        last_seen_at: Timestamp(row.int("last_seen_at")?),
        expires_at: Timestamp(row.int("expires_at")?),
        fresh_until: Timestamp(row.int("fresh_until")?),
        address: row.text("address")?,
        agent: row.text("agent")?,
        ended_at: row.int_or_none("ended_at")?.map(Timestamp),
    })
}

pub(crate) fn invite<R: Cells>(row: &R) -> Result<Invite, Error> {
    let accepted_by = row.text_or_none("accepted_by")?;
    Ok(Invite {
        id: row.parsed("id")?,
        organization: row.parsed("org_id")?,
        email: row.parsed("email")?,
        role: role(row, "role")?,
        invited_by: row.text("invited_by")?,
        created_at: Timestamp(row.int("created_at")?),
        expires_at: Timestamp(row.int("expires_at")?),
        accepted_at: row.int_or_none("accepted_at")?.map(Timestamp),
        accepted_by: accepted_by.map(|id| id.parse().map_err(|_| corrupt("invite.accepted_by", &id))).transpose()?,
        withdrawn_at: row.int_or_none("withdrawn_at")?.map(Timestamp),
    })
}

pub(crate) fn role<R: Cells>(row: &R, column: &'static str) -> Result<Role, Error> {
    let name = row.text(column)?;
    known(Role::from_name(&name), "role", &name)
}

/// A digest as a row binds it.
pub(crate) fn bytes(digest: &Digest) -> Vec<u8> {
    digest.as_bytes().to_vec()
}
