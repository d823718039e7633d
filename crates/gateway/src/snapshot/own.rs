//! What organizations bring along, ready to be called: rows become providers and models, credentials are opened here and
//! nowhere else on the data plane.
//!
//! A row that did not change keeps its provider, so that its connections and its health outlive a change of something
//! else. Prices are not known here: they follow the catalog in force.

use crate::node::Settings;
use claviger_domain::catalog::{Catalog, Pricing, Provider};
use claviger_domain::egress::Reach;
use claviger_domain::id::ProviderId;
use claviger_domain::own_provider::{Shown, provider};
use claviger_domain::secret::Pepper;
use std::fmt;
use std::sync::Arc;

/// What is needed to make providers of rows.
#[derive(Clone, Debug)]
pub(crate) struct Openers {
    peppers: Vec<Pepper>,
    /// How far connections to them may go.
    reach: Reach,
    /// Whether their models cost nothing where the price book is silent.
    is_free: bool,
}

/// The providers and models of one organization.
pub(crate) struct OwnModels {
    rows: Vec<(Shown, Arc<Provider>)>,
    catalog: Catalog,
}

impl OwnModels {
    /// What its members may call beside the platform's models.
    pub(crate) const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The provider of a row, also of one that takes no requests any more.
    pub(crate) fn find_provider(&self, id: ProviderId) -> Option<Arc<Provider>> {
        self.rows.iter().find(|(row, _)| row.provider.id == id).map(|(_, provider)| Arc::clone(provider))
    }

    /// What its ids begin with.
    pub(super) fn slugs(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|(row, _)| row.slug.as_str())
    }
}

impl Openers {
    /// As the operator decided.
    pub(crate) fn of(settings: &Settings) -> Self {
        let (peppers, reach) = (settings.peppers.clone(), settings.reach.clone());
        Self { peppers, reach, is_free: settings.are_own_models_free }
    }

    /// The models of these rows. What cannot be used is left out and said; the rest is served.
    pub(crate) fn open(&self, shown: Vec<Shown>, former: Option<&Arc<OwnModels>>) -> Option<Arc<OwnModels>> {
        if shown.is_empty() {
            return None;
        }
        if let Some(former) = former
            && former.rows.iter().map(|(row, _)| row).eq(&shown)
        {
            return Some(Arc::clone(former));
        }
        let pricing = if self.is_free { Pricing::Free } else { Pricing::Unpriced };
        let (mut rows, mut models) = (Vec::new(), Vec::new());
        for row in shown {
            let Some(provider) = self.provider(&row, former) else { continue };
            models.extend(row.models(&provider, &pricing));
            rows.push((row, provider));
        }
        match Catalog::new(models, []) {
            Ok(catalog) => Some(Arc::new(OwnModels { rows, catalog })),
            // No act stores two models of one id.
            Err(error) => {
                tracing::error!(%error, "the models of an organization contradict each other: none is served");
                None
            }
        }
    }

    fn provider(&self, row: &Shown, former: Option<&Arc<OwnModels>>) -> Option<Arc<Provider>> {
        let known = former.and_then(|former| {
            former
                .rows
                .iter()
                .find(|(known, _)| known.provider == row.provider)
                .map(|(_, provider)| Arc::clone(provider))
        });
        if known.is_some() {
            return known;
        }
        match provider(&row.provider, &self.peppers, &self.reach) {
            Ok(provider) => Some(Arc::new(provider)),
            Err(error) => {
                tracing::error!(provider = %row.provider.id, %error, "a provider of an organization is left out: {error}");
                None
            }
        }
    }
}

impl fmt::Debug for OwnModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnModels").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}
