//! Make an organization: the operator. Its first owner joins by invite.

use super::update::prefix;
use crate::authorize::Operator;
use crate::body::Fields;
use crate::edited::of_naming;
use crate::organization::OrganizationObject;
use crate::organization::update::slug;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::id::{EnvironmentId, OrganizationId};
use claviger_domain::key::Name;
use claviger_domain::limits;
use claviger_domain::tenancy::{OrganizationState, slug_of};
use claviger_storage::{NewOrganization, OrganizationEdit};

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<OrganizationObject>, Refusal> {
    query.finish()?;
    let name = Name::parse(&fields.required_text("name")?).map_err(|code| Refusal::from(code).about("name"))?;
    let slug = slug(&mut fields)?.unwrap_or_else(|| slug_of(name.as_str()));
    let keys_max = fields.count("max_keys", 0, limits::KEYS_PER_ORGANIZATION_MAX)?;
    let key_prefix = prefix(&call, &mut fields)?;
    fields.finish(&[])?;
    let (id, environment) = call.control.draw(|random| {
        (OrganizationId::generate(call.now.wall, random), EnvironmentId::generate(call.now.wall, random))
    });
    let new = NewOrganization {
        id,
        slug,
        name: name.as_str().to_owned(),
        state: OrganizationState::Active,
        environment,
        keys_max: keys_max.unwrap_or(limits::KEYS_PER_ORGANIZATION),
        at: call.now.wall,
    };
    let (store, by) = (call.control.store(), call.actor.attribution());
    let epoch = store.create_organization(new, by).await.map_err(|cause| of_naming(cause, "slug"))?;
    let _ = call.control.rights().confirmed(epoch, limits::EPOCH_APPLIED).await;
    if key_prefix.is_some() {
        let edit = OrganizationEdit { key_prefix: Some(key_prefix), ..OrganizationEdit::default() };
        store.update_organization(id, edit, None, by).await.map_err(Refusal::of_write)?;
    }
    let organization = store.find_organization(id).await?.ok_or(Code::InternalError)?;
    Ok(Json(OrganizationObject::new(&organization, 0)))
}
