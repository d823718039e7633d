//! Accounts and transfers: which movements of money are lawful.
//!
//! Double entry, append-only (`money.md` §4). The same cause cannot be booked twice: a transfer's id is a function of
//! its kind and its reference. Rows and requests are not known here.

use crate::id::OrganizationId;
use crate::money::Nano;
use crate::right::words;
use sha2::{Digest as _, Sha256};

words! {
    /// Where money lies.
    Account {
        /// An organization's prepaid credit; never below zero.
        Wallet = "wallet";
        /// Where operators' grants come from.
        FundingGrant = "funding:grant";
        /// Credit that a node may spend: one account for each node and organization, `lease:<seat>`.
        Lease = "lease";
        /// What is held for work that outlives its call: one account a task, `task:<id>`.
        Task = "task";
        /// What was sold.
        Revenue = "revenue";
        /// What upstreams used above a hold.
        Absorbed = "absorbed";
        /// The other side of corrections.
        Adjust = "adjust";
    }
}

impl Account {
    /// Whether the account belongs to the platform and may be negative (L2).
    pub const fn is_platform(self) -> bool {
        !matches!(self, Self::Wallet | Self::Lease | Self::Task)
    }
}

words! {
    /// Why money moved.
    TransferKind {
        /// An operator funds a wallet.
        Grant = "grant";
        /// A node is given credit to spend.
        Lease = "lease";
        /// A node gives back what it has not spent.
        LeaseReturn = "lease_return";
        /// What a dead node had not spent goes back.
        WriteOff = "write_off";
        /// Credit is set aside for a task: from a lease, or where one node is alone from the wallet itself.
        TaskHold = "task_hold";
        /// What a task did not cost goes back.
        TaskRelease = "task_release";
        /// A request is paid: from a lease, from the hold of its task, or where one node is alone from the wallet itself.
        Charge = "charge";
        /// An upstream used more than was held.
        Absorb = "absorb";
        /// A charge is given back.
        Refund = "refund";
        /// A correction in the customer's favour.
        AdjustIn = "adjust_in";
        /// A correction in the platform's favour.
        AdjustOut = "adjust_out";
    }
}

impl TransferKind {
    /// The accounts that money leaves and enters.
    pub const fn accounts(self) -> (Account, Account) {
        match self {
            Self::Grant => (Account::FundingGrant, Account::Wallet),
            Self::Lease => (Account::Wallet, Account::Lease),
            Self::LeaseReturn | Self::WriteOff => (Account::Lease, Account::Wallet),
            Self::TaskHold => (Account::Wallet, Account::Task),
            Self::TaskRelease => (Account::Task, Account::Wallet),
            Self::Charge => (Account::Wallet, Account::Revenue),
            Self::Absorb => (Account::Absorbed, Account::Revenue),
            Self::Refund => (Account::Revenue, Account::Wallet),
            Self::AdjustIn => (Account::Adjust, Account::Wallet),
            Self::AdjustOut => (Account::Wallet, Account::Adjust),
        }
    }

    /// Whether credit comes in from outside by it: what a wallet was funded with is the sum of these.
    pub const fn is_funding(self) -> bool {
        self.wallet_sign() > 0 && !matches!(self, Self::LeaseReturn | Self::WriteOff | Self::TaskRelease)
    }

    /// What one unit of this kind does to the wallet: +1, −1 or 0. A charge from a lease does nothing to it.
    pub const fn wallet_sign(self) -> i64 {
        match self.accounts() {
            (_, Account::Wallet) => 1,
            (Account::Wallet, _) => -1,
            _ => 0,
        }
    }
}

/// One movement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Function of kind and reference.
    pub id: TransferId,
    /// The organization it concerns.
    pub organization: OrganizationId,
    /// Why.
    pub kind: TransferKind,
    /// What caused it: a request id, a grant id, …
    pub reference: String,
    /// How much; above zero.
    pub amount: Nano,
}

/// The first 128 bits of SHA-256(`claviger/transfer/1` ‖ kind ‖ reference).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransferId(u128);

impl TransferId {
    /// The id of a cause.
    pub fn of(kind: TransferKind, reference: &str) -> Self {
        let hash = Sha256::new()
            .chain_update(b"claviger/transfer/1")
            .chain_update(kind.name().as_bytes())
            .chain_update(reference.as_bytes())
            .finalize();
        let (first, _) = hash.split_at(16);
        Self(first.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte)))
    }
}

impl std::fmt::Display for TransferId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "t_{:032x}", self.0)
    }
}

impl std::fmt::Debug for TransferId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// A movement the ledger does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unlawful {
    /// Zero or below.
    #[error("the amount of a transfer is above zero")]
    NotPositive,
    /// The wallet would fall below zero.
    #[error("the wallet would fall below zero")]
    Overdrawn,
    /// The balance would leave the range of money.
    #[error("the balance would leave the range of money")]
    OutOfRange,
}

/// The wallet's balance behind a transfer (L2).
///
/// # Errors
/// [`Unlawful`]: nothing may be written.
pub fn apply(balance: Nano, kind: TransferKind, amount: Nano) -> Result<Nano, Unlawful> {
    if amount <= Nano::ZERO {
        return Err(Unlawful::NotPositive);
    }
    let after = match kind.wallet_sign() {
        1 => balance.checked_add(amount).ok_or(Unlawful::OutOfRange)?,
        -1 => balance.checked_sub(amount).ok_or(Unlawful::OutOfRange)?,
        _ => balance,
    };
    if after < Nano::ZERO { Err(Unlawful::Overdrawn) } else { Ok(after) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_never_falls_below_zero() {
        assert_eq!(apply(Nano(10), TransferKind::Charge, Nano(10)), Ok(Nano(0)));
        assert_eq!(apply(Nano(10), TransferKind::Charge, Nano(11)), Err(Unlawful::Overdrawn));
        assert_eq!(apply(Nano(10), TransferKind::Charge, Nano(0)), Err(Unlawful::NotPositive));
        assert_eq!(apply(Nano(i64::MAX), TransferKind::Grant, Nano(1)), Err(Unlawful::OutOfRange));
        assert_eq!(apply(Nano(10), TransferKind::Absorb, Nano(99)), Ok(Nano(10)));
    }

    #[test]
    fn the_same_cause_has_the_same_id() {
        assert_eq!(TransferId::of(TransferKind::Charge, "req_1"), TransferId::of(TransferKind::Charge, "req_1"));
        assert_ne!(TransferId::of(TransferKind::Charge, "req_1"), TransferId::of(TransferKind::Refund, "req_1"));
    }
}
