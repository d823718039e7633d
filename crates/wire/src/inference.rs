//! What the pipeline needs of every inference endpoint (`wire.md` §2): one trait for what is asked, one for an answer
//! that comes as a stream of events.
//!
//! An endpoint is a module that implements [`Ask`]. What it lacks does not compile, its upper bound above all; the
//! pipeline knows no endpoint by name. Prices, holds and sockets are not known here.

use crate::anthropic::{CountAsk, MessagesAsk};
use crate::media::edits::EditsAsk;
use crate::media::images::ImagesAsk;
use crate::media::speech::SpeechAsk;
use crate::media::transcribe::TranscribeAsk;
use crate::openai::chat::ChatAsk;
use crate::openai::completions::CompletionsAsk;
use crate::openai::embeddings::EmbeddingsAsk;
use crate::openai::responses::{AnswerNames, ConversationAsk, Purpose, ResponsesAsk};
use crate::rerank::RerankAsk;
use crate::sse::Frame;
use crate::video::VideoAsk;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::{EndpointName, Operation};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::meter::{Meter, Meters, Usage, UsageSource};
use claviger_domain::price::{Bound, Conditions};
use claviger_domain::settlement::Estimate;
use claviger_domain::task::VideoTerms;
use std::fmt;

/// What a model can take and make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelLimits {
    /// Input and output together, in tokens.
    pub context_tokens: Option<u64>,
    /// Output of one choice, in tokens.
    pub output_tokens_max: Option<u64>,
}

/// What one target wants changed.
#[derive(Clone, Copy, Debug)]
pub struct Edits<'a> {
    /// The model's name there.
    pub upstream_model: &'a str,
    /// The most output tokens of a choice that the wallet pays; lowers the caller's limit or becomes one.
    pub output_limit: Option<u64>,
    /// How the target speaks.
    pub dialect: Dialect,
}

/// A request as a target is sent it.
#[derive(Debug)]
pub struct UpstreamRequest {
    /// Behind the provider's base URL.
    pub path: &'static str,
    /// The body in pieces; their lengths add up to its Content-Length.
    pub body: Vec<Bytes>,
}

/// One inference request, read once: what it asks for, and how it is put to a target. Which model that is, and what it
/// costs, is not known here.
///
/// An endpoint that cannot say the most it may use does not compile, and with that word it does:
///
/// ```compile_fail,E0046
/// # use bytes::Bytes;
/// # use claviger_domain::{catalog::Dialect, error::PublicError, price::Bound, settlement::Estimate};
/// # use claviger_wire::inference::{Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
/// # #[derive(Debug)]
/// # struct Endpoint;
/// impl Ask for Endpoint {
///     // … everything else.
/// #     fn model(&self) -> &str { "" }
/// #     fn body_bytes(&self) -> usize { 0 }
/// #     fn estimate(&self) -> Estimate { Estimate::of_text(0) }
/// #     fn check_dialect(&self, _: Dialect) -> Result<(), PublicError> { Ok(()) }
/// #     fn upstream(&self, _: &Edits<'_>) -> UpstreamRequest { unimplemented!() }
/// #     fn read_reply(&self, _: Bytes, _: Dialect) -> Result<Reply, UpstreamFault> { unimplemented!() }
/// }
/// ```
///
/// ```
/// # use bytes::Bytes;
/// # use claviger_domain::{catalog::Dialect, error::PublicError, price::Bound, settlement::Estimate};
/// # use claviger_wire::inference::{Ask, Edits, ModelLimits, Reply, UpstreamFault, UpstreamRequest};
/// # #[derive(Debug)]
/// # struct Endpoint;
/// impl Ask for Endpoint {
///     fn bound(&self, _: ModelLimits) -> Result<Bound, PublicError> { unimplemented!() }
///     // … everything else.
/// #     fn model(&self) -> &str { "" }
/// #     fn body_bytes(&self) -> usize { 0 }
/// #     fn estimate(&self) -> Estimate { Estimate::of_text(0) }
/// #     fn check_dialect(&self, _: Dialect) -> Result<(), PublicError> { Ok(()) }
/// #     fn upstream(&self, _: &Edits<'_>) -> UpstreamRequest { unimplemented!() }
/// #     fn read_reply(&self, _: Bytes, _: Dialect) -> Result<Reply, UpstreamFault> { unimplemented!() }
/// }
/// ```
pub trait Ask: fmt::Debug + Send + Sync {
    /// The model as the caller named it: 1 to 256 bytes without control characters.
    fn model(&self) -> &str;

    /// Whether the answer is asked for as a stream of events.
    fn is_stream(&self) -> bool {
        false
    }

    /// Answers asked for at once, 1 to [`claviger_domain::limits::CHOICES`].
    fn choices(&self) -> u64 {
        1
    }

