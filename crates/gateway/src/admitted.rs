//! Stage 5: may it run, and can it be paid? Ends with the hold, which is the admission.
//!
//! Order of `wire.md` §1: model, price, bound, credit; last, under the hold, the key's state and the validity lease are
//! read once more. A refusal gives the hold back by dropping it, so it never burns credit.

use crate::authenticated::{Caller, check_state};
use crate::credit::{CLAMP_FLOOR, set_aside};
use crate::drain::DrainPermit;
use crate::kept::Former;
use crate::limits::{self, Pass};
use crate::local;
use crate::memory::Room;
use crate::node::Node;
use crate::observe::Trace;
use crate::once::Claim;
use crate::parsed::Parsed;
use crate::respond::Refusal;
use crate::running::RunningRequest;
use crate::task::{TaskInHand, TaskTerms};
use crate::wallets::WalletHold;
use claviger_domain::catalog::{Model, Pricing};
use claviger_domain::endpoint::Operation;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::meter::Meter;
use claviger_domain::money::Nano;
use claviger_domain::price::{Bound, Condition, Conditions, PriceSheet, Unpriced};
use claviger_storage::ChargeSlot;
use claviger_wire::inference::{Ask, ModelLimits};
use http::HeaderMap;
use std::sync::Arc;

/// How often a limit that we inserted is halved when the upstream finds it too long for its context.
const HALVINGS: u8 = 4;

/// The output limit that is sent where neither the caller nor the catalog names one, so that a priced answer is
/// bounded: 16,384 tokens, the maximum of the common hosted models of 2025.
const OUTPUT_TOKENS_UNSAID: u64 = 16_384;

/// A request that may be dispatched: known, priced, paid for.
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) ask: Box<dyn Ask>,
    /// What it is asked for at: the row of its endpoint.
    pub(crate) operation: Operation,
    pub(crate) headers: HeaderMap,
    /// What it has taken of its limits.
    pub(crate) pass: Pass,
    /// Held for as long as body or answer is.
    pub(crate) room: Room,
    pub(crate) model: Arc<Model>,
    /// The prices that bound it: the dearest that its answer can come to.
    pub(crate) sheet: Option<Arc<PriceSheet>>,
    /// All its prices, to settle by, where some depend on conditions.
    pub(crate) book: Option<Arc<PriceSheet>>,
    /// Of which it asks for these.
    pub(crate) asked: Conditions,
    pub(crate) bound: Bound,
    /// The output limit to write into the request, when it must be lowered or inserted.
    pub(crate) output_limit: Option<u64>,
    /// Whether that limit was lowered to what the wallet can pay.
    pub(crate) is_clamped: bool,
    halvings: u8,
    pub(crate) hold: Option<WalletHold>,
    /// What was held and is a task's now: durable, and nothing of this process's any more.
    task_hold: Nano,
    /// What its caller says of it as a task, if it is asked for as one.
    pub(crate) terms: Option<TaskTerms>,
    /// The task that ends with it.
    pub(crate) task: Option<Box<TaskInHand>>,
    pub(crate) slot: ChargeSlot,
    pub(crate) drain: DrainPermit,
    /// The answer that it goes on from: whoever keeps that is asked, and nobody else.
    pub(crate) former: Option<Box<Former>>,
    /// What keeps it from running twice, if its caller has named it.
    pub(crate) claim: Option<Claim>,
    /// Counted among its key's requests for as long as this lives.
    _running: RunningRequest,
    /// Only this file makes one.
    _made_here: (),
}

