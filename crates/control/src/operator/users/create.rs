//! Make a person: the operator, also where nobody may sign up. They choose their password by the link in the reply.

use super::UserObject;
use crate::authorize::Operator;
use crate::body::Fields;
use crate::mail;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::id::UserId;
use claviger_domain::key::Name;
use claviger_domain::person::EmailAddress;
use claviger_storage::NewUser;

pub(crate) async fn handler(
    State(call): State<Call<Operator>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<UserObject>, Refusal> {
    query.finish()?;
    let email = EmailAddress::parse(&fields.required_text("email")?);
    let email = email.ok_or_else(|| Refusal::invalid("email", "an e-mail address"))?;
    let name = fields.text("name")?.map(|text| Name::parse(&text)).transpose();
    let name = name.map_err(|code| Refusal::from(code).about("name"))?;
    fields.finish(&["id", "state", "created_at"])?;
    let new = NewUser {
        id: call.control.draw(|random| UserId::generate(call.now.wall, random)),
        email,
        password_hash: None,
        name: name.map(|name| name.as_str().to_owned()).unwrap_or_default(),
        is_verified: false,
        is_operator: false,
    };
    let made = call.control.store().create_user(new, call.actor.attribution()).await.map_err(Refusal::of_write)?;
    let user = made.ok_or_else(|| Refusal::invalid("email", "an address that nobody has"))?;
    let url = mail::reset_link(&call.control, &user, call.actor.attribution(), call.now).await?;
    Ok(Json(UserObject { url: Some(url), ..UserObject::new(&user) }))
}
