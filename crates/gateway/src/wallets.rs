//! Drives the credit leases of this node: one per organization, one lock each, nothing awaited under it.
//!
//! A [`WalletHold`] is move-only: settling consumes it, dropping it gives everything back, so credit cannot leak on any
//! path. On one node the lease is the wallet itself.

use claviger_domain::credit_lease::{CreditLease, Hold, HoldRefused};
use claviger_domain::id::{IdMap, OrganizationId};
use claviger_domain::money::Nano;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;

/// The wallets that this node knows.
#[derive(Default)]
pub(crate) struct Wallets(RwLock<IdMap<OrganizationId, Arc<Wallet>>>);

/// The credit of one organization on this node.
pub(crate) struct Wallet(Mutex<CreditLease>);

/// Credit set aside for one request.
pub(crate) struct WalletHold {
    wallet: Arc<Wallet>,
    hold: Option<Hold>,
}

impl Wallets {
    /// Makes known a wallet with its balance; a known one keeps what it has, since its events have been applied.
    pub(crate) fn learn(&self, organization: OrganizationId, balance: Nano) {
        self.0.write().entry(organization).or_insert_with(|| Arc::new(Wallet(Mutex::new(CreditLease::new(balance)))));
    }

    /// Adds what was funded.
    pub(crate) fn fund(&self, organization: OrganizationId, amount: Nano) {
        let Some(wallet) = self.find(organization) else {
            tracing::error!(%organization, "an unknown wallet was funded: its credit counts after a restart");
            return;
        };
        if let Err(broken) = wallet.0.lock().fund(amount) {
            tracing::error!(%organization, %broken, "a wallet is frozen until the node restarts");
        }
    }

    /// The wallet of an organization.
    pub(crate) fn find(&self, organization: OrganizationId) -> Option<Arc<Wallet>> {
        self.0.read().get(&organization).cloned()
    }

    /// Σ of all open holds.
    pub(crate) fn held(&self) -> Nano {
        let wallets = self.0.read();
        let held = wallets.values().map(|wallet| wallet.0.lock().held().0).fold(0, i64::saturating_add);
        Nano(held)
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
        let mut lease = self.0.lock();
        let (amount, with) = ask(lease.free());
        let hold = lease.hold(amount)?;
        Ok((WalletHold { wallet: Arc::clone(self), hold: Some(hold) }, with))
    }

    /// Refuses every later hold, until the node restarts and reads the ledger anew.
    pub(crate) fn freeze(&self) {
        self.0.lock().stop();
    }

    /// Balance and holds, as one reading.
    pub(crate) fn reading(&self) -> (Nano, Nano) {
        let lease = self.0.lock();
        (lease.balance(), lease.held())
    }
}

impl WalletHold {
    /// How much is set aside.
    pub(crate) fn amount(&self) -> Nano {
        self.hold.as_ref().map_or(Nano::ZERO, Hold::amount)
    }

    /// Charges at most the hold, gives the rest back.
    pub(crate) fn settle(mut self, charge: Nano) {
        self.close(charge);
    }

    fn close(&mut self, charge: Nano) {
        let Some(hold) = self.hold.take() else { return };
        if let Err(broken) = self.wallet.0.lock().settle(hold, charge) {
            tracing::error!(%broken, "a wallet is frozen until the node restarts");
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
        let wallets = Wallets::default();
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
        let wallets = Wallets::default();
        let organization = OrganizationId::from_u128(1);
        wallets.learn(organization, Nano(100));
        let wallet = wallets.find(organization).unwrap();
        let (hold, ()) = wallet.hold(|_| (Nano(60), ())).unwrap_or_else(|_| panic!("free credit"));
        hold.settle(Nano(50));
        wallets.learn(organization, Nano(100));
        assert_eq!(wallet.reading(), (Nano(50), Nano(0)));
    }
}
