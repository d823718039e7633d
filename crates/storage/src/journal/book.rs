//! What each wallet can still pay: its balance in the database, less what the journal holds for it.
//!
//! Loaded before the first charge, lowered by every charge that is appended, raised when an act that funds has committed.
//! So the journal never holds a charge that the database would refuse. An act that takes credit away must take it here
//! first; there is none yet.

use claviger_domain::id::{IdMap, OrganizationId};
use claviger_domain::money::Nano;

/// The wallets of this database.
#[derive(Debug, Default)]
pub(crate) struct Book(IdMap<OrganizationId, Wallet>);

#[derive(Clone, Copy, Debug, Default)]
struct Wallet {
    spendable: i64,
    is_frozen: bool,
}

impl Book {
    /// Takes over what the database says, with nothing in the journal.
    pub(crate) fn load(&mut self, balances: impl IntoIterator<Item = (OrganizationId, Nano)>) {
        let wallet = |balance: Nano| Wallet { spendable: balance.0, is_frozen: false };
        self.0 = balances.into_iter().map(|(organization, balance)| (organization, wallet(balance))).collect();
    }

    /// Takes a charge, if the wallet covers it.
    pub(crate) fn take(&mut self, organization: OrganizationId, amount: Nano) -> bool {
        let Some(wallet) = self.0.get_mut(&organization).filter(|wallet| !wallet.is_frozen) else { return false };
        let Some(left) = wallet.spendable.checked_sub(amount.0).filter(|left| *left >= 0) else { return false };
        wallet.spendable = left;
        true
    }

    /// Gives credit that was funded and committed.
    pub(crate) fn give(&mut self, organization: OrganizationId, amount: Nano) {
        let wallet = self.0.entry(organization).or_default();
        // The database keeps balances in the same range, so this is where it would have refused.
        wallet.spendable = wallet.spendable.saturating_add(amount.0);
    }

    /// Journal and database do not agree about a wallet: it pays nothing any more in this process.
    pub(crate) fn freeze(&mut self, organization: OrganizationId) {
        self.0.entry(organization).or_default().is_frozen = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_pays_what_it_has_and_a_frozen_one_nothing() {
        let (known, unknown) = (OrganizationId::from_u128(1), OrganizationId::from_u128(2));
        let mut book = Book::default();
        book.load([(known, Nano(100))]);
        assert!(!book.take(unknown, Nano(1)));
        assert!(!book.take(known, Nano(101)));
        assert!(book.take(known, Nano(60)));
        assert!(!book.take(known, Nano(41)));
        assert!(book.take(known, Nano(40)));
        book.give(known, Nano(5));
        book.give(unknown, Nano(5));
        assert!(book.take(unknown, Nano(5)));
        book.freeze(known);
        assert!(!book.take(known, Nano(1)));
    }
}