impl Admitted {
    /// Admits, or says why not.
    ///
    /// # Errors
    /// 400 unpriced, unserved; 401, 403 gone meanwhile; 403, 404 model; 429 credit; 503 when a charge could not be kept.
    pub(crate) async fn hold(from: Parsed, node: &Node, trace: &mut Trace) -> Result<Box<Self>, Refusal> {
        let Parsed { caller, mut pass, ask, operation, headers, task, claim, former, room, .. } = from;
        let model = find_model(node, &caller, (operation, ask.model()), trace)?;
        if model.id != ask.model() {
            trace.alias = Some(std::mem::replace(&mut trace.model, model.id.clone()));
        }
        check_dialects(ask.as_ref(), &model)?;
        let slot = node.charges.try_reserve().map_err(|_| Refusal::from(Code::LedgerUnavailable))?;
        let drain = node.drains.try_reserve().ok_or(Code::Overloaded)?;
        if node.has_lost_ledger() {
            return Err(Code::LedgerUnavailable.into());
        }
        let asked = ask.conditions();
        let book = book_of(&model, caller.key.is_test || ask.is_free(), operation)?;
        let sheet = bounding(book.as_ref(), &asked, &model.id)?;
        let book = book.filter(|book| book.has_conditions());
        let Priced { bound, mut output_limit } = bound_of(ask.as_ref(), &model, sheet.as_deref())?;
        let of_whom = (&*caller.key, &*caller.tenant);
        limits::take_tokens(node, &mut pass, of_whom, &model.id, ask.estimate().input.tokens()).await?;
        if pass.would_refuse() {
            trace.note_would_refuse(Code::RateLimitExceeded);
        }
        let running = node.running.begin(caller.key.id);
        let mut admitted = Box::new(Self {
            caller,
            ask,
            operation,
            pass,
            headers,
            room,
            model,
            sheet,
            book,
            asked,
            bound,
            output_limit: None,
            is_clamped: false,
            halvings: 0,
            hold: None,
            task_hold: Nano::ZERO,
            terms: task,
            task: None,
            slot,
            drain,
            former,
            claim,
            _running: running,
            _made_here: (),
        });
        if let Some(sheet) = admitted.sheet.clone() {
            let (hold, bound) = set_aside(node, &admitted.caller, &sheet, &bound).await?;
            admitted.is_clamped = bound.output_per_choice < admitted.bound.output_per_choice;
            if admitted.is_clamped {
                output_limit = Some(bound.output_per_choice);
            }
            admitted.bound = bound;
            admitted.hold = Some(hold);
        }
        admitted.output_limit = output_limit;
        admitted.look_once_more(node, trace)?;
        Ok(admitted)
    }

    /// The instant of admission: what has died while the body came in is refused here. The clock is read last, so that a
    /// process which stood still in between does not believe what it read before.
    fn look_once_more(&self, node: &Node, trace: &mut Trace) -> Result<(), Refusal> {
        let Caller { key, secret, tenant } = &self.caller;
        let found = node.snapshot.keys.find(key.id).zip(node.snapshot.find_organization(key.organization()));
        let Some((key_now, tenant_now)) = found else { return Err(Code::OrganizationSuspended.into()) };
        let is_unchanged = Arc::ptr_eq(&key_now, key) && Arc::ptr_eq(&tenant_now, tenant);
        let caller = Caller { key: key_now, secret: *secret, tenant: tenant_now };
        check_state(&caller, node).map_err(|refused| refused.told(&caller.tenant, &[], &node.settings.prefixes))?;
        if !is_unchanged {
            limits::check_address(&caller.key, &caller.tenant, trace)?;
            limits::check_endpoint(&caller.key, self.operation, trace)?;
        }
        if !node.snapshot.is_fresh(node.monotonic()) {
            return Err(Code::AuthorizationStale.into());
        }
        Ok(())
    }

    /// Halves an output limit that the caller has not sent, at most four times; `false` when there is none to halve.
    pub(crate) fn halve_inserted_limit(&mut self) -> bool {
        let inserted = self.output_limit.filter(|_| self.ask.output_limit().is_none());
        let Some(limit) = inserted.filter(|limit| self.halvings < HALVINGS && *limit > CLAMP_FLOOR) else {
            return false;
        };
        self.halvings = self.halvings.saturating_add(1);
        self.output_limit = Some(limit / 2);
        true
    }

    /// Whether the output limit is another than at the admission.
    pub(crate) const fn is_halved(&self) -> bool {
        self.halvings > 0
    }

    /// What is held; nothing for free models.
    pub(crate) fn held(&self) -> Nano {
        self.hold.as_ref().map_or(self.task_hold, WalletHold::amount)
    }

    /// Takes the hold out, for a task to keep.
    pub(crate) fn take_hold(&mut self) -> Option<WalletHold> {
        self.task_hold = self.held();
        self.hold.take()
    }

    /// Whether what is held went back to the wallet meanwhile.
    pub(crate) fn is_written_off(&self) -> bool {
        self.hold.as_ref().is_some_and(|hold| hold.wallet().is_written_off())
    }
}

fn find_model(
    node: &Node,
    caller: &Caller,
    (operation, id): (Operation, &str),
    trace: &mut Trace,
) -> Result<Arc<Model>, Refusal> {
    let model = find_permitted_model(node, caller, id, trace)?;
    if let Some(endpoint) = operation.endpoint()
        && !model.endpoints.contains(&endpoint)
    {
        let message = format!("The model `{id}` does not serve the endpoint `{}`.", endpoint.name());
        return Err(PublicError::with_message(Code::UnsupportedEndpoint, message).about("model").into());
    }
    Ok(model)
}

