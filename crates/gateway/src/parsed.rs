//! Stage 4: the body, read within its limits and scanned once.

use crate::authenticated::{Authenticated, Caller};
use crate::body::PacedBody;
use crate::kept::Former;
use crate::limits::{self, Pass};
use crate::local;
use crate::memory::Room;
use crate::node::Node;
use crate::observe::Trace;
use crate::once::{Claim, Named};
use crate::received::BodyLength;
use crate::respond::Refusal;
use crate::task::{TaskTerms, wait_of};
use bytes::Bytes;
use claviger_domain::endpoint::{Operation, Row};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::ResponseId;
use claviger_domain::key::redacted;
use claviger_wire::content_type;
use claviger_wire::idempotency;
use claviger_wire::inference::{self, Ask};
use claviger_wire::multipart;
use claviger_wire::openai::responses::{AnswerNames, no_previous};
use claviger_wire::task::{self, OwnFields, TaskAsk};
use http::{HeaderMap, HeaderValue, header};

/// A request whose body is understood.
pub(crate) struct Parsed {
    pub(crate) caller: Caller,
    pub(crate) pass: Pass,
    pub(crate) ask: Box<dyn Ask>,
    /// The row it came in by.
    pub(crate) operation: Operation,
    /// Those of the client's headers that may be passed on (W22).
    pub(crate) headers: HeaderMap,
    /// By what its caller has named it, to have it run once.
    pub(crate) named: Option<Named>,
    /// What is said of it as a task, if it is asked for as one.
    pub(crate) task: Option<TaskTerms>,
    /// What it has claimed by that name.
    pub(crate) claim: Option<Claim>,
    /// The answer that it goes on from.
    pub(crate) former: Option<Box<Former>>,
    /// What the body has taken of the process's memory.
    pub(crate) room: Room,
    /// Only this file makes one.
    _made_here: (),
}

impl Parsed {
    /// Reads and scans the body.
    ///
    /// # Errors
    /// 415 and 413 before the first byte; 400, 408, 413 while it comes, which end the connection; 400 by the scan.
    pub(crate) async fn read(from: Authenticated, node: &Node, trace: &mut Trace) -> Result<Self, Unparsed> {
        let Authenticated { matched, caller, pass, .. } = from;
        if let Err(refusal) = check_head(&matched.received.head.headers, matched.received.length, matched.found.row) {
            return Err(Unparsed { refusal, unread: Some(matched.received) });
        }
        let key = match idempotency::key(&matched.received.head.headers) {
            Ok(key) => key,
            Err(code) => return Err(Unparsed { refusal: code.into(), unread: Some(matched.received) }),
        };
        let wait = match matched.found.row.operation {
            Operation::CreateTask => wait_of(&matched.received.head.headers),
            _ => Ok(None),
        };
        let wait = match wait {
            Ok(wait) => wait,
            Err(refusal) => return Err(Unparsed { refusal, unread: Some(matched.received) }),
        };
        let headers = forwarded(&matched.received.head.headers);
        let operation = matched.found.row.operation;
        let is_form = is_form(operation, &matched.received.head.headers);
        let content_type = is_form.then(|| content_type(&matched.received.head.headers)).flatten();
        let query = matched.received.head.uri.query().map(str::to_owned);
        let body = PacedBody::new(matched.received.body, matched.found.row.body_bytes_max);
        let mut room = node.memory.room();
        let bytes =
            body.read_into(&mut room).await.map_err(|error| Unparsed::read(Refusal::closing(Code::from(error))))?;
        let named = key.map(|key| {
            let boundary = content_type.as_deref().and_then(|text| multipart::boundary(Some(text)).ok());
            let fingerprint = idempotency::fingerprint(operation, query.as_deref(), boundary.as_deref(), &bytes);
            Named { key, fingerprint }
        });
        let (operation, mut ask, task) = if operation == Operation::CreateTask {
            let (operation, ask, own) =
                parsed_task(node, &caller, content_type, bytes).await.map_err(Unparsed::read)?;
            // From here on it is what its body means.
            limits::check_endpoint(&caller.key, operation, trace).map_err(Unparsed::read)?;
            trace.operation = Some(operation);
            (operation, ask, Some(TaskTerms { own, wait }))
        } else {
            let ask = match is_form {
                true => parsed_form(operation, content_type, bytes).await,
                false => inference::parse(operation, query.as_deref(), bytes),
            };
            (operation, ask.map_err(|error| Unparsed::read(error.into()))?, None)
        };
        // A key written into the wrong field must not reach logs and records.
        trace.model = redacted(ask.model(), &node.settings.prefixes).into_owned();
        trace.is_stream = ask.is_stream();
        ask.name_answer(AnswerNames { answer: answer_of(trace), previous_upstream: None });
        let former = None;
        Ok(Self { caller, pass, ask, operation, headers, named, task, claim: None, former, room, _made_here: () })
    }

