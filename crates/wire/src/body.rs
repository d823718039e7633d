//! What every JSON body of an inference request has in common: the model, the stream flag, what W49 refuses wherever it
//! stands, and the readers of plain values. What an endpoint reads besides is its own.

use crate::dialect::habits;
use crate::scan::{Kind, Value, plain_integer, quote_into};
use crate::splice::Splice;
use bytes::Bytes;
use claviger_domain::catalog::Dialect;
use claviger_domain::error::{Code, PublicError};
use claviger_domain::limits;

/// An edited body of up to this many bytes is copied into one piece: that takes less time than sending three does.
const COPIED_BYTES: usize = 4096;

/// A value that every body may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shared {
    Body,
    Model,
    Stream,
    /// Says where the request goes: refused for every provider (W49).
    Forbidden(&'static str),
    /// Says where or how the engine runs the request: refused for self-hosted dialects (W49).
    Engine(&'static str),
}

/// The names of [`Shared::Forbidden`], for forms.
pub(crate) const FORBIDDEN: &[&str] = &["api_base", "base_url", "api_key", "extra_headers", "custom_llm_provider"];

/// The names of [`Shared::Engine`], for forms.
pub(crate) const ENGINE: &[&str] = &[
    "priority",
    "kv_transfer_params",
    "bootstrap_host",
    "bootstrap_port",
    "bootstrap_room",
    "bootstrap_pair_key",
    "routed_dp_rank",
    "data_parallel_rank",
    "disagg_prefill_dp_rank",
    "lora_path",
    "custom_logit_processor",
    "session_params",
    "rid",
    "request_id",
];

/// The members of a body: the shared ones wrapped in the reader's own tag, and those of the endpoint.
macro_rules! body_fields {
    ($tag:path; $($own:expr),* $(,)?) => {{
        use $crate::body::Shared;
        use $crate::scan::Field;
        &[
            Field::leaf("model", $tag(Shared::Model)),
            Field::leaf("stream", $tag(Shared::Stream)),
            Field { name: "sim", place: $crate::scan::Place::UNREAD },
            $($own,)*
            Field::leaf("api_base", $tag(Shared::Forbidden("api_base"))),
            Field::leaf("base_url", $tag(Shared::Forbidden("base_url"))),
            Field::leaf("api_key", $tag(Shared::Forbidden("api_key"))),
            Field::leaf("extra_headers", $tag(Shared::Forbidden("extra_headers"))),
            Field::leaf("custom_llm_provider", $tag(Shared::Forbidden("custom_llm_provider"))),
            Field::leaf("priority", $tag(Shared::Engine("priority"))),
            Field::leaf("kv_transfer_params", $tag(Shared::Engine("kv_transfer_params"))),
            Field::leaf("bootstrap_host", $tag(Shared::Engine("bootstrap_host"))),
            Field::leaf("bootstrap_port", $tag(Shared::Engine("bootstrap_port"))),
            Field::leaf("bootstrap_room", $tag(Shared::Engine("bootstrap_room"))),
            Field::leaf("bootstrap_pair_key", $tag(Shared::Engine("bootstrap_pair_key"))),
            Field::leaf("routed_dp_rank", $tag(Shared::Engine("routed_dp_rank"))),
            Field::leaf("data_parallel_rank", $tag(Shared::Engine("data_parallel_rank"))),
            Field::leaf("disagg_prefill_dp_rank", $tag(Shared::Engine("disagg_prefill_dp_rank"))),
            Field::leaf("lora_path", $tag(Shared::Engine("lora_path"))),
            Field::leaf("custom_logit_processor", $tag(Shared::Engine("custom_logit_processor"))),
            Field::leaf("session_params", $tag(Shared::Engine("session_params"))),
            Field::leaf("rid", $tag(Shared::Engine("rid"))),
            Field::leaf("request_id", $tag(Shared::Engine("request_id"))),
        ]
    }};
}
pub(crate) use body_fields;

/// The shared values of one body, as its scan found them.
#[derive(Debug, Default)]
pub(crate) struct SharedFields {
    body: Option<Value>,
    model: Option<Value>,
    stream: Option<Value>,
    forbidden: Option<&'static str>,
    engine: Option<&'static str>,
}

/// The model as the caller named it, and as it stands in every reply (W8).
#[derive(Clone, Debug)]
pub(crate) struct ModelName {
    pub(crate) id: String,
    pub(crate) json: Bytes,
}

impl SharedFields {
    pub(crate) fn take(&mut self, tag: Shared, value: Value) {
        match tag {
            Shared::Body => self.body = Some(value),
            Shared::Model => self.model = Some(value),
            Shared::Stream => self.stream = Some(value),
            Shared::Forbidden(name) => self.forbidden = self.forbidden.or(Some(name)),
            Shared::Engine(name) => self.engine = self.engine.or(Some(name)),
        }
    }

    /// What W49 refuses for every provider.
    pub(crate) fn check(&self) -> Result<(), PublicError> {
        match self.forbidden {
            Some(name) => Err(PublicError::new(Code::ForbiddenParameter).about(name)),
            None => Ok(()),
        }
    }

    /// What W49 refuses for self-hosted servers.
    pub(crate) fn check_dialect(&self, dialect: Dialect) -> Result<(), PublicError> {
        match self.engine.filter(|_| habits(dialect).refuses_engine_fields) {
            Some(name) => Err(PublicError::new(Code::ForbiddenParameter).about(name)),
            None => Ok(()),
        }
    }

    pub(crate) fn is_stream(&self) -> Result<bool, PublicError> {
        flag(self.stream, "stream")
    }

    /// The model: 1 to 256 bytes without control characters.
    pub(crate) fn model(&self, body: &Bytes) -> Result<ModelName, PublicError> {
        let Some(value) = self.model else { return Err(missing("model")) };
        let id = value
            .text(body)
            .map(|text| text.to_text())
            .filter(|model| !model.is_empty() && model.len() <= limits::MODEL_ID_BYTES)
            .filter(|model| !has_control(model))
            .ok_or_else(|| PublicError::new(Code::InvalidModel).about("model"))?;
        if value.kind == (Kind::Text { is_escaped: false }) {
            return Ok(ModelName { id, json: body.slice(value.span()) });
        }
        let mut json = Vec::with_capacity(id.len() + 2);
        quote_into(&mut json, &id);
        Ok(ModelName { id, json: json.into() })
    }

    /// Where the model's name stands.
    pub(crate) const fn model_value(&self) -> Option<Value> {
        self.model
    }

    /// Puts the upstream's name of the model in the place of the caller's.
    pub(crate) fn rename_model(&self, body: &Bytes, upstream_model: &str, splice: &mut Splice) {
        if let Some(model) = self.model
            && !model.text(body).is_some_and(|text| text.is_raw(upstream_model))
        {
            let mut name = Vec::with_capacity(upstream_model.len() + 2);
            quote_into(&mut name, upstream_model);
            splice.replace(model.span(), name);
        }
    }

    /// Behind the opening brace. The body has a member, `model`, so what is inserted there ends in a comma.
    pub(crate) fn inside(&self) -> usize {
        self.body.map_or(0, |body| body.start() + 1)
    }
}

/// The edited body in pieces; nothing is rebuilt, and only short bodies are copied.
pub(crate) fn pieces(body: &Bytes, splice: Splice) -> Vec<Bytes> {
    if body.len() <= COPIED_BYTES { vec![splice.apply_whole(body)] } else { splice.apply(body) }
}

fn has_control(text: &str) -> bool {
    match text.is_ascii() {
        true => text.bytes().any(|byte| byte.is_ascii_control()),
        false => text.contains(char::is_control),
    }
}

/// A boolean; absent and `null` are false, as SDKs send it.
pub(crate) fn flag(value: Option<Value>, param: &str) -> Result<bool, PublicError> {
    match value.map(|value| value.kind) {
        None | Some(Kind::Null) => Ok(false),
        Some(Kind::Bool(flag)) => Ok(flag),
        Some(_) => Err(invalid(param, "true or false")),
    }
}

/// A plain integer from 1 to `max`; absent and `null` are none.
pub(crate) fn number(value: Option<Value>, body: &[u8], param: &str, max: u64) -> Result<Option<u64>, PublicError> {
    let Some(value) = value.filter(|value| value.kind != Kind::Null) else { return Ok(None) };
    plain_integer(value.raw(body))
        .filter(|number| (1..=max).contains(number))
        .map(Some)
        .ok_or_else(|| invalid(param, &format!("a whole number from 1 to {max}, without quotes or exponent")))
}

/// A parameter that must be there.
pub(crate) fn missing(param: &str) -> PublicError {
    let message = format!("Missing required parameter: '{param}'.");
    PublicError::with_message(Code::MissingRequiredParameter, message).about(param)
}

/// A parameter that is not what it must be.
pub(crate) fn invalid(param: &str, expected: &str) -> PublicError {
    PublicError::with_message(Code::InvalidValue, format!("Invalid value for '{param}': expected {expected}."))
        .about(param)
}
