//! The configuration is read again, at SIGHUP or when the operator asks: providers, models, routes and prices change at
//! once, or not at all.
//!
//! What does not read, or contradicts itself, changes nothing: the last good catalog stays in force and the log names the
//! line. A request keeps what it was admitted under. Everything else of the configuration needs a restart. Each time leaves
//! an audit record in the instance's chain; a new price is in the database before it is in force, for a charge names it.

use crate::config::{self, Autodetect, Config, Flags, ServeConfig, Variables};
use crate::enable::{self, Enabled};
use crate::instance::Instance;
use anyhow::Context as _;
use claviger_domain::audit::{Action, Actor, Attribution, Chain, FieldChange, Outcome};
use claviger_domain::catalog::{Catalog, Difference};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;
use claviger_domain::time::Clock;
use claviger_gateway::Gateway;
use claviger_storage::{AuditEvent, Store};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, watch};

/// Where a configuration comes from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) flags: Flags,
    pub(crate) variables: Variables,
}

/// What a configuration is put in force with.
pub(crate) struct Reload {
    sources: Sources,
    currency: String,
    gateway: Gateway,
    store: Store,
    clock: Arc<dyn Clock>,
    /// Held while one is read and put in force: two at once would leave the older one behind the newer.
    in_force: Mutex<InForce>,
}

/// What requests meet, and what of it was found on this machine.
pub(crate) struct InForce {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) enabled: Vec<Enabled>,
}

impl Reload {
    pub(crate) fn new(
        sources: Sources,
        config: &Config,
        gateway: &Gateway,
        instance: &Instance,
        in_force: InForce,
    ) -> Self {
        Self {
            sources,
            currency: config.currency.clone(),
            gateway: gateway.clone(),
            store: instance.store.clone(),
            clock: instance.clock.clone(),
            in_force: Mutex::new(in_force),
        }
    }

    /// Listens for the signal, whose first effect else is the end of the process, and reads again whenever it comes, until
    /// the server stops.
    ///
    /// # Errors
    /// The signal cannot be listened for.
    pub(crate) fn at_hangup(
        self: Arc<Self>,
        mut stopping: watch::Receiver<bool>,
    ) -> anyhow::Result<impl Future<Output = ()> + Send> {
        let mut hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        Ok(async move {
            loop {
                tokio::select! {
                    _ = stopping.wait_for(|stop| *stop) => return,
                    told = hangups.recv() => if told.is_none() { return },
                }
                let by = Attribution::local(Actor::LocalOperator, "", self.clock.now().wall);
                // What goes wrong is in the log and in the audit chain; nobody waits for an answer.
                let _ = self.take_over(false, &by).await;
            }
        })
    }

    /// Reads the configuration and puts it in force; with `is_check` only reads and compares.
    ///
    /// # Errors
    /// 400 what is wrong with it, 503 when it could not be recorded: the last good one stays in force.
    pub(crate) async fn take_over(&self, is_check: bool, by: &Attribution) -> Result<Difference, PublicError> {
        let mut in_force = self.in_force.lock().await;
        let new = match self.read() {
            Ok(new) => new,
            Err(error) if is_check => return Err(wrong(&error)),
            Err(error) => {
                let what = "the configuration was not taken over, the last good one stays in force";
                tracing::error!("{what}: {error:#}");
                let failed = AuditEvent {
                    outcome: Outcome::Failed,
                    ..AuditEvent::done(Action::ConfigurationReloaded, "", Vec::new())
                };
                if let Err(error) = self.store.record_event(Chain::Instance, failed, by).await {
                    tracing::error!(%error, "and that could not be recorded");
                }
                return Err(wrong(&error));
            }
        };
        let found = enable::look(new.autodetect, &self.sources.variables).await;
        let former = if new.autodetect == Autodetect::Enable { in_force.enabled.as_slice() } else { &[] };
        let enabled = enable::keep(former, found);
        let catalog = Arc::new(enable::join(new.catalog, &enabled));
        let difference = in_force.catalog.difference(&catalog);
        if is_check {
            return Ok(difference);
        }
        let event = AuditEvent::done(Action::ConfigurationReloaded, "", told(&difference));
        if let Err(error) = self.store.save_reload(&new.sheets, event, by).await {
            tracing::error!(%error, "the configuration was not taken over: it could not be recorded");
            return Err(Code::AuditUnavailable.into());
        }
        self.gateway.swap_catalog(Arc::clone(&catalog));
        *in_force = InForce { catalog, enabled };
        let Difference { added, removed, changed } = &difference;
        tracing::info!(
            "the configuration was read again: new: {}; gone: {}; changed: {}",
            named(added),
            named(removed),
            named(changed)
        );
        Ok(difference)
    }

    fn read(&self) -> anyhow::Result<ServeConfig> {
        let new = config::load_for_serving(&self.sources.flags, &self.sources.variables)?;
        anyhow::ensure!(
            new.config.currency == self.currency,
            "prices.currency: a server counts in {} as long as it runs",
            self.currency
        );
        Ok(new)
    }
}

fn wrong(error: &anyhow::Error) -> PublicError {
    PublicError::with_message(Code::InvalidValue, format!("{error:#}")).about("configuration")
}

/// What changed, as the audit record has it.
fn told(difference: &Difference) -> Vec<FieldChange> {
    let Difference { added, removed, changed } = difference;
    let lists = [("models_added", added), ("models_removed", removed), ("models_changed", changed)];
    let told = lists.into_iter().filter(|(_, ids)| !ids.is_empty());
    told.map(|(field, ids)| FieldChange { field: field.to_owned(), from: None, to: Some(named(ids)) }).collect()
}

/// As many ids as a line has room for, and how many more there are.
fn named(ids: &[String]) -> String {
    match ids.split_at_checked(limits::TOLD_MODELS) {
        None if ids.is_empty() => "none".to_owned(),
        None | Some((_, [])) => ids.join(", "),
        Some((first, rest)) => format!("{} and {} more", first.join(", "), rest.len()),
    }
}
