//! What the sign-in page may offer: anybody may know.

use crate::authorize::Visitor;
use crate::passkeys::relying_party;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use crate::settings::SignUp;
use axum::Json;
use axum::extract::State;
use claviger_domain::tenancy::OrganizationState;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Options {
    object: &'static str,
    password: bool,
    passkey: bool,
    /// The identity providers, each with its button.
    oidc: Vec<Provider>,
    mail: bool,
    sign_up: &'static str,
    needs_setup: bool,
}

/// One identity provider.
#[derive(Serialize)]
struct Provider {
    name: String,
    button: String,
}

pub(crate) async fn handler(State(call): State<Call<Visitor>>, query: Query) -> Result<Json<Options>, Refusal> {
    query.finish()?;
    let people = &call.control.settings().people;
    let organizations = call.control.store().list_organizations().await?;
    Ok(Json(Options {
        object: "auth.options",
        password: people.has_passwords,
        passkey: relying_party(&call.control).is_some(),
        oidc: call
            .control
            .settings()
            .issuers
            .all
            .iter()
            .filter(|issuer| issuer.is_for_people)
            .map(|issuer| Provider { name: issuer.name.clone(), button: issuer.sign_on.button.clone() })
            .collect(),
        mail: people.has_mail(),
        sign_up: match people.sign_up {
            SignUp::Invite => "invite",
            SignUp::Open => "open",
            SignUp::Closed => "closed",
        },
        needs_setup: organizations.iter().any(|organization| organization.state == OrganizationState::SetUp),
    }))
}
