//! Change the organization's name, slug or reporting zone: owners and admins.

use super::OrganizationObject;
use crate::authorize::Member;
use crate::body::Fields;
use crate::edited::{IfMatch, of_naming, settle};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::key::Name;
use claviger_domain::tenancy::is_slug;
use claviger_storage::OrganizationEdit;

/// Members of the object that are not for its members to set.
const READ_ONLY: &[&str] = &[
    "id",
    "object",
    "state",
    "reason",
    "max_keys",
    "live_keys",
    "key_prefix",
    "default_environment_id",
    "created_at",
    "version",
];

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    IfMatch(version): IfMatch,
    mut fields: Fields,
) -> Result<Json<OrganizationObject>, Refusal> {
    query.finish()?;
    let name = fields.text("name")?.map(|text| Name::parse(&text)).transpose();
    let name = name.map_err(|code| Refusal::from(code).about("name"))?.map(|name| name.as_str().to_owned());
    let slug = slug(&mut fields)?;
    let reporting_zone = fields.text("reporting_zone")?;
    fields.finish(READ_ONLY)?;
    if reporting_zone.as_deref().is_some_and(|zone| jiff::tz::TimeZone::get(zone).is_err()) {
        return Err(Refusal::invalid("reporting_zone", "the name of an IANA time zone such as 'Asia/Shanghai'"));
    }
    let edit = OrganizationEdit { name, slug, reporting_zone, ..OrganizationEdit::default() };
    let store = call.control.store();
    let edited = store.update_organization(call.actor.scope().0, edit, version, call.actor.attribution()).await;
    let (organization, _epoch) = settle(edited.map_err(|cause| of_naming(cause, "slug"))?, Code::OrganizationClosed)?;
    let live = store.count_live_keys(call.actor.scope(), call.now.wall).await?;
    Ok(Json(OrganizationObject::new(&organization, live)))
}

/// A slug that is one.
pub(crate) fn slug(fields: &mut Fields) -> Result<Option<String>, Refusal> {
    match fields.text("slug")? {
        Some(slug) if !is_slug(&slug) => {
            let expected = "1 to 40 lower-case letters, digits and single hyphens between them";
            Err(Refusal::invalid("slug", expected))
        }
        other => Ok(other),
    }
}
