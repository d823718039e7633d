//! Endpoints answered from this node's memory: the model list, one model, credits.

use crate::authenticated::{Authenticated, Caller};
use crate::flow::Flow;
use crate::limits;
use crate::node::Node;
use crate::respond::{self, Refusal};
use bytes::Bytes;
use claviger_domain::catalog::{Model, Pricing};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::key::redacted;
use claviger_domain::money::Nano;
use claviger_wire::openai::models::{ModelItem, item_body, list_body};
use http::Response;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whether a caller sees a model: priced or free, and on the right side of the test wall. Test keys see the simulator
/// alone; live keys see it only if the operator says so.
pub(crate) fn is_visible(node: &Node, caller: &Caller, model: &Model) -> bool {
    let is_callable = !matches!(model.pricing, Pricing::Unpriced);
    let is_on_side = if model.is_simulated {
        caller.key.is_test || node.settings.has_simulator_for_live_keys
    } else {
        !caller.key.is_test
    };
    is_callable && is_here(caller, model) && is_on_side
}

/// The model that an id means for this caller (W52): its organization's own first, since what its members get must not
/// change because the operator adds a model; else the platform's. Another organization's is nobody's here.
pub(crate) fn find_for(node: &Node, caller: &Caller, id: &str) -> Option<Arc<Model>> {
    let catalog = node.catalog.load();
    let own = caller.tenant.own.as_deref().and_then(|own| own.catalog().find_model(id));
    own.map(|model| catalog.priced(model)).or_else(|| catalog.find_model(id).map(Arc::clone))
}

/// Whether a model's registry is shown in the caller's environment. Where it is not, nothing tells that it exists.
pub(crate) fn is_here(caller: &Caller, model: &Model) -> bool {
    model.environment.is_none_or(|environment| environment == caller.key.environment())
}

/// Whether it may call it too: what it may not call is not shown (W19).
pub(crate) fn is_callable(node: &Node, caller: &Caller, id: &str, model: &Model) -> bool {
    is_visible(node, caller, model) && limits::is_callable(&caller.key, &caller.tenant, id, model)
}

pub(crate) fn list_models(node: &Node, from: &Authenticated) -> Response<Flow> {
    let catalog = node.catalog.load();
    let mut all: BTreeMap<&str, Arc<Model>> = catalog.list().map(|(id, model)| (id, Arc::clone(model))).collect();
    if let Some(own) = &from.caller.tenant.own {
        all.extend(own.catalog().list().map(|(id, model)| (id, catalog.priced(model))));
    }
    all.retain(|id, model| is_callable(node, &from.caller, id, model));
    let items: Vec<ModelItem<'_>> = all.iter().map(|(id, model)| item(id, model)).collect();
    respond::json(list_body(&items))
}

pub(crate) fn find_model(node: &Node, from: &Authenticated) -> Result<Response<Flow>, Refusal> {
    let id = from.matched.found.captured("id").unwrap_or_default();
    match find_for(node, &from.caller, id) {
        Some(model) if is_callable(node, &from.caller, id, &model) => Ok(respond::json(item_body(&item(id, &model)))),
        _ => Err(model_not_found(node, id)),
    }
}

pub(crate) fn model_not_found(node: &Node, id: &str) -> Refusal {
    let id = redacted(id, &node.settings.prefixes);
    let message = format!("The model `{id}` does not exist or you do not have access to it.");
    PublicError::with_message(Code::ModelNotFound, message).about("model").into()
}

fn item<'a>(id: &'a str, model: &'a Model) -> ModelItem<'a> {
    ModelItem { id, created_seconds: model.created_seconds, owned_by: &model.owned_by, endpoints: &model.endpoints }
}

/// The organization's credit (W44): JSON numbers printed from the integers, the exact strings beside them.
pub(crate) async fn credits(node: &Node, from: &Authenticated) -> Result<Response<Flow>, Refusal> {
    let organization = from.caller.key.organization();
    let scope = claviger_domain::tenancy::TenantScope(organization);
    let wallet = node.store.wallet(scope).await.map_err(|_| Refusal::from(Code::ServiceUnavailable))?;
    let held = node.wallets.find(organization).map_or(Nano::ZERO, |wallet| wallet.reading().1);
    let held = Nano(held.0.saturating_add(wallet.tasks.0));
    let body = format!(
        "{{\"data\":{{\"total_credits\":{},\"total_usage\":{},\"balance\":\"{}\",\"held\":\"{held}\",\"currency\":\"USD\"}}}}",
        wallet.funded, wallet.charged, wallet.balance,
    );
    Ok(respond::json(Bytes::from(body)))
}
