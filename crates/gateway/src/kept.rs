//! Answers that their servers keep (W13): who keeps one, calls about it, and requests that go on from it.
//!
//! What binds an answer is its request's record, durable before the caller learns the id. Every doubt is one answer: an id
//! of another organization, of nobody, of no shape, of a key's other side or of a model that the key may not call is not
//! found. Nothing of these calls is charged or recorded.

use crate::alarm::{Alarm, instant_in, instant_now};
use crate::authenticated::{Authenticated, Caller};
use crate::flow::Flow;
use crate::local;
use crate::memory::Room;
use crate::node::Node;
use crate::observe::Trace;
use crate::respond::{self, Refusal};
use crate::upstream::{Call, Conversation, Fault, Head};
use bytes::{Bytes, BytesMut};
use claviger_domain::catalog::{Model, Target};
use claviger_domain::error::{Code, PublicError, Retry};
use claviger_domain::health::Standing;
use claviger_domain::id::{ProviderId, RequestId, ResponseId};
use claviger_domain::limits;
use claviger_domain::routing::{Trouble, course};
use claviger_domain::tenancy::TenantScope;
use claviger_wire::dialect::upstream_error;
use claviger_wire::openai::responses::{KeptCall, KnownAs};
use http::{HeaderMap, Response};
use std::borrow::Cow;
use std::sync::Arc;

/// The most of an error body that is read.
const ERROR_BODY_BYTES: usize = 64 * 1024;

/// A kept answer that its caller may come back to.
pub(crate) struct Former {
    id: ResponseId,
    /// What its server calls it.
    pub(crate) upstream_id: String,
    provider: String,
    row: Option<ProviderId>,
    /// The model as it was called then, and the one that was meant.
    asked: String,
    model: Arc<Model>,
    previous: Option<ResponseId>,
}

impl Former {
    /// The answer that an id means for this caller.
    ///
    /// # Errors
    /// 503 when nobody can be asked, or when its model is gone for now.
    pub(crate) async fn find(node: &Node, caller: &Caller, id: &str) -> Result<Option<Self>, Refusal> {
        let Ok(id) = id.parse::<ResponseId>() else { return Ok(None) };
        let scope = TenantScope(caller.key.organization());
        let found = node.store.find_request(scope, RequestId::from_u128(id.to_u128())).await;
        let found = found.map_err(|error| {
            tracing::warn!(%error, "a kept answer could not be looked up");
            Code::ServiceUnavailable
        })?;
        let Some(record) = found else { return Ok(None) };
        let Some((kept, provider)) = record.find_kept(caller.key.is_test, node.wall()) else { return Ok(None) };
        let (upstream_id, provider) = (kept.upstream_id.clone(), provider.to_owned());
        let (row, previous) = (kept.provider, kept.previous);
        let asked = record.alias.unwrap_or_else(|| record.model.clone());
        let Some(model) = local::find_for(node, caller, &record.model) else { return Err(away()) };
        // What may not be called is not shown (W19).
        let may_see = local::is_callable(node, caller, &record.model, &model);
        Ok(may_see.then_some(Self { id, upstream_id, provider, row, asked, model, previous }))
    }

    /// Whether this model made it.
    pub(crate) fn is_of(&self, model: &Model) -> bool {
        self.model.id == model.id
    }

    /// What the caller calls it.
    pub(crate) const fn id(&self) -> ResponseId {
        self.id
    }

    /// Whether a target is the server that keeps it.
    pub(crate) fn is_at(&self, target: &Target) -> bool {
        match self.row {
            Some(_) => target.provider.row == self.row,
            None => target.provider.row.is_none() && target.provider.name == self.provider,
        }
    }

    /// A target of the server that keeps it: of its model, else of any that the caller's organization can reach.
    fn target(&self, node: &Node, caller: &Caller) -> Option<Arc<Target>> {
        let of = |model: &Arc<Model>| model.tiers.iter().flatten().find(|target| self.is_at(target)).map(Arc::clone);
        let catalog = node.catalog.load();
        let own = || caller.tenant.own.as_deref()?.catalog().list().find_map(|(_, model)| of(model));
        of(&self.model).or_else(own).or_else(|| catalog.list().find_map(|(_, model)| of(model)))
    }
}

/// What is not known, whoever asks and however.
pub(crate) fn not_found() -> Refusal {
    Code::NotFound.into()
}

/// The server that keeps it cannot be asked now, and nobody else can answer.
pub(crate) fn away() -> Refusal {
    let message = "The provider that keeps this answer cannot be asked now. Try again later, or send the whole \
                   conversation as 'input'.";
    PublicError::with_message(Code::ServiceUnavailable, message).into()
}