/// A priced model that the caller sees and may call, whatever it serves.
///
/// # Errors
/// 404 unseen; 403 not allowed; 400 without a price.
pub(crate) fn find_permitted_model(
    node: &Node,
    caller: &Caller,
    id: &str,
    trace: &mut Trace,
) -> Result<Arc<Model>, Refusal> {
    let found = local::find_for(node, caller, id).filter(|model| local::is_here(caller, model));
    let Some(model) = found else { return Err(local::model_not_found(node, id)) };
    if caller.key.is_test && !model.is_simulated {
        let message = format!("A test key reaches the simulator's models only; `{id}` is a live model.");
        return Err(PublicError::with_message(Code::ModelNotAllowed, message).about("model").into());
    }
    // Without a price nobody sees it; who knows its name is told why, if it may be called at all.
    let is_unpriced = matches!(model.pricing, Pricing::Unpriced);
    if !is_unpriced && !local::is_visible(node, caller, &model) {
        return Err(local::model_not_found(node, id));
    }
    limits::check_model((&caller.key, &caller.tenant), id, &model, trace)?;
    if is_unpriced {
        return Err(not_priced(&model.id));
    }
    Ok(model)
}

/// What no target of the model may be sent is refused here, before credit is touched; one that may be sent is enough.
fn check_dialects(ask: &dyn Ask, model: &Model) -> Result<(), Refusal> {
    let mut refused = None;
    for target in model.tiers.iter().flatten() {
        match ask.check_dialect(target.provider.dialect) {
            Ok(()) => return Ok(()),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(()), |error| Err(error.into()))
}

/// What a model costs; `None` = nothing.
fn book_of(model: &Model, is_free: bool, operation: Operation) -> Result<Option<Arc<PriceSheet>>, Refusal> {
    match &model.pricing {
        Pricing::Free => Ok(None),
        Pricing::Priced(_) if is_free => Ok(None),
        // Whoever wrote the price has been told; what it does not measure is not given away meanwhile.
        Pricing::Priced(sheet) if operation.endpoint().is_some_and(|endpoint| !sheet.measures(endpoint)) => {
            Err(not_priced(&model.id))
        }
        Pricing::Priced(sheet) => Ok(Some(Arc::clone(sheet))),
        Pricing::Unpriced => Err(not_priced(&model.id)),
    }
}

fn not_priced(id: &str) -> Refusal {
    tracing::warn!(model = id, "a model without a price was asked for: set a price, or mark it free");
    PublicError::with_message(
        Code::ModelNotPriced,
        format!("The model `{id}` has no price yet. The operator has been told."),
    )
    .about("model")
    .into()
}

/// The prices that bound a request. Where nothing is priced, nothing that costs more elsewhere is served either (W49).
fn bounding(book: Option<&Arc<PriceSheet>>, asked: &Conditions, id: &str) -> Result<Option<Arc<PriceSheet>>, Refusal> {
    let bounding = match (book, asked.of(Condition::ServiceTier)) {
        (Some(book), _) => book.bounding(asked).map(Some),
        (None, Some(_)) => Err(Unpriced(Condition::ServiceTier)),
        (None, None) => Ok(None),
    };
    bounding.map_err(|Unpriced(condition)| {
        let (param, value) = (condition.name(), asked.of(condition).unwrap_or_default());
        let message =
            format!("The model `{id}` has no price for '{param}': `{value}`. Leave it out, or ask for another.");
        PublicError::with_message(Code::UnpricedParameter, message).about(param).into()
    })
}

struct Priced {
    bound: Bound,
    output_limit: Option<u64>,
}

/// The most the request can use. A priced answer is bounded by a limit that the upstream is told, whenever the caller
/// has said none or a higher one: what it made beyond the hold would be given away.
fn bound_of(ask: &dyn Ask, model: &Model, sheet: Option<&PriceSheet>) -> Result<Priced, Refusal> {
    let unsaid = || model.context_tokens.map_or(OUTPUT_TOKENS_UNSAID, |context| context.min(OUTPUT_TOKENS_UNSAID));
    let is_unsaid = ask.output_limit().is_none() && model.output_tokens_max.is_none();
    let output_tokens_max = if sheet.is_some() && is_unsaid { Some(unsaid()) } else { model.output_tokens_max };
    let limits = ModelLimits { context_tokens: model.context_tokens, output_tokens_max };
    let bound = match (ask.bound(limits), sheet) {
        (Ok(bound), _) => bound,
        // What costs nothing needs no bound.
        (Err(_), None) => {
            let input = claviger_domain::meter::Meters::NONE.with(Meter::InputToken, u64::MAX);
            Bound { input, output_per_choice: u64::MAX, choices: ask.choices() }
        }
        (Err(error), Some(_)) => return Err(error.into()),
    };
    let is_told = ask.output_limit().is_some_and(|asked| asked <= bound.output_per_choice);
    let output_limit = (sheet.is_some() && !is_told).then_some(bound.output_per_choice);
    Ok(Priced { bound, output_limit })
}
