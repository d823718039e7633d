//! Credit a node may spend: granted, hold, settle, release, returned. On one node the lease is the wallet itself.
//!
//! Pure: the driver feeds events and performs nothing itself, since every effect is the returned value. The disk is not
//! known here. Invariants, checked in release builds: free credit is never below zero, a settlement never exceeds its
//! hold. A broken one freezes the lease: every later hold is refused until the process restarts.

use crate::money::Nano;

/// The time whose spending a lease is for.
pub const LEASE_SPEND: std::time::Duration = std::time::Duration::from_secs(3);

/// Credit to spend, and what of it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreditLease {
    /// Granted and not yet charged.
    balance: Nano,
    /// Σ open holds.
    held: Nano,
    is_frozen: bool,
}

/// Credit set aside for one request. Not `Clone`: it is consumed by [`CreditLease::settle`], once.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a hold that is not settled stays held"]
pub struct Hold(Nano);

/// Why credit was not set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldRefused {
    /// Even with nothing held there is less than was asked.
    Insufficient {
        /// The whole balance.
        balance: Nano,
        /// What is free of it.
        free: Nano,
    },
    /// It would fit if running requests gave back what they hold.
    OnHold {
        /// The whole balance.
        balance: Nano,
        /// What is free of it.
        free: Nano,
    },
    /// An invariant was broken before.
    Frozen,
}

/// A broken invariant; the lease is frozen and an alarm is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("credit lease broken: {0}")]
pub struct Broken(pub &'static str);

impl Hold {
    /// How much is set aside.
    pub const fn amount(&self) -> Nano {
        self.0
    }
}

impl CreditLease {
    /// A lease of this much credit.
    pub const fn new(balance: Nano) -> Self {
        Self { balance, held: Nano::ZERO, is_frozen: balance.0 < 0 }
    }

    /// Granted and not yet charged.
    pub const fn balance(&self) -> Nano {
        self.balance
    }

    /// Σ open holds.
    pub const fn held(&self) -> Nano {
        self.held
    }

    /// What a new request could hold.
    pub const fn free(&self) -> Nano {
        self.balance.saturating_sub(self.held)
    }

    /// Sets `amount` aside, or nothing.
    ///
    /// # Errors
    /// [`HoldRefused`]: the request must not be dispatched.
    pub fn hold(&mut self, amount: Nano) -> Result<Hold, HoldRefused> {
        if self.is_frozen || amount < Nano::ZERO {
            return Err(HoldRefused::Frozen);
        }
        let (balance, free) = (self.balance, self.free());
        if amount <= free {
            self.held = self.held.checked_add(amount).ok_or(HoldRefused::Frozen)?;
            return Ok(Hold(amount));
        }
        Err(if amount <= balance {
            HoldRefused::OnHold { balance, free }
        } else {
            HoldRefused::Insufficient { balance, free }
        })
    }

    /// Charges at most the hold and gives the rest back.
    ///
    /// # Errors
    /// [`Broken`] when the charge exceeds the hold or the books do not add up: the lease is frozen, and nothing of this
    /// hold is charged here.
    pub fn settle(&mut self, hold: Hold, charge: Nano) -> Result<(), Broken> {
        if charge < Nano::ZERO || charge > hold.0 {
            return self.freeze("a charge lies outside its hold");
        }
        let (Some(held), Some(balance)) = (self.held.checked_sub(hold.0), self.balance.checked_sub(charge)) else {
            return self.freeze("an amount left the range of money");
        };
        if held < Nano::ZERO || balance < held {
            return self.freeze("more was held than there is");
        }
        self.held = held;
        self.balance = balance;
        Ok(())
    }

    /// Adds credit that was funded.
    ///
    /// # Errors
    /// [`Broken`] beyond the range of money.
    pub fn fund(&mut self, amount: Nano) -> Result<(), Broken> {
        match self.balance.checked_add(amount) {
            Some(balance) if amount >= Nano::ZERO => {
                self.balance = balance;
                Ok(())
            }
            _ => self.freeze("funding left the range of money"),
        }
    }

    /// Takes free credit out, to give it back to the wallet: at most `amount`, never what is held.
    pub fn shrink(&mut self, amount: Nano) -> Nano {
        let taken = if self.is_frozen { Nano::ZERO } else { amount.min(self.free()).max(Nano::ZERO) };
        self.balance = self.balance.saturating_sub(taken);
        taken
    }

    /// Refuses every later hold: what this lease says and what the ledger says do not agree.
    pub const fn stop(&mut self) {
        self.is_frozen = true;
    }

    fn freeze(&mut self, reason: &'static str) -> Result<(), Broken> {
        self.stop();
        Err(Broken(reason))
    }
}

/// What a node asks a wallet for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrantAsk {
    /// The least that is of use.
    pub need: Nano,
    /// What this node spent of the wallet in [`LEASE_SPEND`], as far as it knows.
    pub spent: Nano,
    /// Whether less than the need is of use too: the rest of the wallet, to clamp an answer to.
    pub takes_rest: bool,
}

