//! Drives the credit of this node: one lease an organization, one lock each, nothing awaited under it.
//!
//! A [`WalletHold`] is move-only: settling consumes it, dropping it gives everything back, so credit cannot leak on any
//! path. Where this node is alone on its database (SQLite) the lease is the wallet itself, and funding grows it; where
//! several nodes share one (Postgres) it is what this node has drawn from the wallet, and `treasury.rs` draws and returns.

use crate::treasury::Drawing;
use claviger_domain::credit_lease::{CreditLease, Hold, HoldRefused};
use claviger_domain::id::{IdMap, OrganizationId};
use claviger_domain::money::Nano;
use parking_lot::{Mutex, RwLock};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// The wallets that this node knows.
pub(crate) struct Wallets {
    all: RwLock<IdMap<OrganizationId, Arc<Wallet>>>,
    is_shared: bool,
    /// Rung when some wallet wants to be drawn for, or has credit to give back.
    pub(crate) bell: Arc<Notify>,
}

/// The credit of one organization on this node.
pub(crate) struct Wallet {
    pub(crate) organization: OrganizationId,
    pub(crate) lease: Mutex<CreditLease>,
    /// How credit is drawn and returned; `None` where the lease is the wallet itself.
    pub(crate) drawing: Option<Drawing>,
    /// Whether somebody else has given back what was drawn here.
    is_written_off: AtomicBool,
}

/// Credit set aside for one request.
pub(crate) struct WalletHold {
    wallet: Arc<Wallet>,
    hold: Option<Hold>,
}

impl Wallets {
    /// No wallet yet; `is_shared` where other nodes spend of the same ones.
    pub(crate) fn new(is_shared: bool) -> Self {
        Self { all: RwLock::default(), is_shared, bell: Arc::default() }
    }

    /// Makes known a wallet with its balance; a known one keeps what it has, since its events have been applied.
    pub(crate) fn learn(&self, organization: OrganizationId, balance: Nano) {
        let balance = if self.is_shared { Nano::ZERO } else { balance };
        self.all.write().entry(organization).or_insert_with(|| {
            let drawing = self.is_shared.then(|| Drawing::new(Arc::clone(&self.bell)));
            let lease = Mutex::new(CreditLease::new(balance));
            Arc::new(Wallet { organization, lease, drawing, is_written_off: AtomicBool::new(false) })
        });
    }

    /// Adds what was funded; a shared wallet's credit is drawn when it is needed.
    pub(crate) fn fund(&self, organization: OrganizationId, amount: Nano) {
        let Some(wallet) = self.find(organization) else {
            tracing::error!(%organization, "an unknown wallet was funded: its credit counts after a restart");
            return;
        };
        match &wallet.drawing {
            Some(drawing) => drawing.funded(),
            None => wallet.grow(amount),
        }
    }

    /// The wallet of an organization.
    pub(crate) fn find(&self, organization: OrganizationId) -> Option<Arc<Wallet>> {
        self.all.read().get(&organization).cloned()
    }

    /// Every wallet.
    pub(crate) fn every(&self) -> Vec<Arc<Wallet>> {
        self.all.read().values().cloned().collect()
    }

    /// These wallets' unused credit is asked back, the others' is not (any more).
    pub(crate) fn recalled(&self, organizations: &[OrganizationId]) {
        let asked: HashSet<OrganizationId> = organizations.iter().copied().collect();
        let mut is_news = false;
        for wallet in self.all.read().values() {
            if let Some(drawing) = &wallet.drawing {
                is_news |= drawing.recall(asked.contains(&wallet.organization));
            }
        }
        if is_news {
            self.bell.notify_one();
        }
    }

    /// Forgets what was drawn: the history in which it was granted is gone, or somebody else gave it back. Requests that
    /// hold some of it settle as far as the ledger still has it, or, where it `is_written_off`, at our own cost.
    pub(crate) fn forget_leases(&self, is_written_off: bool) {
        let known: Vec<Arc<Wallet>> = self.all.write().drain().map(|(_, wallet)| wallet).collect();
        for wallet in known {
            wallet.freeze();
            wallet.is_written_off.store(is_written_off, Ordering::Relaxed);
            self.learn(wallet.organization, Nano::ZERO);
        }
    }

    /// Σ of all open holds.
    pub(crate) fn held(&self) -> Nano {
        let held = self.all.read().values().map(|wallet| wallet.lease.lock().held().0).fold(0, i64::saturating_add);
        Nano(held)
    }

