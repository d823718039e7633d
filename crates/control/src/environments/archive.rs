//! Archive an environment, for ever: owners and admins. Its keys must be gone, or go with it.

use super::EnvironmentObject;
use crate::authorize::Member;
use crate::body::OptionalFields;
use crate::confirmation::narrowed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::revocation::Confirmation;
use claviger_domain::right::Permission;
use claviger_storage::ArchiveOutcome;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Archived {
    #[serde(flatten)]
    environment: EnvironmentObject,
    confirmation: Confirmation,
}

pub(crate) async fn handler(
    State(call): State<Call<Member>>,
    query: Query,
    OptionalFields(mut fields): OptionalFields,
) -> Result<Json<Archived>, Refusal> {
    query.finish()?;
    let revoke_keys = fields.flag("revoke_keys")?;
    fields.finish(&[])?;
    let id = call.id("project")?;
    let store = call.control.store();
    store.find_environment(call.actor.scope(), id).await?.ok_or_else(Refusal::not_found)?;
    if revoke_keys {
        // Ending other people's keys is a right of its own.
        call.actor.require_own(Permission::KeysRevoke, false)?;
    }
    let outcome = store.archive_environment(call.actor.scope(), id, revoke_keys, call.actor.attribution()).await;
    match outcome.map_err(Refusal::of_write)? {
        ArchiveOutcome::Done(environment, epoch) => {
            let confirmation = narrowed(&call, epoch, None).await?;
            Ok(Json(Archived { environment: EnvironmentObject::new(&environment), confirmation }))
        }
        ArchiveOutcome::InUse => Err(Code::EnvironmentInUse.into()),
        ArchiveOutcome::Unknown => Err(Refusal::not_found()),
    }
}
