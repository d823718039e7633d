//! Help people back in: a link to a new password, or to a first owner. The operator at the machine hands it over:
//! whoever makes such a link could use it, so a session's operator makes none, and each is recorded.

use super::{UserObject, find};
use crate::authorize::Operator;
use crate::body::OptionalFields;
use crate::mail;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::{Call, Control};
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::Attribution;
use claviger_domain::error::Code;
use claviger_domain::limits;
use claviger_domain::person::token::{Token, TokenKind};
use claviger_domain::tenancy::OrganizationState;
use claviger_domain::time::Now;
use claviger_storage::{NewToken, Replaces};
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct SetUpLink {
    object: &'static str,
    url: String,
    expires_at: i64,
}

/// A link to a new password.
pub(crate) async fn password(State(call): State<Call<Operator>>, query: Query) -> Result<Json<UserObject>, Refusal> {
    query.finish()?;
    call.actor.require_here("claviger users reset-password")?;
    let user = find(&call).await?;
    let url = mail::reset_link(&call.control, &user, call.actor.attribution(), call.now).await?;
    Ok(Json(UserObject { url: Some(url), ..UserObject::new(&user) }))
}

/// A new set-up link; the old one is dead. `force` makes one even where an owner exists, for another owner.
pub(crate) async fn set_up_link(
    State(call): State<Call<Operator>>,
    query: Query,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Json<SetUpLink>, Refusal> {
    query.finish()?;
    call.actor.require_here("claviger setup-link")?;
    let is_forced = fields.flag("force")?;
    fields.finish(&[])?;
    link(&call.control, is_forced, Some(call.actor.attribution()), call.now).await.map(Json)
}

/// Nobody's = the one that a start prints where there is no owner yet: no act of anybody.
async fn link(control: &Control, is_forced: bool, by: Option<&Attribution>, now: Now) -> Result<SetUpLink, Refusal> {
    let organizations = control.store().list_organizations().await?;
    let is_open = organizations.iter().any(|organization| organization.state == OrganizationState::SetUp);
    if !is_open && !is_forced {
        return Err(Code::AlreadySetUp.into());
    }
    let code = control.draw(|random| Token::draw_code(random));
    let expires_at = now.wall.plus(limits::SETUP_TTL);
    let new = NewToken {
        digest: code.digest(),
        kind: TokenKind::SetUp,
        user: None,
        detail: if is_forced { "forced".to_owned() } else { String::new() },
        created_at: now.wall,
        expires_at,
        replaces: Replaces::OfKind,
    };
    let saved = match by {
        Some(by) => control.store().make_link(new, by).await,
        None => control.store().save_token(new).await,
    };
    saved.map_err(Refusal::of_write)?;
    Ok(SetUpLink { object: "setup_link", url: mail::link(control, "setup", &code), expires_at: expires_at.seconds() })
}

impl Control {
    /// The set-up link that a start prints; `None` where an owner exists.
    pub async fn first_set_up_link(&self) -> Option<String> {
        link(self, false, None, self.clock().now()).await.ok().map(|link| link.url)
    }
}
