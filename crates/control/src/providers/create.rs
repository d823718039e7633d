//! Bring a provider along: owners and admins, who signed in a moment ago.

use super::writable::{self, Given};
use super::{ProviderObject, READ_ONLY, settle};
use crate::authorize::Member;
use crate::body::Fields;
use crate::query::Query;
use crate::registries::{require_within_reach, seen};
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::ProviderId;
use claviger_domain::own_provider::{self, OwnProvider};

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<ProviderObject>, Refusal> {
    query.finish()?;
    call.actor.require_fresh()?;
    let settings = call.control.settings();
    let missing = |name: &str| {
        let message = format!("Missing required parameter: '{name}'.");
        Refusal::because(Code::MissingRequiredParameter, message).about(name)
    };
    let name = writable::name(&mut fields)?.ok_or_else(|| missing("name"))?;
    let registry = fields.required_text("registry_id")?.parse().map_err(|_| Refusal::not_found())?;
    let dialect = writable::dialect(&mut fields)?.ok_or_else(|| missing("dialect"))?;
    let place = writable::base_url(&mut fields, &settings.providers.reach)?.ok_or_else(|| missing("base_url"))?;
    let credential = writable::credential(&mut fields)?;
    let models = writable::models(&mut fields)?.unwrap_or_default();
    let is_enabled = writable::enabled(&mut fields)?.unwrap_or(true);
    let concurrency_max = writable::max_concurrency(&mut fields)?.unwrap_or(0);
    fields.finish(READ_ONLY)?;
    require_within_reach(&call, seen(&call, registry).await?.environment)?;
    let mut new = OwnProvider {
        id: call.control.draw(|random| ProviderId::generate(call.now.wall, random)),
        organization: call.actor.scope().0,
        registry,
        name,
        dialect,
        base_url: place.url(),
        is_enabled,
        concurrency_max,
        models,
        credential: None,
        credentials: 0,
        created_at: call.now.wall,
        version: 1,
    };
    if let Given::New(plain) = credential {
        new.credentials = 1;
        let pepper = call.control.pepper()?;
        let sealed = call.control.draw(|random| own_provider::credential(&new, &plain, pepper, random));
        new.credential = Some(sealed.ok_or_else(|| PublicError::new(Code::InternalError))?);
    }
    let made = call.control.store().create_provider(call.actor.scope(), new, call.actor.attribution()).await;
    Ok(Json(ProviderObject::new(&settle(&call, made).await?)))
}
