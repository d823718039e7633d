//! In what one catalog differs from another: what the operator is told when a configuration is read again.
//!
//! Two models differ when a request could meet anything else: a target, a time limit, a price, an endpoint.

use super::{Catalog, Model, Pricing, Provider, Target};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Public ids, in byte order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Models and aliases that can be called now.
    pub added: Vec<String>,
    /// What can be called no more.
    pub removed: Vec<String>,
    /// What answers otherwise, or costs something else; ids among them that only organizations may have.
    pub changed: Vec<String>,
}

impl Difference {
    /// Whether nothing differs.
    pub const fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl Catalog {
    /// What becomes different when `new` takes this one's place.
    pub fn difference(&self, new: &Self) -> Difference {
        let mut difference = Difference::default();
        for (id, model) in new.list() {
            match self.find_model(id) {
                None => difference.added.push(id.to_owned()),
                Some(former) if !is_same(former, model) => difference.changed.push(id.to_owned()),
                Some(_) => {}
            }
        }
        let gone = self.list().filter(|(id, _)| new.find_model(id).is_none());
        difference.removed.extend(gone.map(|(id, _)| id.to_owned()));
        let of_nobody = |id: &&String| self.find_model(id).is_none() && new.find_model(id).is_none();
        let priced: BTreeSet<&String> = self.prices.keys().chain(new.prices.keys()).filter(of_nobody).collect();
        let is_same = |id: &String| match (self.prices.get(id), new.prices.get(id)) {
            (Some(one), Some(other)) => is_same_price(one, other),
            _ => false,
        };
        difference.changed.extend(priced.into_iter().filter(|id| !is_same(id)).cloned());
        difference.changed.sort_unstable();
        difference
    }
}

/// Destructured, so that a new member asks for its place here.
fn is_same(one: &Model, other: &Model) -> bool {
    let Model {
        id,
        created_seconds,
        owned_by,
        tiers,
        has_affinity,
        endpoints,
        context_tokens,
        output_tokens_max,
        pricing,
        is_simulated,
        environment,
    } = one;
    let is_same_tier = |(one, other): (&Vec<Arc<Target>>, &Vec<Arc<Target>>)| {
        one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same_target(one, other))
    };
    (id, created_seconds, owned_by, has_affinity)
        == (&other.id, &other.created_seconds, &other.owned_by, &other.has_affinity)
        && (endpoints, context_tokens, output_tokens_max)
            == (&other.endpoints, &other.context_tokens, &other.output_tokens_max)
        && (is_simulated, environment) == (&other.is_simulated, &other.environment)
        && is_same_price(pricing, &other.pricing)
        && tiers.len() == other.tiers.len()
        && tiers.iter().zip(&other.tiers).all(is_same_tier)
}

fn is_same_price(one: &Pricing, other: &Pricing) -> bool {
    match (one, other) {
        (Pricing::Free, Pricing::Free) | (Pricing::Unpriced, Pricing::Unpriced) => true,
        (Pricing::Priced(one), Pricing::Priced(other)) => one.version == other.version,
        _ => false,
    }
}

fn is_same_target(one: &Target, other: &Target) -> bool {
    let Target { provider, upstream_model, weight, timeouts } = one;
    (upstream_model, weight, timeouts) == (&other.upstream_model, &other.weight, &other.timeouts)
        && is_same_provider(provider, &other.provider)
}

fn is_same_provider(one: &Provider, other: &Provider) -> bool {
    let Provider { name, row, reach, dialect, base_url, credential, concurrency_max, timeouts, drain } = one;
    let is_same_credential = match (credential, &other.credential) {
        (Some(one), Some(other)) => one.expose() == other.expose(),
        (None, None) => true,
        _ => false,
    };
    (name, dialect, base_url) == (&other.name, &other.dialect, &other.base_url)
        && (row, reach) == (&other.row, &other.reach)
        && (concurrency_max, timeouts, drain) == (&other.concurrency_max, &other.timeouts, &other.drain)
        && is_same_credential
}
