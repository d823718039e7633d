//! The signed-in person themselves: one file per operation, and the object that all of them show.

pub(crate) mod get;
pub(crate) mod identities;
pub(crate) mod passkeys;
pub(crate) mod update;
pub(crate) mod verification;

use crate::auth::sessions::SessionObject;
use crate::authorize::Signed;
use crate::respond::Refusal;
use crate::serve::Control;
use claviger_domain::person::Locale;
use claviger_domain::tenancy::TenantScope;
use serde::Serialize;

/// A person, where they belong, and the session that asks.
#[derive(Serialize)]
pub(crate) struct MeObject {
    object: &'static str,
    id: String,
    email: String,
    email_verified: bool,
    name: String,
    locale: Option<&'static str>,
    operator: bool,
    has_password: bool,
    organizations: Vec<OwnOrganization>,
    session: SessionObject,
}

/// One organization in the switcher.
#[derive(Serialize)]
struct OwnOrganization {
    id: String,
    slug: String,
    name: String,
    state: &'static str,
    role: &'static str,
    balance: String,
}

/// The object of whoever is signed in.
pub(crate) async fn object(control: &Control, signed: &Signed) -> Result<MeObject, Refusal> {
    let live = signed.live();
    let mut organizations = Vec::new();
    for (organization, membership) in control.store().list_memberships(live.user.id).await? {
        let wallet = control.store().wallet(TenantScope(organization.id)).await?;
        organizations.push(OwnOrganization {
            id: organization.id.to_string(),
            slug: organization.slug,
            name: organization.name,
            state: organization.state.name(),
            role: membership.role.name(),
            balance: wallet.balance.to_string(),
        });
    }
    Ok(MeObject {
        object: "user",
        id: live.user.id.to_string(),
        email: live.user.email.to_string(),
        email_verified: live.user.email_verified_at.is_some(),
        name: live.user.name.clone(),
        locale: live.user.locale.map(Locale::name),
        operator: live.user.is_operator,
        has_password: control.store().find_password(live.user.id).await?.is_some(),
        organizations,
        session: SessionObject::new(&live.session, live.session.id),
    })
}
