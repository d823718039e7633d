//! Which models an environment may call, in the shape of OpenAI's administration API.

use crate::authorize::Member;
use crate::body::Fields;
use crate::confirmation::narrowed;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::id::EnvironmentId;
use claviger_domain::key::ModelPattern;
use claviger_domain::limits;
use claviger_domain::place::ModelRule;
use claviger_domain::revocation::Confirmation;
use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct ModelPermissionsObject {
    object: &'static str,
    mode: &'static str,
    model_ids: Vec<String>,
    set_by: Option<String>,
    set_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation: Option<Confirmation>,
}

#[derive(Serialize)]
pub(crate) struct Deleted {
    object: &'static str,
    deleted: bool,
    confirmation: Confirmation,
}

impl ModelPermissionsObject {
    /// An environment without a rule denies nothing.
    fn new(rule: &ModelRule) -> Self {
        let (mode, list) = match rule {
            ModelRule::Any => ("deny_list", &[][..]),
            ModelRule::Only(list) => ("allow_list", list.as_slice()),
            ModelRule::AllBut(list) => ("deny_list", list.as_slice()),
        };
        Self {
            object: "project.model_permissions",
            mode,
            model_ids: list.iter().map(ToString::to_string).collect(),
            set_by: None,
            set_at: None,
            confirmation: None,
        }
    }
}

pub(crate) async fn get(
    State(call): State<Call<Member>>,
    query: Query,
) -> Result<Json<ModelPermissionsObject>, Refusal> {
    query.finish()?;
    let environment: EnvironmentId = call.id("project")?;
    let found = call.control.store().find_model_permissions(call.actor.scope(), environment).await?;
    Ok(Json(match found.ok_or_else(Refusal::not_found)? {
        None => ModelPermissionsObject::new(&ModelRule::Any),
        Some(found) => ModelPermissionsObject {
            set_by: Some(found.set_by),
            set_at: Some(found.set_at.seconds()),
            ..ModelPermissionsObject::new(&found.rule)
        },
    }))
}

pub(crate) async fn set(
    State(call): State<Call<Member>>,
    query: Query,
    mut fields: Fields,
) -> Result<Json<ModelPermissionsObject>, Refusal> {
    query.finish()?;
    let environment: EnvironmentId = call.id("project")?;
    let mode = fields.required_text("mode")?;
    let ids = fields.texts("model_ids")?.unwrap_or_default();
    fields.finish(&["object", "set_by", "set_at"])?;
    let expected = || {
        let most = limits::MODEL_LIST_ENTRIES;
        Refusal::invalid("model_ids", format_args!("1 to {most} model ids, or prefixes that end in `/*`"))
    };
    if !(1..=limits::MODEL_LIST_ENTRIES).contains(&ids.len()) {
        return Err(expected());
    }
    let list = ids.iter().map(|id| id.parse()).collect::<Result<Vec<ModelPattern>, _>>().map_err(|_| expected())?;
    let rule = match mode.as_str() {
        "allow_list" => ModelRule::Only(list),
        "deny_list" => ModelRule::AllBut(list),
        _ => return Err(Refusal::invalid("mode", "'allow_list' or 'deny_list'")),
    };
    let confirmation = put(&call, environment, rule.clone()).await?;
    Ok(Json(ModelPermissionsObject {
        set_by: Some(actor(&call)),
        set_at: Some(call.now.wall.seconds()),
        confirmation: Some(confirmation),
        ..ModelPermissionsObject::new(&rule)
    }))
}

pub(crate) async fn delete(State(call): State<Call<Member>>, query: Query) -> Result<Json<Deleted>, Refusal> {
    query.finish()?;
    let environment: EnvironmentId = call.id("project")?;
    let confirmation = put(&call, environment, ModelRule::Any).await?;
    Ok(Json(Deleted { object: "project.model_permissions.deleted", deleted: true, confirmation }))
}

async fn put(call: &Call<Member>, environment: EnvironmentId, rule: ModelRule) -> Result<Confirmation, Refusal> {
    let store = call.control.store();
    let set = store.set_model_permissions(call.actor.scope(), environment, rule, call.actor.attribution()).await;
    let epoch = set.map_err(Refusal::of_write)?.ok_or_else(Refusal::not_found)?;
    narrowed(call, epoch, None).await
}

fn actor(call: &Call<Member>) -> String {
    let (kind, id) = call.actor.attribution().actor.parts();
    format!("{kind}:{id}")
}
