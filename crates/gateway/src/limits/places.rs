//! The limiters of one organization and its environments, and which models its environments may call.
//!
//! Made anew when their rules change; the counters go over, so that an edit makes no limit fuller than it was.

use super::counters::{Counters, Rates};
use super::pass::{Scope, Subject};
use claviger_domain::id::{EnvironmentId, OrganizationId};
use claviger_domain::place::{ModelRule, PlaceRules, TenantRules};
use claviger_domain::time::Monotonic;
use std::collections::HashMap;
use std::sync::Arc;

/// What limits the callers of an organization besides their keys.
#[derive(Debug)]
pub(crate) struct Places {
    organization: Place,
    environments: HashMap<EnvironmentId, Place>,
}

#[derive(Debug)]
struct Place {
    all: Option<Subject>,
    by_model: Vec<Subject>,
    models: ModelRule,
}

impl Places {
    /// The limiters of these rules; `None` where there are none. What is limited for the first time starts full, unless
    /// the node itself has just begun at `begun` and cannot know what was used before.
    pub(crate) fn of(
        organization: OrganizationId,
        rules: &TenantRules,
        former: Option<&Self>,
        begun: Option<Monotonic>,
        now: Monotonic,
    ) -> Option<Self> {
        if rules.organization.is_empty() && rules.environments.is_empty() {
            return None;
        }
        let maker = Maker { begun, now };
        let of = (Scope::Organization, organization.to_string());
        let organization = maker.place(&of, &rules.organization, former.map(|former| &former.organization));
        let environments = rules.environments.iter().map(|(id, rules)| {
            let former = former.and_then(|former| former.environments.get(id));
            (*id, maker.place(&(Scope::Environment, id.to_string()), rules, former))
        });
        Some(Self { organization, environments: environments.collect() })
    }

    /// The limits of an environment and the organization on all models together.
    pub(crate) fn on_all_models(&self, environment: EnvironmentId) -> impl Iterator<Item = Subject> {
        let environment = self.environments.get(&environment).and_then(|place| place.all.clone());
        environment.into_iter().chain(self.organization.all.clone())
    }

    /// Their limits on one model.
    pub(crate) fn on_model(&self, environment: EnvironmentId, model: &str) -> Vec<Subject> {
        let on = |place: &Place| place.by_model.iter().find(|subject| subject.model.as_deref() == Some(model)).cloned();
        let environment = self.environments.get(&environment).and_then(on);
        environment.into_iter().chain(on(&self.organization)).collect()
    }

    /// Whether an environment may call a model that was asked for as `sent` and stands for `id`.
    pub(crate) fn allows_model(&self, environment: EnvironmentId, sent: &str, id: &str) -> bool {
        self.environments.get(&environment).is_none_or(|place| place.models.allows(sent, id))
    }
}

struct Maker {
    begun: Option<Monotonic>,
    now: Monotonic,
}

impl Maker {
    fn place(&self, (scope, owner): &(Scope, String), rules: &PlaceRules, former: Option<&Place>) -> Place {
        let all = Rates::of(&rules.limits).map(|rates| {
            let former = former.and_then(|former| former.all.as_ref());
            let counters = self.counters(owner.clone(), rates, former);
            Subject { scope: *scope, model: None, rates, counters, is_shadow: false }
        });
        let by_model = rules.by_model.iter().filter_map(|(model, limits)| {
            let rates = Rates::of(limits)?;
            let of_model = |subject: &&Subject| subject.model.as_deref() == Some(model.as_str());
            let former = former.and_then(|former| former.by_model.iter().find(of_model));
            let counters = self.counters(format!("{owner} {model}"), rates, former);
            Some(Subject { scope: *scope, model: Some(model.as_str().into()), rates, counters, is_shadow: false })
        });
        Place { all, by_model: by_model.collect(), models: rules.models.clone() }
    }

    fn counters(&self, name: String, rates: Rates, former: Option<&Subject>) -> Arc<Counters> {
        match (former, self.begun) {
            (Some(former), _) => {
                former.counters.convert(&former.rates, Some(&rates), self.now);
                Arc::clone(&former.counters)
            }
            (None, Some(begun)) => Arc::new(Counters::exhausted(name, &rates, begun)),
            (None, None) => Arc::new(Counters::new(name, self.now)),
        }
    }
}
