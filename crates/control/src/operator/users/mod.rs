//! People, as the operator of the instance handles them: made, listed, changed, helped back in.

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod recover;

use crate::authorize::Operator;
use crate::respond::Refusal;
use crate::serve::Call;
use claviger_domain::id::UserId;
use claviger_domain::person::User;
use claviger_domain::time::Timestamp;
use serde::Serialize;

/// A person, without what belongs to organizations.
#[derive(Serialize)]
pub(crate) struct UserObject {
    object: &'static str,
    id: String,
    email: String,
    email_verified: bool,
    name: String,
    operator: bool,
    state: &'static str,
    created_at: i64,
    last_seen_at: Option<i64>,
    /// A link to a password, to be handed over by other ways.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl UserObject {
    fn new(user: &User) -> Self {
        Self {
            object: "user",
            id: user.id.to_string(),
            email: user.email.to_string(),
            email_verified: user.email_verified_at.is_some(),
            name: user.name.clone(),
            operator: user.is_operator,
            state: user.state.name(),
            created_at: user.created_at.seconds(),
            last_seen_at: user.last_seen_at.map(Timestamp::seconds),
            url: None,
        }
    }
}

/// The person of the path.
async fn find(call: &Call<Operator>) -> Result<User, Refusal> {
    let id: UserId = call.id("user")?;
    call.control.store().find_user(id).await?.ok_or_else(Refusal::not_found)
}
