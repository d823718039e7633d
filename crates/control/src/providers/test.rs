//! Ask a provider now for its models, switched off or not: owners and admins. What it answers is shown, cut and without
//! its credential.

use super::find;
use crate::authorize::Member;
use crate::ports::{Told, Unanswered, no_node};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::limits;
use claviger_domain::own_provider;
use claviger_domain::secret::Secret;
use serde::{Deserialize, Serialize};

/// Characters of an upstream's own words that are shown.
const WORDS_MAX: usize = 300;

/// `organization.provider.test`.
#[derive(Serialize)]
pub(crate) struct TestObject {
    object: &'static str,
    id: String,
    ok: bool,
    status: Option<u16>,
    duration_ms: u64,
    message: Option<String>,
    models: Vec<String>,
}

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<TestObject>, Refusal> {
    query.finish()?;
    let (row, _) = find(&call).await?;
    let settings = call.control.settings();
    let id = row.id.to_string();
    let of = |told, duration_ms| TestObject::of(id.clone(), told, duration_ms);
    let provider = match own_provider::provider(&row, &settings.peppers, &settings.providers.reach) {
        Ok(provider) => provider,
        Err(error) => return Ok(Json(of(Err(error.to_string()), 0))),
    };
    let probe = settings.providers.probe.as_ref().ok_or_else(no_node)?;
    let credential = provider.credential.clone();
    let begun = call.control.clock().now().monotonic;
    let told = probe.list_models(provider).await;
    let took = call.control.clock().now().monotonic.since(begun);
    let told = told.map(|told| read(&told, credential.as_ref())).map_err(|Unanswered(why)| why);
    Ok(Json(of(told, u64::try_from(took.as_millis()).unwrap_or(u64::MAX))))
}

/// What a provider said.
pub(crate) struct Said {
    pub(crate) status: u16,
    /// Its models, if it listed them.
    pub(crate) models: Option<Vec<String>>,
    /// Its words, if it did not.
    pub(crate) words: Option<String>,
}

impl TestObject {
    fn of(id: String, told: Result<Said, String>, duration_ms: u64) -> Self {
        let object = "organization.provider.test";
        match told {
            Err(why) => {
                Self { object, id, ok: false, status: None, duration_ms, message: Some(why), models: Vec::new() }
            }
            Ok(said) => Self {
                object,
                id,
                ok: said.models.is_some(),
                status: Some(said.status),
                duration_ms,
                message: said.words,
                models: said.models.unwrap_or_default(),
            },
        }
    }
}

/// Reads an answer to `GET models`.
pub(crate) fn read(told: &Told, credential: Option<&Secret<String>>) -> Said {
    #[derive(Deserialize)]
    struct Listing {
        data: Vec<Listed>,
    }
    #[derive(Deserialize)]
    struct Listed {
        id: String,
    }
    let listing = (told.status == 200).then(|| serde_json::from_slice::<Listing>(&told.body).ok()).flatten();
    if let Some(listing) = listing {
        let callable = listing.data.into_iter().map(|listed| listed.id).filter(|id| id.len() <= limits::MODEL_ID_BYTES);
        let models = callable.take(limits::MODELS_PER_PROVIDER).map(|id| masked(&id, credential));
        return Said { status: told.status, models: Some(models.collect()), words: None };
    }
    let words = if told.status == 200 {
        "It answered, but with no list of models.".to_owned()
    } else {
        // Masked behind what is left out, and before it is cut: else a part of it could be put together again, or stay.
        let words = String::from_utf8_lossy(&told.body);
        let words: String = words.chars().filter(|character| !character.is_control()).collect();
        let words: String = masked(&words, credential).chars().take(WORDS_MAX).collect();
        format!("It answered {}: {words}", told.status)
    };
    Said { status: told.status, models: None, words: Some(words) }
}

/// What a provider says, without what it was asked with.
fn masked(words: &str, credential: Option<&Secret<String>>) -> String {
    let Some(credential) = credential.map(|credential| credential.expose().as_str()) else { return words.to_owned() };
    // JSON may be written with more escapes than it needs.
    words.replace(credential, "****").replace(&credential.replace('/', "\\/"), "****")
}
