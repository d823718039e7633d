//! Draws credit from wallets that several nodes share, and gives back what this node does not need (`money.md` §6).
//!
//! A request that finds this node's lease short waits here for a grant, a second at most; everything else happens beside
//! requests. Grants and returns are numbered, one at a time a wallet, so that a repetition counts once. Returned credit
//! leaves memory first: a node never spends what it is giving back.

use crate::wallets::{Wallet, Wallets};
use claviger_domain::credit_lease::{GrantAsk, LEASE_SPEND};
use claviger_domain::money::Nano;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::{Clock, Monotonic, Timestamp};
use claviger_storage::{Error, Store};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, Notify, watch};

/// Credit that was not touched for this long goes back.
const IDLE: Duration = Duration::from_secs(30);

/// How often wallets are looked at when nobody rings.
const LOOK: Duration = Duration::from_millis(500);

/// How long a request waits for credit that others have.
pub(crate) const WAIT: Duration = Duration::from_secs(1);

/// How often it asks meanwhile; returned credit is not announced across nodes.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// How long one answer of the database is waited for in a request.
const ANSWER: Duration = Duration::from_secs(2);

/// How credit of a shared wallet is drawn and returned.
pub(crate) struct Drawing {
    numbers: Mutex<Numbers>,
    bell: Arc<Notify>,
    /// Told when credit of this wallet may have become free, here or by funding.
    pub(crate) freed: Notify,
    is_recalled: AtomicBool,
    wants_more: AtomicBool,
    /// Σ of what waiting requests need.
    waiting: AtomicI64,
    /// Charged since the last grant.
    spent: AtomicI64,
    /// Below this much free credit more is drawn beside requests.
    low: AtomicI64,
    /// Monotonic nanoseconds of the last grant, and of the last look that found the wallet used.
    granted_at: AtomicU64,
    used_at: AtomicU64,
    was_used: AtomicBool,
    /// How often the wallet was funded: what was said of an empty wallet ends with the next funding.
    fundings: AtomicU64,
}

/// Where the numbering of this wallet's grants and returns is.
#[derive(Default)]
struct Numbers {
    is_known: bool,
    grants: i64,
    returns: i64,
    /// A grant was asked for and its answer never came: it is asked for again, under the same number.
    is_unanswered: bool,
    /// Taken out of memory, and not yet known to be back in the wallet.
    returning: Option<Nano>,
    /// The wallet had nothing a moment ago.
    dry: Option<Dry>,
}

/// What was said when the wallet had nothing left: good for a moment, so that a crowd does not ask one by one, and no
/// longer than until the wallet is funded.
#[derive(Clone, Copy)]
struct Dry {
    at: Monotonic,
    fundings: u64,
    missing: Nano,
    drawn: Drawn,
}

impl Dry {
    fn holds_for(&self, now: Monotonic, fundings: u64, missing: Nano) -> bool {
        missing >= self.missing && fundings == self.fundings && now.since(self.at) < ASK_AGAIN
    }
}

/// The need of a request that waits for its turn.
struct Waiting<'a> {
    drawing: &'a Drawing,
    need: i64,
}

impl<'a> Waiting<'a> {
    fn begin(drawing: &'a Drawing, need: Nano) -> Self {
        drawing.waiting.fetch_add(need.0, Ordering::Relaxed);
        Self { drawing, need: need.0 }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.drawing.waiting.fetch_sub(self.need, Ordering::Relaxed);
    }
}

/// What came of drawing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawn {
    /// Whether the need is free now, as far as this node knows.
    pub(crate) is_enough: bool,
    /// Everything there is: in the wallet, on this node and on others.
    pub(crate) total: Nano,
    /// What other nodes may spend or hold.
    pub(crate) others: Nano,
}

impl Drawing {
    pub(crate) fn new(bell: Arc<Notify>) -> Self {
        Self {
            numbers: Mutex::default(),
            bell,
            freed: Notify::new(),
            is_recalled: AtomicBool::new(false),
            wants_more: AtomicBool::new(false),
            waiting: AtomicI64::new(0),
            spent: AtomicI64::new(0),
            low: AtomicI64::new(0),
            granted_at: AtomicU64::new(0),
            used_at: AtomicU64::new(0),
            was_used: AtomicBool::new(true),
            fundings: AtomicU64::new(0),
        }
    }

    /// The wallet was funded: who waits asks again, and so does who comes now.
    pub(crate) fn funded(&self) {
        self.fundings.fetch_add(1, Ordering::Release);
        self.freed.notify_waiters();
    }

    /// Whether unused credit is asked back; `true` when it just began to be.
    pub(crate) fn recall(&self, is_recalled: bool) -> bool {
        let was_recalled = self.is_recalled.swap(is_recalled, Ordering::Relaxed);
        is_recalled && !was_recalled
    }

