//! What the server finds on its machine, and the routes in force. For the operator.

use crate::authorize::Operator;
use crate::page::List;
use crate::ports::{Found, no_node};
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::catalog::{Model, Pricing, Target};
use serde::Serialize;
use std::sync::Arc;

/// `operator.found_provider`.
#[derive(Serialize)]
pub(crate) struct FoundObject {
    object: &'static str,
    name: &'static str,
    label: String,
    dialect: &'static str,
    base_url: String,
    variable: Option<&'static str>,
    models: Option<Vec<String>>,
}

impl FoundObject {
    fn new(found: &Found) -> Self {
        Self {
            object: "operator.found_provider",
            name: found.name,
            label: found.label.clone(),
            dialect: found.dialect.name(),
            base_url: found.base_url.clone(),
            variable: found.variable,
            models: found.models.clone(),
        }
    }
}

/// Looks now. What is found is used by nobody until somebody adds it.
pub(crate) async fn detect(
    State(call): State<Call<Operator>>,
    query: Query,
) -> Result<Json<List<FoundObject>>, Refusal> {
    query.finish()?;
    let probe = call.control.settings().providers.probe.as_ref().ok_or_else(no_node)?;
    let found = probe.detect().await;
    Ok(Json(List::whole(&found, |found| found.name.to_owned(), FoundObject::new)))
}

/// `operator.route`.
#[derive(Serialize)]
pub(crate) struct RouteObject {
    object: &'static str,
    id: String,
    model: String,
    endpoints: Vec<&'static str>,
    pricing: &'static str,
    affinity: bool,
    tiers: Vec<Vec<TargetObject>>,
}

#[derive(Serialize)]
struct TargetObject {
    provider: String,
    model: String,
    weight: u32,
}

impl RouteObject {
    fn new((id, model): &(String, Arc<Model>)) -> Self {
        let target = |target: &Arc<Target>| TargetObject {
            provider: target.provider.name.clone(),
            model: target.upstream_model.clone(),
            weight: target.weight,
        };
        Self {
            object: "operator.route",
            id: id.clone(),
            model: model.id.clone(),
            endpoints: model.endpoints.iter().map(|endpoint| endpoint.name()).collect(),
            pricing: match &model.pricing {
                Pricing::Free => "free",
                Pricing::Priced(_) => "priced",
                Pricing::Unpriced => "unpriced",
            },
            affinity: model.has_affinity,
            tiers: model.tiers.iter().map(|tier| tier.iter().map(target).collect()).collect(),
        }
    }
}

/// The platform's routes as the node of this process has them in force; aliases have rows of their own.
pub(crate) async fn routes(
    State(call): State<Call<Operator>>,
    query: Query,
) -> Result<Json<List<RouteObject>>, Refusal> {
    query.finish()?;
    let catalog = call.control.rights().catalog().ok_or_else(no_node)?;
    let all: Vec<(String, Arc<Model>)> = catalog.list().map(|(id, model)| (id.to_owned(), Arc::clone(model))).collect();
    Ok(Json(List::whole(&all, |(id, _)| id.clone(), RouteObject::new)))
}