    /// The most output tokens that an answer may have, if the caller says so.
    fn output_limit(&self) -> Option<u64> {
        None
    }

    /// What the caller says its requests with one prefix have in common, for routes with affinity (W52).
    fn cache_key(&self) -> Option<String> {
        None
    }

    /// The video that is asked for: its task outlives the call.
    fn video(&self) -> Option<&VideoTerms> {
        None
    }

    /// Whether it creates work upstream that outlives the call: a try whose outcome is unknown is not repeated (W53).
    fn is_job(&self) -> bool {
        false
    }

    /// What it asks for that a price may depend on besides quantities; what it leaves open is not there.
    fn conditions(&self) -> Conditions {
        Conditions::NONE
    }

    /// The answer that it goes on from, as its caller calls it (W13). Where that is kept, this is asked, and nowhere else.
    fn previous(&self) -> Option<&str> {
        None
    }

    /// Tells which ids stand for which; before anything is asked of a target.
    fn name_answer(&mut self, _names: AnswerNames) {}

    /// What an upstream calls this whole answer of its own, if it keeps it for its caller to come back to.
    fn upstream_id(&self, _body: &[u8]) -> Option<String> {
        None
    }

    /// Bytes of the request that are kept until it is over.
    fn body_bytes(&self) -> usize;

    /// Whether it costs nothing whatever its model's price: it counts, and makes nothing.
    fn is_free(&self) -> bool {
        false
    }

    /// The quantities that this request cannot exceed.
    ///
    /// # Errors
    /// `unbounded_input` when neither the request nor the model bounds a side; declaring the model's limits helps.
    fn bound(&self, limits: ModelLimits) -> Result<Bound, PublicError>;

    /// What is used if the upstream does not say.
    fn estimate(&self) -> Estimate;

    /// Whether a target of this dialect may be sent it.
    ///
    /// # Errors
    /// `unsupported_endpoint`, or what W49 refuses for a dialect, with its `param`. Another target may take the request.
    fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError>;

    /// Tools that were taken out because the upstream would run them without a price (W49), fit for a header.
    fn removed_tools(&self) -> &[String] {
        &[]
    }

    /// The request for one target.
    fn upstream(&self, edits: &Edits<'_>) -> UpstreamRequest;

    /// Reads an upstream's whole answer.
    ///
    /// # Errors
    /// [`UpstreamFault`]: it is none. Another target may answer.
    fn read_reply(&self, body: Bytes, dialect: Dialect) -> Result<Reply, UpstreamFault>;

    /// The same, with the input tokens that the head of the answer tells, for servers whose bodies do not.
    ///
    /// # Errors
    /// As [`Ask::read_reply`].
    fn read_counted(&self, body: Bytes, counted: Option<u64>, dialect: Dialect) -> Result<Reply, UpstreamFault> {
        let mut reply = self.read_reply(body, dialect)?;
        if let (None, Some(tokens)) = (reply.usage, counted) {
            let meters = Meters::NONE.with(Meter::InputToken, tokens);
            reply.usage = Some(Usage { meters, source: UsageSource::UpstreamHeader, is_anomalous: false });
        }
        Ok(reply)
    }

    /// What the body is called on the wire.
    fn request_type(&self) -> &str {
        "application/json"
    }

    /// What the answer is called on the wire when its server does not say.
    fn content_type(&self) -> &'static str {
        "application/json"
    }

    /// Whether the answer is sound or a file, that leaves byte by byte as it comes.
    fn is_binary(&self) -> bool {
        false
    }

    /// The start of the stream that answers this, if one is asked for.
    fn stream(&self, _dialect: Dialect) -> Option<Box<dyn AnswerStream>> {
        None
    }
}

/// Reads the body of an inference request. `query` is what stood behind its path: few endpoints know a word of it.
///
/// # Errors
/// The refusal of `reliability.md` §4-D, with its `param`.
pub fn parse(operation: Operation, query: Option<&str>, body: Bytes) -> Result<Box<dyn Ask>, PublicError> {
    match operation {
        Operation::ChatCompletions => Ok(Box::new(ChatAsk::parse(body)?)),
        Operation::Completions => Ok(Box::new(CompletionsAsk::parse(body)?)),
        Operation::Responses => Ok(Box::new(ResponsesAsk::parse(body)?)),
        Operation::CountResponseTokens => Ok(Box::new(ConversationAsk::parse(Purpose::Count, body)?)),
        Operation::CompactResponse => Ok(Box::new(ConversationAsk::parse(Purpose::Compact, body)?)),
        Operation::Messages => Ok(Box::new(MessagesAsk::parse(query, body)?)),
        Operation::CountMessageTokens => Ok(Box::new(CountAsk::parse(query, body)?)),
        Operation::Embeddings => Ok(Box::new(EmbeddingsAsk::parse(body)?)),
        Operation::GenerateImages => Ok(Box::new(ImagesAsk::parse(body)?)),
        Operation::Speak => Ok(Box::new(SpeechAsk::parse(body)?)),
        Operation::Rerank => Ok(Box::new(RerankAsk::parse(body)?)),
        Operation::CreateVideo | Operation::CreateGeneration => Ok(Box::new(VideoAsk::parse(body)?)),
        // The table of rows sends no other operation here.
        _ => Err(Code::InternalError.into()),
    }
}