    /// Finds the answer that it goes on from.
    ///
    /// # Errors
    /// 404 when that is not the caller's; 503.
    pub(crate) async fn go_on(&mut self, node: &Node, trace: &Trace) -> Result<(), Refusal> {
        let Some(id) = self.ask.previous() else { return Ok(()) };
        let former = Former::find(node, &self.caller, id).await?.ok_or_else(no_previous)?;
        let previous_upstream = Some(former.upstream_id.clone());
        self.ask.name_answer(AnswerNames { answer: answer_of(trace), previous_upstream });
        self.former = Some(Box::new(former));
        Ok(())
    }
}

/// What the answer of a request is called, if it is kept.
fn answer_of(trace: &Trace) -> ResponseId {
    ResponseId::from_u128(trace.request_id.to_u128())
}

/// A refusal, and the request if its body is still unread.
pub(crate) struct Unparsed {
    pub(crate) refusal: Refusal,
    pub(crate) unread: Option<Box<crate::received::Received>>,
}

impl Unparsed {
    const fn read(refusal: Refusal) -> Self {
        Self { refusal, unread: None }
    }
}

/// Copies of the lines that may be passed on. The head they came in goes with this stage, for it lies in the connection's
/// read buffer.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| claviger_wire::headers::is_forwardable(name)) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            kept.append(name.clone(), value);
        }
    }
    kept
}

/// Off the threads of the runtime: a file is walked to its end.
async fn parsed_form(
    operation: Operation,
    content_type: Option<String>,
    body: Bytes,
) -> Result<Box<dyn Ask>, PublicError> {
    let parse = move || inference::parse_form(operation, content_type.as_deref(), body);
    #[expect(clippy::disallowed_methods, reason = "as many as the room of all bodies holds, and awaited here")]
    let parsed = tokio::task::spawn_blocking(parse).await;
    parsed.unwrap_or_else(|_| Err(Code::InternalError.into()))
}

/// The body of a task: what it means follows from what its model serves.
async fn parsed_task(
    node: &Node,
    caller: &Caller,
    content_type: Option<String>,
    body: Bytes,
) -> Result<(Operation, Box<dyn Ask>, OwnFields), Refusal> {
    let TaskAsk { operation, ask, own } = match content_type {
        Some(content_type) => {
            let parse = move || task::parse_form(Some(&content_type), body);
            #[expect(clippy::disallowed_methods, reason = "as many as the room of all bodies holds, and awaited here")]
            let parsed = tokio::task::spawn_blocking(parse).await;
            parsed.unwrap_or_else(|_| Err(Code::InternalError.into()))?
        }
        None => task::parse(body, |id| {
            let model = local::find_for(node, caller, id).filter(|model| local::is_here(caller, model));
            model.map(|model| model.endpoints.to_vec()).unwrap_or_default()
        })?,
    };
    if own.callback_url.is_some() {
        let message =
            "This server tells nobody of the ends of tasks; ask at `urls.get`, or wait with `Prefer: wait=60`.";
        return Err(PublicError::with_message(Code::UnsupportedParameter, message).about("callback_url").into());
    }
    Ok((operation, ask, own))
}

/// Whether a body is a form: by its row, or by what it says of itself where the row takes both.
fn is_form(operation: Operation, headers: &HeaderMap) -> bool {
    let says =
        || content_type(headers).is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("multipart/"));
    operation.takes_form() || (operation.takes_either() && says())
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn check_head(headers: &HeaderMap, length: BodyLength, row: &Row) -> Result<(), Refusal> {
    let bytes_max = row.body_bytes_max;
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, second) = (types.next(), types.next());
    let first = first.and_then(|value| value.to_str().ok());
    if second.is_some() {
        return Err(Code::UnsupportedMediaType.into());
    }
    if is_form(row.operation, headers) {
        multipart::boundary(first)?;
    } else if !content_type::is_json(first) {
        return Err(Code::UnsupportedMediaType.into());
    }
    let is_encoded = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"));
    if is_encoded {
        return Err(Code::UnsupportedContentEncoding.into());
    }
    match length {
        BodyLength::Announced(bytes) if bytes > bytes_max => {
            let message = format!("The body has {bytes} bytes; this endpoint takes at most {bytes_max}.");
            Err(PublicError::with_message(Code::RequestTooLarge, message).into())
        }
        _ => Ok(()),
    }
}
