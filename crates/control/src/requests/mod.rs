//! Request records and the receipts made of them.

pub(crate) mod get;
pub(crate) mod list;
mod object;
pub(crate) mod receipt;

use crate::authorize::{Member, Sight};
use crate::respond::Refusal;
use crate::serve::Call;
use claviger_domain::request::RequestRecord;
use claviger_domain::right::Permission;

/// The record of the path, if the caller sees it. Whose it is, its key says: a record of a key that is forgotten is
/// nobody's own.
async fn found(call: &Call<Member>) -> Result<RequestRecord, Refusal> {
    let (store, scope) = (call.control.store(), call.actor.scope());
    let record = store.find_request(scope, call.id("request")?).await?.ok_or_else(Refusal::not_found)?;
    if call.actor.seen_from().is_some_and(|environment| environment != record.environment) {
        return Err(Refusal::not_found());
    }
    if call.actor.sight(Permission::RequestsRead) != Sight::Everything {
        let key = store.find_key(scope, record.key).await?;
        let is_own = call.actor.owns(key.and_then(|key| key.owner));
        call.actor.require_own(Permission::RequestsRead, is_own)?;
    }
    Ok(record)
}