    /// Σ of what this node may spend, holds included.
    pub(crate) fn leased(&self) -> Nano {
        let all = self.all.read();
        Nano(all.values().map(|wallet| wallet.lease.lock().balance().0).fold(0, i64::saturating_add))
    }
}

impl Wallet {
    /// Sets aside what `ask` makes of the free credit, under one lock; `ask` gives the amount and what goes with it.
    ///
    /// # Errors
    /// [`HoldRefused`]: nothing is set aside.
    pub(crate) fn hold<T>(
        self: &Arc<Self>,
        ask: impl FnOnce(Nano) -> (Nano, T),
    ) -> Result<(WalletHold, T), HoldRefused> {
        let mut lease = self.lease.lock();
        let (amount, with) = ask(lease.free());
        let hold = lease.hold(amount)?;
        let free = lease.free();
        drop(lease);
        if let Some(drawing) = &self.drawing {
            drawing.held(free);
        }
        Ok((WalletHold { wallet: Arc::clone(self), hold: Some(hold) }, with))
    }

    /// Adds credit.
    pub(crate) fn grow(&self, amount: Nano) {
        if let Err(broken) = self.lease.lock().fund(amount) {
            tracing::error!(organization = %self.organization, %broken, "a wallet is frozen until the node restarts");
        }
    }

    /// Refuses every later hold, until the node restarts and reads the ledger anew.
    pub(crate) fn freeze(&self) {
        self.lease.lock().stop();
    }

    /// The ledger and this node do not agree about it: it is frozen, others go on. One that was forgotten meanwhile is
    /// frozen already, and its successor is not.
    pub(crate) fn disagree(&self, why: claviger_storage::Lost) {
        let organization = self.organization;
        tracing::error!(%organization, %why, "a wallet is frozen until the node restarts: run `claviger ledger verify`");
        self.freeze();
    }

    /// Whether what was held here is not this node's any more.
    pub(crate) fn is_written_off(&self) -> bool {
        self.is_written_off.load(Ordering::Relaxed)
    }

    /// Balance and holds, as one reading.
    pub(crate) fn reading(&self) -> (Nano, Nano) {
        let lease = self.lease.lock();
        (lease.balance(), lease.held())
    }
}

impl WalletHold {
    /// How much is set aside.
    pub(crate) fn amount(&self) -> Nano {
        self.hold.as_ref().map_or(Nano::ZERO, Hold::amount)
    }

    /// Whose credit it is.
    pub(crate) const fn wallet(&self) -> &Arc<Wallet> {
        &self.wallet
    }

    /// Charges at most the hold, gives the rest back.
    pub(crate) fn settle(mut self, charge: Nano) {
        self.close(charge);
    }

    fn close(&mut self, charge: Nano) {
        let Some(hold) = self.hold.take() else { return };
        let has_rest = charge < hold.amount();
        if let Err(broken) = self.wallet.lease.lock().settle(hold, charge) {
            tracing::error!(%broken, "a wallet is frozen until the node restarts");
        }
        if let Some(drawing) = &self.wallet.drawing {
            drawing.settled(charge, has_rest);
        }
    }
}

impl Drop for WalletHold {
    fn drop(&mut self) {
        self.close(Nano::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_hold_gives_everything_back() {
        let wallets = Wallets::new(false);
        let organization = OrganizationId::from_u128(1);
        wallets.learn(organization, Nano(100));
        let wallet = wallets.find(organization).unwrap();
        let (hold, ()) = wallet.hold(|free| (free, ())).unwrap_or_else(|_| panic!("free credit"));
        assert_eq!(wallets.held(), Nano(100));
        drop(hold);
        assert_eq!(wallet.reading(), (Nano(100), Nano(0)));
    }

    #[test]
    fn learning_again_does_not_undo_charges() {
        let wallets = Wallets::new(false);
        let organization = OrganizationId::from_u128(1);
        wallets.learn(organization, Nano(100));
        let wallet = wallets.find(organization).unwrap();
        let (hold, ()) = wallet.hold(|_| (Nano(60), ())).unwrap_or_else(|_| panic!("free credit"));
        hold.settle(Nano(50));
        wallets.learn(organization, Nano(100));
        assert_eq!(wallet.reading(), (Nano(50), Nano(0)));
    }

    #[test]
    fn a_shared_wallet_starts_with_nothing_and_is_not_grown_by_funding() {
        let wallets = Wallets::new(true);
        let organization = OrganizationId::from_u128(1);
        wallets.learn(organization, Nano(100));
        wallets.fund(organization, Nano(100));
        assert_eq!(wallets.find(organization).unwrap().reading(), (Nano(0), Nano(0)));
    }
}
