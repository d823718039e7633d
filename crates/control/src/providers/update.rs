//! Change a provider: owners and admins. A new credential takes the place of the old one; a new host asks for one, since
//! what was sealed for another host does not open.

use super::writable::{self, Given};
use super::{ProviderObject, READ_ONLY, find, settle};
use crate::authorize::Member;
use crate::body::Fields;
use crate::edited::IfMatch;
use crate::query::Query;
use crate::registries::{require_within_reach, seen};
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::own_provider;

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    IfMatch(version): IfMatch,
    mut fields: Fields,
) -> Result<Json<ProviderObject>, Refusal> {
    query.finish()?;
    let (former, shown_by) = find(&call).await?;
    require_within_reach(&call, shown_by.environment)?;
    if version.is_some_and(|version| version != former.version) {
        return Err(Code::VersionConflict.into());
    }
    let mut next = former.clone();
    if let Some(name) = writable::name(&mut fields)? {
        next.name = name;
    }
    if let Some(registry) = fields.text("registry_id")? {
        next.registry = registry.parse().map_err(|_| Refusal::not_found())?;
        require_within_reach(&call, seen(&call, next.registry).await?.environment)?;
    }
    if let Some(dialect) = writable::dialect(&mut fields)? {
        next.dialect = dialect;
    }
    if let Some(place) = writable::base_url(&mut fields, &call.control.settings().providers.reach)? {
        next.base_url = place.url();
    }
    if let Some(models) = writable::models(&mut fields)? {
        next.models = models;
    }
    next.is_enabled = writable::enabled(&mut fields)?.unwrap_or(next.is_enabled);
    next.concurrency_max = writable::max_concurrency(&mut fields)?.unwrap_or(next.concurrency_max);
    let credential = writable::credential(&mut fields)?;
    fields.finish(READ_ONLY)?;
    let origin = |of: &own_provider::OwnProvider| of.bound().map(|bound| bound.origin);
    match credential {
        Given::Nothing if next.credential.is_some() && origin(&next) != origin(&former) => {
            return Err(Refusal::from(Code::CredentialNeeded).about("credential"));
        }
        Given::Nothing => {}
        Given::None => next.credential = None,
        Given::New(plain) => {
            call.actor.require_fresh()?;
            next.credentials = next.credentials.saturating_add(1);
            let pepper = call.control.pepper()?;
            let sealed = call.control.draw(|random| own_provider::credential(&next, &plain, pepper, random));
            next.credential = Some(sealed.ok_or_else(|| PublicError::new(Code::InternalError))?);
        }
    }
    let written = call.control.store().update_provider(call.actor.scope(), next, call.actor.attribution()).await;
    Ok(Json(ProviderObject::new(&settle(&call, written).await?)))
}
