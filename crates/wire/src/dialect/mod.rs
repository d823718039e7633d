//! One file per upstream dialect (W51): what it is asked differently, what it tells differently. The client is not
//! known here.
//!
//! A dialect is a row of [`Habits`]; the readers of `openai/` act on the row and never on the dialect's name, so a
//! new dialect is a new file.

mod anthropic;
mod azure_openai;
mod cohere;
mod compatible;
mod error;
mod gemini;
mod jina;
mod llamacpp;
mod ollama;
mod openai;
mod sglang;
mod simulator;
mod tei;
mod tgi;
mod vllm;

use claviger_domain::catalog::Dialect;
use claviger_domain::endpoint::EndpointName;
use claviger_domain::error::{Code, PublicError};

pub(crate) use error::read_message;
pub use error::{said, upstream_error};

/// In what a dialect differs.
#[derive(Debug)]
pub(crate) struct Habits {
    /// The field into which a token limit is written that the caller did not send (W5).
    pub(crate) limit_field: &'static str,
    /// Whether streams are asked for running usage, an exact bill at any cut (W11).
    pub(crate) has_running_usage: bool,
    /// Whether fields that say where or how the engine runs a request are refused (W49).
    pub(crate) refuses_engine_fields: bool,
    /// Whether media must come as `data:` URLs: the server would fetch others from inside the operator's network.
    pub(crate) is_media_data_only: bool,
    /// Whether a prompt count of 0 means that it was not counted: the prompt came from a cache.
    pub(crate) is_zero_prompt_unknown: bool,
    /// Whether embeddings are made of token ids too, not of text only (W15).
    pub(crate) takes_token_ids: bool,
    /// Whether it counts the tokens of a message without answering it.
    pub(crate) counts_tokens: bool,
    /// Whether it counts the tokens of a response without making it, and compacts conversations.
    pub(crate) counts_and_compacts: bool,
    /// How documents are put to it that are to be ranked (W17).
    pub(crate) rerank: RerankForm,
    /// Where.
    pub(crate) rerank_path: &'static str,
    /// The endpoints it serves (W51).
    pub(crate) serves: &'static [EndpointName],
}

/// How a request to rank documents is worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RerankForm {
    /// As it came.
    Usual,
    /// Without a model, for the server has one; and all are ranked, for tokens are told result by result.
    NoModel,
    /// Documents are never returned, so nobody asks for them.
    Cohere,
    /// The list is called `texts`, all are ranked, and there is one model.
    Texts,
}

/// Every endpoint that a server of OpenAI's kind may have; what one of them really has, its operator says model by model.
const EVERYTHING: &[EndpointName] = &[
    EndpointName::ChatCompletions,
    EndpointName::Completions,
    EndpointName::Responses,
    EndpointName::Messages,
    EndpointName::Embeddings,
    EndpointName::Rerank,
    EndpointName::Images,
    EndpointName::AudioSpeech,
    EndpointName::AudioTranscriptions,
    EndpointName::AudioTranslations,
    EndpointName::Video,
];

/// What most self-hosted servers have in common.
const SELF_HOSTED: Habits = Habits {
    limit_field: "max_tokens",
    has_running_usage: false,
    refuses_engine_fields: true,
    is_media_data_only: true,
    is_zero_prompt_unknown: false,
    takes_token_ids: true,
    counts_tokens: true,
    counts_and_compacts: false,
    rerank: RerankForm::Usual,
    rerank_path: "/v1/rerank",
    serves: &[
        EndpointName::ChatCompletions,
        EndpointName::Completions,
        EndpointName::Responses,
        EndpointName::Messages,
        EndpointName::Embeddings,
        EndpointName::Rerank,
    ],
};

/// Whether a dialect has an endpoint: what is asked in one is never translated into another.
///
/// # Errors
/// `unsupported_endpoint`, naming the dialects that would.
pub(crate) fn check_serves(dialect: Dialect, endpoint: EndpointName) -> Result<(), PublicError> {
    if habits(dialect).serves.contains(&endpoint) {
        return Ok(());
    }
    let serve = Dialect::ALL.iter().filter(|other| habits(**other).serves.contains(&endpoint));
    let names: Vec<&str> = serve.map(|other| other.name()).collect();
    let message = format!(
        "No provider of this model serves the endpoint `{}`; providers of these kinds do: {}.",
        endpoint.name(),
        names.join(", ")
    );
    Err(PublicError::with_message(Code::UnsupportedEndpoint, message).about("model"))
}

/// The habits of a dialect.
pub(crate) const fn habits(dialect: Dialect) -> &'static Habits {
    match dialect {
        Dialect::OpenAi => &openai::HABITS,
        Dialect::Anthropic => &anthropic::HABITS,
        Dialect::Vllm => &vllm::HABITS,
        Dialect::Sglang => &sglang::HABITS,
        Dialect::LlamaCpp => &llamacpp::HABITS,
        Dialect::Ollama => &ollama::HABITS,
        Dialect::Tei => &tei::HABITS,
        Dialect::Tgi => &tgi::HABITS,
        Dialect::AzureOpenAi => &azure_openai::HABITS,
        Dialect::Gemini => &gemini::HABITS,
        Dialect::Cohere => &cohere::HABITS,
        Dialect::Jina => &jina::HABITS,
        Dialect::Compatible => &compatible::HABITS,
        Dialect::Simulator => &simulator::HABITS,
    }
}