/// What there is of a wallet, under its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Nobody's yet.
    pub wallet: Nano,
    /// What other nodes may still spend or hold.
    pub others: Nano,
    /// Nodes that are registered.
    pub nodes: u32,
}

/// What is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// How much.
    pub amount: Nano,
    /// Whether it is less than the need.
    pub is_short: bool,
}

/// How much a node is granted: three seconds of its spending, at least the need, and beyond the need at most half of its
/// share of the wallet, so that no node drains what the others will need next.
pub fn grant_of(pool: Pool, ask: GrantAsk) -> Granted {
    let need = ask.need.max(Nano::ZERO);
    if pool.wallet < need {
        let amount = if ask.takes_rest { pool.wallet.max(Nano::ZERO) } else { Nano::ZERO };
        return Granted { amount, is_short: true };
    }
    let shares = i64::from(pool.nodes.max(1)).saturating_mul(2);
    let share = Nano(pool.wallet.0.checked_div(shares).unwrap_or(0));
    Granted { amount: need.max(ask.spent.min(share)), is_short: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_credit_and_held_credit_are_told_apart() {
        let mut lease = CreditLease::new(Nano(100));
        let hold = lease.hold(Nano(60)).unwrap();
        assert_eq!(lease.hold(Nano(60)), Err(HoldRefused::OnHold { balance: Nano(100), free: Nano(40) }));
        assert_eq!(lease.hold(Nano(101)), Err(HoldRefused::Insufficient { balance: Nano(100), free: Nano(40) }));
        lease.settle(hold, Nano(10)).unwrap();
        assert_eq!((lease.balance(), lease.held(), lease.free()), (Nano(90), Nano(0), Nano(90)));
    }

    #[test]
    fn only_free_credit_is_given_back() {
        let mut lease = CreditLease::new(Nano(100));
        let hold = lease.hold(Nano(60)).unwrap();
        assert_eq!(lease.shrink(Nano(100)), Nano(40));
        assert_eq!((lease.balance(), lease.free()), (Nano(60), Nano(0)));
        lease.settle(hold, Nano(10)).unwrap();
        assert_eq!(lease.shrink(Nano(20)), Nano(20));
        assert_eq!(lease.shrink(Nano(-5)), Nano(0));
    }

    #[test]
    fn a_grant_is_three_seconds_of_spending_within_half_a_share() {
        let pool = Pool { wallet: Nano(800), others: Nano(0), nodes: 4 };
        let ask = |need, spent| GrantAsk { need: Nano(need), spent: Nano(spent), takes_rest: false };
        assert_eq!(grant_of(pool, ask(10, 0)).amount, Nano(10));
        assert_eq!(grant_of(pool, ask(10, 50)).amount, Nano(50));
        assert_eq!(grant_of(pool, ask(10, 1_000)).amount, Nano(100));
        assert_eq!(
            grant_of(pool, ask(300, 1_000)).amount,
            Nano(300),
            "the need itself is granted as long as it is there"
        );
        assert_eq!(grant_of(pool, ask(900, 0)), Granted { amount: Nano(0), is_short: true });
        let rest = GrantAsk { takes_rest: true, ..ask(900, 0) };
        assert_eq!(grant_of(pool, rest), Granted { amount: Nano(800), is_short: true });
    }

    #[test]
    fn a_charge_above_its_hold_freezes() {
        let mut lease = CreditLease::new(Nano(100));
        let hold = lease.hold(Nano(10)).unwrap();
        assert!(lease.settle(hold, Nano(11)).is_err());
        assert_eq!(lease.hold(Nano(1)), Err(HoldRefused::Frozen));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn no_course_of_events_overspends(start in 0_i64..10_000, steps in prop::collection::vec((0_u8..3, 0_i64..5_000, 0_i64..101), 1..200)) {
            let mut lease = CreditLease::new(Nano(start));
            let mut open: Vec<Hold> = Vec::new();
            let (mut funded, mut charged) = (start, 0_i64);
            for (kind, amount, percent) in steps {
                match kind {
                    0 => if let Ok(hold) = lease.hold(Nano(amount)) { open.push(hold) },
                    1 => if let Some(hold) = open.pop() {
                        let charge = hold.amount().0 * percent / 100;
                        lease.settle(hold, Nano(charge)).unwrap();
                        charged += charge;
                    },
                    _ => { lease.fund(Nano(amount)).unwrap(); funded += amount }
                }
                prop_assert!(lease.free() >= Nano::ZERO);
                prop_assert_eq!(lease.balance().0, funded - charged);
                prop_assert_eq!(lease.held().0, open.iter().map(|hold| hold.amount().0).sum::<i64>());
            }
        }
    }
}
