//! List everybody, or the one person of an address: the operator.

use super::UserObject;
use crate::authorize::Operator;
use crate::page::List;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::error::Code;
use claviger_domain::person::EmailAddress;

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    mut query: Query,
) -> Result<Json<List<UserObject>>, Refusal> {
    let page = query.page()?;
    let email = query.text("email")?;
    query.finish()?;
    let store = call.control.store();
    if let Some(email) = email {
        let email = EmailAddress::parse(&email).ok_or_else(|| Refusal::invalid("email", "an e-mail address"))?;
        let found: Vec<_> = store.find_login(&email).await?.into_iter().map(|(user, _)| user).collect();
        return Ok(Json(List::whole(&found, |user| user.id.to_string(), UserObject::new)));
    }
    let found = store.list_users(&page).await?.ok_or(Code::InvalidCursor)?;
    Ok(Json(List::of(found, |user| user.id.to_string(), UserObject::new)))
}