/// Answers a call about a kept answer.
///
/// # Errors
/// 404 when it is not the caller's; 400 by its query or in its server's words; 502, 503, 504 when that fails.
pub(crate) async fn answer(node: &Node, from: &Authenticated, trace: &Trace) -> Result<Response<Flow>, Refusal> {
    let found = &from.matched.found;
    let call = KeptCall::of(found.row.operation).ok_or(Code::InternalError)?;
    let id = found.captured("id").unwrap_or_default();
    let former = Former::find(node, &from.caller, id).await?.ok_or_else(not_found)?;
    let path = call.path(&former.upstream_id, from.matched.received.head.uri.query())?;
    let target = former.target(node, &from.caller).ok_or_else(away)?;
    let standing = node.health.candidate(&target).circuit.lock().standing(node.monotonic());
    if let Standing::Open(_) | Standing::Cooling(_) = standing {
        return Err(away());
    }
    let asked = Asked { node, trace, target: &target, call, path, former: &former };
    let mut room = node.memory.room();
    let deadline = instant_in(limits::KEPT_CALL);
    let told = Alarm::default().guard(deadline, asked.tell(&mut room)).await;
    let body = told.unwrap_or_else(|| Err(failed(Trouble::TimedOut)))?;
    let known_as = KnownAs { answer: former.id, model: &former.asked, previous: former.previous };
    let body = call.read_reply(&body, &known_as).map_err(|fault| {
        tracing::warn!(provider = %target.provider.name, kind = ?fault.kind, "an answer about a kept response could not be read");
        Refusal::from(Code::UpstreamError)
    })?;
    Ok(respond::json(body))
}

/// One question about a kept answer.
struct Asked<'a> {
    node: &'a Node,
    trace: &'a Trace,
    target: &'a Arc<Target>,
    call: KeptCall,
    path: String,
    former: &'a Former,
}

impl Asked<'_> {
    /// The server's answer. A connection that turns out to be dead is no answer: the question is put once more, which
    /// changes nothing for any of these calls.
    async fn tell(&self, room: &mut Room) -> Result<Bytes, Refusal> {
        let mut told = self.ask(room).await;
        if let Err(Fault::Dropped) = told {
            told = self.ask(room).await;
        }
        let (head, body) = told.map_err(|fault| failed(fault.into()))?;
        match head.status.as_u16() {
            200..=299 => Ok(body),
            // Its server has forgotten it: then nobody knows it.
            404 => Err(not_found()),
            405 | 501 => {
                let why = "The provider that keeps this answer does not know this call.";
                Err(PublicError::with_message(Code::UnsupportedEndpoint, why).into())
            }
            status => Err(self.refused(status, &head, &body)),
        }
    }

    async fn ask(&self, room: &mut Room) -> Result<(Head, Bytes), Fault> {
        let mut conversation = self.node.upstreams.begin(Call {
            provider: &self.target.provider,
            method: self.call.method(),
            path: Cow::Owned(self.path.clone()),
            request: self.trace.request_id,
            request_id: &self.trace.request_id_text,
            client_headers: &HeaderMap::new(),
            content_type: "application/json",
            body: Vec::new(),
            now_seconds: self.trace.arrived.wall.seconds(),
            now: instant_now(),
            connect: self.target.timeouts.connect,
            place: None,
        })?;
        let head = conversation.head().await?;
        let most = if head.status.is_success() { limits::JSON_ANSWER_BYTES } else { ERROR_BODY_BYTES };
        Ok((head, read(&mut conversation, most, room).await?))
    }

    /// A refusal in the server's words where they are the caller's to know (W33), with the caller's name of the answer.
    fn refused(&self, status: u16, head: &Head, body: &[u8]) -> Refusal {
        let trouble = Trouble::Status(status);
        if course(trouble, head.retry_after).answer.is_some() {
            return failed(trouble);
        }
        let provider = &self.target.provider;
        let credential = provider.credential.as_ref().map(|credential| credential.expose().as_str());
        let mut error = upstream_error(provider.dialect, status, body, credential);
        error.message = error.message.replace(&self.former.upstream_id, &self.former.id.text()).into();
        error.into()
    }
}

async fn read(conversation: &mut Conversation, most: usize, room: &mut Room) -> Result<Bytes, Fault> {
    let mut all = BytesMut::new();
    while let Some(piece) = conversation.piece().await? {
        all.extend_from_slice(&piece);
        if all.len() > most || !room.grow_to(all.len()) {
            return Err(Fault::Broken);
        }
    }
    Ok(all.freeze())
}

fn failed(trouble: Trouble) -> Refusal {
    let mut error = PublicError::new(course(trouble, None).answer.unwrap_or(Code::UpstreamError));
    if error.code == Code::Overloaded {
        error.retry = Retry::After(limits::COOL_MIN);
    }
    error.into()
}
