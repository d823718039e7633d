//! The rows of the data plane: inference, and what a key may read about itself.

use super::row::{Authentication, ErrorShape, Method, Operation, Plane, Row};
use crate::limits;

const fn inference(operation: Operation, method: Method, path: &'static str, body_bytes_max: u64) -> Row {
    Row {
        operation,
        method,
        path,
        plane: Plane::Inference,
        authentication: Authentication::InferenceKey,
        permission: None,
        body_bytes_max,
        error_shape: ErrorShape::OpenAi,
    }
}

/// A row whose callers speak Anthropic's dialect: errors have its shape, whatever refused.
const fn anthropic(operation: Operation, path: &'static str) -> Row {
    Row { error_shape: ErrorShape::Anthropic, ..inference(operation, Method::Post, path, limits::JSON_BODY_BYTES) }
}

const fn own(operation: Operation, path: &'static str) -> Row {
    Row { authentication: Authentication::AnyKey, ..inference(operation, Method::Get, path, 0) }
}

/// Paths without their base; `matching.rs` serves them under every base of W1.
pub(super) const ROWS: &[Row] = &[
    inference(Operation::ChatCompletions, Method::Post, "chat/completions", limits::JSON_BODY_BYTES),
    inference(Operation::Completions, Method::Post, "completions", limits::JSON_BODY_BYTES),
    inference(Operation::Responses, Method::Post, "responses", limits::JSON_BODY_BYTES),
    inference(Operation::CountResponseTokens, Method::Post, "responses/input_tokens", limits::JSON_BODY_BYTES),
    inference(Operation::CompactResponse, Method::Post, "responses/compact", limits::JSON_BODY_BYTES),
    inference(Operation::GetResponse, Method::Get, "responses/{id}", 0),
    inference(Operation::DeleteResponse, Method::Delete, "responses/{id}", 0),
    inference(Operation::CancelResponse, Method::Post, "responses/{id}/cancel", limits::MANAGEMENT_BODY_BYTES),
    inference(Operation::ListInputItems, Method::Get, "responses/{id}/input_items", 0),
    anthropic(Operation::Messages, "messages"),
    anthropic(Operation::CountMessageTokens, "messages/count_tokens"),
    inference(Operation::Embeddings, Method::Post, "embeddings", limits::JSON_BODY_BYTES),
    inference(Operation::Rerank, Method::Post, "rerank", limits::JSON_BODY_BYTES),
    inference(Operation::GenerateImages, Method::Post, "images/generations", limits::JSON_BODY_BYTES),
    inference(Operation::EditImages, Method::Post, "images/edits", limits::IMAGE_BODY_BYTES),
    inference(Operation::Speak, Method::Post, "audio/speech", limits::JSON_BODY_BYTES),
    inference(Operation::Transcribe, Method::Post, "audio/transcriptions", limits::AUDIO_BODY_BYTES),
    inference(Operation::Translate, Method::Post, "audio/translations", limits::AUDIO_BODY_BYTES),
    inference(Operation::CreateVideo, Method::Post, "videos", limits::IMAGE_BODY_BYTES),
    inference(Operation::CreateGeneration, Method::Post, "video/generations", limits::JSON_BODY_BYTES),
    inference(Operation::ListVideos, Method::Get, "videos", 0),
    inference(Operation::GetVideo, Method::Get, "videos/{id}", 0),
    inference(Operation::GetGeneration, Method::Get, "video/generations/{id}", 0),
    inference(Operation::GetVideoContent, Method::Get, "videos/{id}/content", 0),
    Row {
        authentication: Authentication::Possession,
        ..inference(Operation::GetSignedContent, Method::Get, "videos/{id}/content/{link}", 0)
    },
    inference(Operation::CancelGeneration, Method::Post, "video/generations/{id}/cancel", 0),
    inference(Operation::DeleteVideo, Method::Delete, "videos/{id}", 0),
    inference(Operation::CreateTask, Method::Post, "tasks", limits::IMAGE_BODY_BYTES),
    inference(Operation::ListTasks, Method::Get, "tasks", 0),
    inference(Operation::GetTask, Method::Get, "tasks/{id}", 0),
    inference(Operation::GetTaskResult, Method::Get, "tasks/{id}/result", 0),
    Row {
        authentication: Authentication::Possession,
        ..inference(Operation::GetSignedResult, Method::Get, "tasks/{id}/result/{link}", 0)
    },
    inference(Operation::CancelTask, Method::Post, "tasks/{id}/cancel", limits::MANAGEMENT_BODY_BYTES),
    inference(Operation::ListModels, Method::Get, "models", 0),
    inference(Operation::GetModel, Method::Get, "models/{id}", 0),
    own(Operation::GetCredits, "credits"),
];

/// Whole paths beside the aliases: clients put `/v1/` behind a base that has it already (W1).
pub(super) const EXTRA_PATHS: &[(&str, Operation)] = &[
    ("/v1/v1/messages", Operation::Messages),
    ("/v1/v1/messages/count_tokens", Operation::CountMessageTokens),
    ("/api/v1/task", Operation::CreateTask),
    ("/api/v1/task/{id}", Operation::GetTask),
];