    /// A hold was taken and left this much free.
    pub(crate) fn held(&self, free: Nano) {
        self.was_used.store(true, Ordering::Relaxed);
        if free.0 < self.low.load(Ordering::Relaxed) && !self.wants_more.swap(true, Ordering::Relaxed) {
            self.bell.notify_one();
        }
    }

    /// A hold was settled.
    pub(crate) fn settled(&self, charge: Nano, has_rest: bool) {
        self.was_used.store(true, Ordering::Relaxed);
        self.spent.fetch_add(charge.0, Ordering::Relaxed);
        if has_rest {
            self.freed.notify_waiters();
            if self.is_recalled.load(Ordering::Relaxed) {
                self.bell.notify_one();
            }
        }
    }

    /// What was charged in the time a lease is for, by the pace since the last grant.
    fn pace(&self, now: Monotonic) -> Nano {
        let since = now.since(Monotonic(self.granted_at.load(Ordering::Relaxed))).max(Duration::from_millis(10));
        let spent = i128::from(self.spent.load(Ordering::Relaxed));
        let scaled = i128::try_from(LEASE_SPEND.as_nanos())
            .ok()
            .and_then(|span| spent.checked_mul(span))
            .and_then(|product| product.checked_div(i128::try_from(since.as_nanos()).ok()?));
        Nano(scaled.and_then(|scaled| i64::try_from(scaled).ok()).unwrap_or(i64::MAX))
    }

    /// Whether nothing was held or settled for [`IDLE`].
    fn is_idle(&self, now: Monotonic) -> bool {
        if self.was_used.swap(false, Ordering::Relaxed) {
            self.used_at.store(now.0, Ordering::Relaxed);
        }
        now.since(Monotonic(self.used_at.load(Ordering::Relaxed))) >= IDLE
    }
}

impl Wallet {
    /// Draws until `need` is free on this node, as far as the wallet has it; with `takes_rest` also less than that.
    ///
    /// # Errors
    /// The store's. What was granted without an answer is found by the next drawing.
    pub(crate) async fn draw(
        &self,
        store: &Store,
        clock: &dyn Clock,
        need: Nano,
        takes_rest: bool,
    ) -> Result<Drawn, Error> {
        let Some(drawing) = &self.drawing else { return Err(Error::unanswered()) };
        let _waiting = Waiting::begin(drawing, need);
        let Ok(mut numbers) = tokio::time::timeout(WAIT, drawing.numbers.lock()).await else {
            // Others of this node are drawing: there may be credit, it is only not this request's turn.
            return Ok(Drawn { is_enough: false, total: Nano(i64::MAX), others: Nano::ZERO });
        };
        let (balance, free) = self.standing();
        let missing = need.saturating_sub(free);
        if need > Nano::ZERO && missing <= Nano::ZERO && !numbers.is_unanswered {
            // Whoever was here before drew enough.
            return Ok(Drawn { is_enough: true, total: balance, others: Nano::ZERO });
        }
        let now = clock.now();
        // Read before the wallet is: a funding that comes meanwhile makes the answer old.
        let fundings = drawing.fundings.load(Ordering::Acquire);
        if let Some(dry) = numbers.dry.filter(|dry| dry.holds_for(now.monotonic, fundings, missing)) {
            return Ok(dry.drawn);
        }
        within(self.know(store, &mut numbers, now.wall)).await?;
        // What all who wait here need, so that one grant serves them all.
        let waiting = Nano(drawing.waiting.load(Ordering::Relaxed));
        let spent = drawing.pace(now.monotonic).max(waiting);
        let ask = GrantAsk { need: missing.max(Nano::ZERO), spent, takes_rest };
        let number = numbers.grants.saturating_add(1);
        numbers.is_unanswered = true;
        let granted = within(store.grant_lease(TenantScope(self.organization), number, ask, now.wall)).await;
        let granted = match granted {
            Err(error @ Error::Conflict(_)) => {
                numbers.is_known = false;
                numbers.is_unanswered = false;
                return Err(error);
            }
            other => other?,
        };
        numbers.is_unanswered = false;
        if granted.amount > Nano::ZERO {
            numbers.grants = number;
            drawing.granted_at.store(now.monotonic.0, Ordering::Relaxed);
            drawing.spent.store(0, Ordering::Relaxed);
            drawing.low.store(granted.amount.0.checked_div(3).unwrap_or(0), Ordering::Relaxed);
            self.grow(granted.amount);
        }
        let (balance, free) = self.standing();
        let total = Nano(granted.wallet.0.saturating_add(granted.others.0).saturating_add(balance.0));
        let drawn = Drawn { is_enough: free >= need, total, others: granted.others };
        let is_dry = !drawn.is_enough && granted.wallet <= Nano::ZERO;
        numbers.dry = is_dry.then_some(Dry { at: now.monotonic, fundings, missing, drawn });
        Ok(drawn)
    }