/// Reads a form. Its files are walked, so it may take some ten milliseconds.
///
/// # Errors
/// As [`parse`], and what W7 refuses.
pub fn parse_form(operation: Operation, content_type: Option<&str>, body: Bytes) -> Result<Box<dyn Ask>, PublicError> {
    match operation.endpoint() {
        Some(endpoint @ (EndpointName::AudioTranscriptions | EndpointName::AudioTranslations)) => {
            Ok(Box::new(TranscribeAsk::parse(endpoint, content_type, body)?))
        }
        Some(EndpointName::Video) => Ok(Box::new(VideoAsk::parse_form(content_type, body)?)),
        Some(EndpointName::Images) => Ok(Box::new(EditsAsk::parse(content_type, body)?)),
        _ => Err(Code::InternalError.into()),
    }
}

/// A whole answer, ready for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The upstream's bytes with the caller's model id (W8) and what clients know; the very buffer that came when nothing
    /// differs.
    pub body: Bytes,
    /// What it used, if the upstream says so.
    pub usage: Option<Usage>,
    /// Whether there is an answer in it: text, a call, a vector, a picture.
    pub has_content: bool,
    /// UTF-8 bytes of text and calls.
    pub content_bytes: u64,
    /// Whether it is whole.
    pub is_finished: bool,
}

impl Reply {
    /// Output tokens by the estimator, for an answer without usage: a quarter of its bytes, rounded up.
    pub const fn estimated_output_tokens(&self) -> u64 {
        self.content_bytes.div_ceil(4)
    }
}

/// The course of one stream of events: counts, strips, replaces, and knows when it is whole.
///
/// The caller drives it event by event and forwards what it gives back. What belongs to the last piece, which leaves
/// only when the charge is durable, is never forwarded by the way: it is the ending.
pub trait AnswerStream: fmt::Debug + Send + Sync {
    /// Reads one event of the upstream.
    fn event(&mut self, frame: Frame) -> StreamStep;

    /// Whether the answer is whole; without it, a clean end of the stream is a truncation (W35).
    fn is_finished(&self) -> bool;

    /// What the upstream calls the answer, if it keeps it for its caller to come back to.
    fn upstream_id(&self) -> Option<&str> {
        None
    }

    /// The last piece of a stream that is whole.
    fn ending(&self, usage: &Usage) -> Bytes;

    /// The last piece of a stream that reached its hold (W35).
    fn length_ending(&self, usage: &Usage) -> Bytes;

    /// The last piece of a stream that failed (W35).
    fn error_ending(&self, error: &PublicError) -> Bytes;
}

/// What one event of the upstream means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamStep {
    /// The event for the caller: one `data:` line and a blank line.
    pub forward: Option<Bytes>,
    /// What it brought; none for role chunks, usage and comments.
    pub content: Option<Content>,
    /// The usage so far, and whether it is the final one. Cumulative: the last wins, never add.
    pub usage: Option<(Usage, bool)>,
    /// The answer is whole now.
    pub is_finished: bool,
    /// The upstream has said that this was all. Not forwarded: it belongs to the ending.
    pub is_done: bool,
    /// The upstream failed within the stream; nothing behind it counts.
    pub error: Option<UpstreamFault>,
}

/// Content of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// UTF-8 bytes of text and calls; 0 for media.
    pub bytes: u64,
    /// Choices that got some.
    pub chunks: u64,
}

/// What an upstream said instead of an answer; for the record, never for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamFault {
    /// Whether it named an error, or sent what is no answer.
    pub kind: FaultKind,
    /// Its words, cut to [`claviger_domain::limits::UPSTREAM_MESSAGE_BYTES`], or ours about what cannot be read.
    pub message: String,
}

/// How an upstream failed within a 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It sent an error object or ended a choice with an error.
    Reported,
    /// It sent what is not an answer of this endpoint.
    Unreadable,
}

impl UpstreamFault {
    pub(crate) fn unreadable(message: &str) -> Self {
        Self { kind: FaultKind::Unreadable, message: message.to_owned() }
    }

    pub(crate) fn reported(document: &[u8]) -> Self {
        let said = crate::dialect::read_message(document);
        let message = match crate::error_body::cut_message(&said.message) {
            "" => "A choice ended with an error.",
            message => message,
        };
        Self { kind: FaultKind::Reported, message: message.to_owned() }
    }
}
