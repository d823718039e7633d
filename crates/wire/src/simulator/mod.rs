//! The simulator: deterministic answers, as a script of what to send and when (`wire.md` §8).
//!
//! One request in, one [`Script`] out; the output depends on the request alone. The provider in process plays the script
//! into the gateway, the standalone server plays it onto sockets. Neither delays nor sockets, nor the clock that gives
//! `created`, are known here. Any change of output bytes raises [`FINGERPRINT`].

mod answer;
mod ask;
mod chunks;
mod damage;
mod embed;
mod events;
mod fault;
mod form;
mod image;
mod knobs;
mod messages;
mod mode;
mod models;
mod plan;
mod rerank;
mod responses;
mod schema;
mod script;
mod shape;
mod speech;
mod tokens;
mod transcribe;
mod usage;
mod video;
mod whole;

#[cfg(test)]
mod tests;

pub use mode::{EchoPlace, Mode};
pub use models::{MODELS, serves};
pub use responses::KeptResponse;
pub use script::{Ending, Script, Step, Steps};
pub use shape::Shape;

use bytes::Bytes;
use fault::Fault;
use http::HeaderMap;

/// `system_fingerprint` of every answer: the version of the simulator's bytes.
pub const FINGERPRINT: &str = "sim-1";

/// Which endpoint was called; the caller has matched the path and the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimEndpoint<'a> {
    /// `POST chat/completions`.
    Chat,
    /// `POST completions`.
    Completions,
    /// `POST responses`.
    Responses,
    /// `POST responses/input_tokens`.
    CountResponseTokens,
    /// `POST responses/compact`.
    CompactResponse,
    /// `POST messages`.
    Messages,
    /// `POST messages/count_tokens`.
    CountTokens,
    /// `POST embeddings`.
    Embeddings,
    /// `POST rerank`.
    Rerank,
    /// `POST images/generations`.
    Images,
    /// `POST images/edits`.
    ImageEdits,
    /// `POST audio/speech`.
    Speech,
    /// `POST audio/transcriptions`.
    Transcriptions,
    /// `POST audio/translations`.
    Translations,
    /// `POST videos`.
    Videos,
    /// `GET videos/{id}`.
    Video(&'a str),
    /// `GET videos/{id}/content`.
    VideoContent(&'a str),
    /// `DELETE videos/{id}`.
    DeleteVideo(&'a str),
    /// `GET models`.
    Models,
    /// `GET models/{id}`, the id percent-decoded.
    Model(&'a str),
}

impl SimEndpoint<'static> {
    /// The endpoint that a body is posted to, by its path without the base.
    pub fn posted(path: &str) -> Option<Self> {
        match path {
            "chat/completions" => Some(Self::Chat),
            "completions" => Some(Self::Completions),
            "responses" => Some(Self::Responses),
            "responses/input_tokens" => Some(Self::CountResponseTokens),
            "responses/compact" => Some(Self::CompactResponse),
            "messages" => Some(Self::Messages),
            "messages/count_tokens" => Some(Self::CountTokens),
            "embeddings" => Some(Self::Embeddings),
            "rerank" => Some(Self::Rerank),
            "images/generations" => Some(Self::Images),
            "images/edits" => Some(Self::ImageEdits),
            "videos" => Some(Self::Videos),
            "audio/speech" => Some(Self::Speech),
            "audio/transcriptions" => Some(Self::Transcriptions),
            "audio/translations" => Some(Self::Translations),
            _ => None,
        }
    }
}

impl<'a> SimEndpoint<'a> {
    /// The endpoint of a video that a path names, without the base.
    pub fn of_video(method: &str, path: &'a str) -> Option<Self> {
        let tail = path.strip_prefix("videos/")?;
        match (method, tail.strip_suffix("/content")) {
            ("GET", Some(id)) => Some(Self::VideoContent(id)),
            ("GET", None) => Some(Self::Video(tail)),
            ("DELETE", None) => Some(Self::DeleteVideo(tail)),
            _ => None,
        }
    }
}

/// One request to the simulator.
#[derive(Clone, Copy, Debug)]
pub struct SimCall<'a> {
    /// Which endpoint.
    pub endpoint: SimEndpoint<'a>,
    /// The whole body; empty for `GET`.
    pub body: &'a [u8],
    /// The request id; a leading `req_` is left out of the ids made from it.
    pub request_id: &'a str,
    /// Whose bytes to imitate. In process: [`Shape::OpenAi`].
    pub shape: Shape,
    /// `created` of the answer, in seconds since 1970: when the request started.
    pub now_seconds: i64,
    /// What only the standalone server knows; `None` in process, where modes are refused.
    pub standalone: Option<Standalone<'a>>,
}

impl SimCall<'_> {
    /// How to answer otherwise than asked: what the standalone simulator was told goes before what the body says.
    fn mode<'m>(&'m self, knobs: &'m knobs::Knobs) -> Option<&'m Mode> {
        self.standalone.and_then(|standalone| standalone.mode).or(knobs.mode.as_ref())
    }
}