    /// Waits until `need` may be free here, while others may still give credit back. Every node that comes short asks
    /// the others for what they do not use.
    ///
    /// # Errors
    /// The store's, and a database that does not answer.
    pub(crate) async fn draw_patiently(&self, store: &Store, clock: &dyn Clock, need: Nano) -> Result<Drawn, Error> {
        let begun = clock.now().monotonic;
        loop {
            let drawn = self.draw(store, clock, need, false).await?;
            if drawn.is_enough || drawn.others <= Nano::ZERO || clock.now().monotonic.since(begun) >= WAIT {
                return Ok(drawn);
            }
            if let Some(drawing) = &self.drawing {
                // Whoever frees credit here tells so; elsewhere it is asked for again.
                let _ = tokio::time::timeout(ASK_AGAIN, drawing.freed.notified()).await;
            }
        }
    }

    /// Draws what is left of the wallet, if it is less than the need: an answer may be clamped to it.
    ///
    /// # Errors
    /// As of [`Wallet::draw_patiently`].
    pub(crate) async fn draw_rest(&self, store: &Store, clock: &dyn Clock, need: Nano) -> Result<Drawn, Error> {
        self.draw(store, clock, need, true).await
    }

    fn standing(&self) -> (Nano, Nano) {
        let lease = self.lease.lock();
        (lease.balance(), lease.free())
    }

    async fn know(&self, store: &Store, numbers: &mut Numbers, at: Timestamp) -> Result<(), Error> {
        if !numbers.is_known {
            (numbers.grants, numbers.returns) = store.lease_numbers(TenantScope(self.organization)).await?;
            numbers.is_known = true;
        }
        self.finish_return(store, numbers, at).await
    }

    /// Gives back what is free.
    async fn give_back(&self, store: &Store, clock: &dyn Clock) -> Result<(), Error> {
        let Some(drawing) = &self.drawing else { return Ok(()) };
        let mut numbers = drawing.numbers.lock().await;
        if !numbers.is_known {
            // Nothing was ever drawn.
            return Ok(());
        }
        let now = clock.now().wall;
        self.finish_return(store, &mut numbers, now).await?;
        let taken = self.lease.lock().shrink(Nano(i64::MAX));
        if taken > Nano::ZERO {
            numbers.returning = Some(taken);
            self.finish_return(store, &mut numbers, now).await?;
        }
        Ok(())
    }

    /// A return that is under way is repeated until it is known to be booked.
    async fn finish_return(&self, store: &Store, numbers: &mut Numbers, at: Timestamp) -> Result<(), Error> {
        let Some(amount) = numbers.returning else { return Ok(()) };
        let number = numbers.returns.saturating_add(1);
        match store.return_lease(TenantScope(self.organization), number, amount, at).await {
            Ok(()) => {
                numbers.returns = number;
                numbers.returning = None;
                Ok(())
            }
            Err(error @ Error::Conflict(_)) => {
                // What memory and the ledger say differs: nothing is held of it any more.
                self.freeze();
                numbers.returning = None;
                numbers.is_known = false;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

/// A database that does not answer must not keep a request.
async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(ANSWER, work).await.unwrap_or_else(|_elapsed| Err(Error::unanswered()))
}

impl Wallets {
    /// Draws ahead of need and gives back what is idle or recalled, until `stopped`.
    pub(crate) async fn run(self: Arc<Self>, store: Store, clock: Arc<dyn Clock>, mut stopped: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return,
                () = self.bell.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
            for wallet in self.every() {
                if let Err(error) = wallet.look(&store, clock.as_ref()).await {
                    tracing::debug!(organization = %wallet.organization, %error, "credit is drawn or returned later");
                }
            }
        }
    }

    /// Gives everything back that is not held: this node ends.
    pub(crate) async fn return_all(&self, store: &Store, clock: &dyn Clock) {
        for wallet in self.every() {
            if let Err(error) = wallet.give_back(store, clock).await {
                tracing::warn!(
                    organization = %wallet.organization,
                    %error,
                    "credit stays set aside until this node starts again"
                );
            }
        }
    }
}

impl Wallet {
    async fn look(&self, store: &Store, clock: &dyn Clock) -> Result<(), Error> {
        let Some(drawing) = &self.drawing else { return Ok(()) };
        let wants_more = drawing.wants_more.swap(false, Ordering::Relaxed);
        let is_idle = drawing.is_idle(clock.now().monotonic);
        let is_recalled = drawing.is_recalled.load(Ordering::Relaxed);
        let (_, free) = self.standing();
        if (is_recalled || is_idle) && free > Nano::ZERO {
            return self.give_back(store, clock).await;
        }
        if wants_more && !is_recalled {
            self.draw(store, clock, Nano::ZERO, false).await?;
        }
        Ok(())
    }
}
