//! Credit for one request: the hold of its upper bound, clamped to what the wallet pays, or why there is none.
//!
//! From memory alone, but for a wallet that nodes share and whose credit here is spent: then more is drawn first, and only
//! then is it known whether credit is missing, held by running requests, or on other nodes.

use crate::authenticated::Caller;
use crate::node::Node;
use crate::respond::Refusal;
use crate::wallets::{Wallet, WalletHold};
use claviger_domain::credit_lease::HoldRefused;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::money::Nano;
use claviger_domain::price::{Bound, PriceSheet};
use std::sync::Arc;

/// Below this many output tokens (or what was asked, if less) an answer is not worth starting (`money.md` §5).
pub(crate) const CLAMP_FLOOR: u64 = 16;

/// What a request asks for.
struct Ask<'a> {
    sheet: &'a PriceSheet,
    bound: &'a Bound,
    whole: Nano,
}

/// Holds the bound, or what the free credit pays of it (the clamp).
///
/// # Errors
/// 429 when credit is missing or held; 503 when the ledger cannot be asked.
pub(crate) async fn set_aside(
    node: &Node,
    caller: &Caller,
    sheet: &PriceSheet,
    bound: &Bound,
) -> Result<(WalletHold, Bound), Refusal> {
    let whole = sheet.upper_bound(bound).ok_or_else(|| PublicError::new(Code::AmountOverflow).about("max_tokens"))?;
    let wallet = node.wallets.find(caller.key.organization()).ok_or(Code::LedgerUnavailable)?;
    let ask = Ask { sheet, bound, whole };
    if wallet.drawing.is_none() {
        return ask.hold_of_free(&wallet).map_err(|refused| match refused {
            HoldRefused::OnHold { .. } => on_hold(),
            HoldRefused::Insufficient { balance, .. } if ask.fitting(balance).is_some() => on_hold(),
            HoldRefused::Insufficient { balance, free } => insufficient(balance, free, whole),
            HoldRefused::Frozen => Code::LedgerUnavailable.into(),
        });
    }
    match wallet.hold(|_| (whole, *bound)) {
        Ok(held) => Ok(held),
        Err(HoldRefused::Frozen) => Err(Code::LedgerUnavailable.into()),
        // Boxed: only a wallet whose credit here is spent waits for the database.
        Err(_) => Box::pin(ask.drawn(&wallet, node)).await,
    }
}

impl Ask<'_> {
    /// What this much credit pays of it.
    fn fitting(&self, credit: Nano) -> Option<(Nano, Bound)> {
        if self.whole <= credit {
            return Some((self.whole, *self.bound));
        }
        let tokens = self.sheet.clamp(self.bound, credit)?;
        let floor = CLAMP_FLOOR.min(self.bound.output_per_choice);
        let clamped = Bound { output_per_choice: tokens, ..*self.bound };
        (tokens >= floor).then(|| self.sheet.upper_bound(&clamped).map(|amount| (amount, clamped))).flatten()
    }

    /// Holds what the free credit pays. Without a fit the whole bound is asked for, so that the lease says which kind of
    /// refusal it is.
    fn hold_of_free(&self, wallet: &Arc<Wallet>) -> Result<(WalletHold, Bound), HoldRefused> {
        wallet.hold(|free| self.fitting(free).unwrap_or((self.whole, *self.bound)))
    }

    /// Draws what is missing; waits a second at most for what other nodes do not use; takes the rest of the wallet last.
    async fn drawn(&self, wallet: &Arc<Wallet>, node: &Node) -> Result<(WalletHold, Bound), Refusal> {
        let (store, clock) = (&node.store, node.clock());
        let begun = clock.now().monotonic;
        let drawn = loop {
            let drawn = wallet.draw_patiently(store, clock, self.whole).await.map_err(unavailable)?;
            match wallet.hold(|_| (self.whole, *self.bound)) {
                Ok(held) => return Ok(held),
                Err(HoldRefused::Frozen) => return Err(Code::LedgerUnavailable.into()),
                Err(_) => {}
            }
            // Another request of this node may have been faster; that goes on only while there is credit to be drawn.
            if !drawn.is_enough || clock.now().monotonic.since(begun) >= crate::treasury::WAIT {
                break drawn;
            }
        };
        let rest = wallet.draw_rest(store, clock, self.whole).await.map_err(unavailable)?;
        self.hold_of_free(wallet).map_err(|refused| match refused {
            HoldRefused::Frozen => Code::LedgerUnavailable.into(),
            HoldRefused::OnHold { .. } => on_hold(),
            HoldRefused::Insufficient { free, .. } => {
                let total = rest.total.max(if rest.is_enough { drawn.total } else { Nano::ZERO });
                if self.fitting(total).is_some() { on_hold() } else { insufficient(total, free, self.whole) }
            }
        })
    }
}

fn unavailable(error: claviger_storage::Error) -> Refusal {
    tracing::warn!(%error, "no credit could be drawn: {error}");
    Code::LedgerUnavailable.into()
}

fn on_hold() -> Refusal {
    let mut error = PublicError::new(Code::CreditOnHold);
    error.limit = Some("wallet");
    error.into()
}

fn insufficient(balance: Nano, free: Nano, needed: Nano) -> Refusal {
    let held = balance.saturating_sub(free);
    let message = format!(
        "{} Wallet: {balance} left, {held} held by running requests, {needed} needed for this request. Ask an owner of your organization to add credit.",
        Code::InsufficientQuota.summary()
    );
    let mut error = PublicError::with_message(Code::InsufficientQuota, message);
    error.limit = Some("wallet");
    error.into()
}