/// What the standalone server adds to a call.
#[derive(Clone, Copy, Debug)]
pub struct Standalone<'a> {
    /// The mode of the script rule that matched; it wins over the body's `sim.mode`.
    pub mode: Option<&'a Mode>,
    /// The received header fields, for `echo-headers`.
    pub headers: &'a HeaderMap,
    /// The context length in tokens that the shape pretends to have; `None` = endless.
    pub context_tokens: Option<u64>,
}

/// What to answer to a call. Never fails: what is wrong with the request becomes an error answer of the shape.
pub fn simulate(call: &SimCall<'_>) -> Script {
    let call = &SimCall { shape: call.dialect(), ..*call };
    match answer_to(call) {
        Ok(script) => script,
        Err(fault) => fault.script(call.shape),
    }
}

impl SimCall<'_> {
    /// Whose dialect the endpoint speaks, whichever server has it.
    const fn dialect(&self) -> Shape {
        match self.endpoint {
            SimEndpoint::Messages | SimEndpoint::CountTokens => Shape::Anthropic,
            _ => self.shape,
        }
    }
}

/// The response that a call makes, as a server keeps it; none when it is not to be kept, or not made.
pub fn kept_response(call: &SimCall<'_>) -> Option<KeptResponse> {
    responses::kept(call).ok().flatten()
}

/// An answer in JSON that the server words itself.
pub fn told(status: u16, body: Bytes) -> Script {
    Script::at_once(status, "application/json", Steps::whole(body))
}

/// The shape's own refusal of a credential that is absent or not in the key file.
pub fn refuse_credential(shape: Shape, is_missing: bool) -> Script {
    Fault::credential(shape, is_missing).script(shape)
}

/// The shape's answer for a path it does not serve, or a method the path does not have.
pub fn refuse_path(shape: Shape, method: &str, path: &str) -> Script {
    Fault::unknown_path(shape, method, path).script(shape)
}

fn answer_to(call: &SimCall<'_>) -> Result<Script, Fault> {
    match call.endpoint {
        SimEndpoint::Chat | SimEndpoint::Completions | SimEndpoint::Responses | SimEndpoint::Messages => chat(call),
        SimEndpoint::CountTokens => messages::count(call),
        SimEndpoint::CountResponseTokens | SimEndpoint::CompactResponse => responses::about(call),
        SimEndpoint::Embeddings => embed::script(call),
        SimEndpoint::Rerank => rerank::script(call),
        SimEndpoint::Images | SimEndpoint::ImageEdits => image::script(call),
        SimEndpoint::Speech => speech::script(call),
        SimEndpoint::Transcriptions | SimEndpoint::Translations => transcribe::script(call),
        SimEndpoint::Videos => video::create(call),
        SimEndpoint::Video(id) => by_rule(call, |call| video::get(call, id)),
        SimEndpoint::VideoContent(id) => by_rule(call, |_| video::content(id)),
        SimEndpoint::DeleteVideo(id) => by_rule(call, |call| video::delete(call, id)),
        SimEndpoint::Models => by_rule(call, |_| Ok(models::list(call.shape, call.now_seconds))),
        SimEndpoint::Model(id) => by_rule(call, |_| models::item(call.shape, id, call.now_seconds)),
    }
}

/// Endpoints without a body: only a script rule can bend them.
fn by_rule(call: &SimCall<'_>, answer: impl Fn(&SimCall<'_>) -> Result<Script, Fault>) -> Result<Script, Fault> {
    let Some(mode) = call.standalone.and_then(|standalone| standalone.mode) else { return answer(call) };
    match damage::instead(mode, call)? {
        Some(script) => Ok(script),
        None => Ok(damage::bend(answer(call)?, mode)),
    }
}

fn chat(call: &SimCall<'_>) -> Result<Script, Fault> {
    // A rule that answers instead of the model does not care what the body says, not even whether it is JSON.
    if let Some(mode) = call.standalone.and_then(|standalone| standalone.mode)
        && let Some(script) = damage::instead(mode, call)?
    {
        return Ok(script);
    }
    let mut ask = ask::Ask::read(call.body)?;
    let prompts = if call.endpoint == SimEndpoint::Completions { ask.take_prompts()? } else { 1 };
    match call.endpoint {
        SimEndpoint::Messages => ask.take_system()?,
        SimEndpoint::Responses => ask.take_input()?,
        _ => {}
    }
    let knobs = knobs::Knobs::read(ask.sim, call.standalone.is_some())?;
    let mode = call.mode(&knobs);
    if let Some(mode) = knobs.mode.as_ref()
        && let Some(script) = damage::instead(mode, call)?
    {
        return Ok(script);
    }
    let plan = plan::Plan::make(call, (&ask, prompts), &knobs, mode)?;
    let script = match call.endpoint {
        SimEndpoint::Messages => messages::script(plan),
        SimEndpoint::Responses => responses::script(plan),
        _ if plan.stream.is_some() => chunks::script(plan),
        _ => whole::script(&plan),
    };
    Ok(match mode {
        Some(mode) => damage::bend(script, mode),
        None => script,
    })
}
