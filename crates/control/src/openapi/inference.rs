//! The data plane: what this server itself reads and writes; the rest of these bodies is OpenAI's and passes through.

use super::shape::{Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const CHAT: Object = Object {
    name: "ChatCompletionRequest",
    fields: &[
        must("model", Shape::Text),
        must("messages", Shape::Many(&Shape::Any)),
        may("stream", Shape::Flag),
        may("max_completion_tokens", Shape::Whole),
        may("max_tokens", Shape::Whole),
        may("n", Shape::Whole),
    ],
    is_open: true,
};

const COMPLETION: Object = Object {
    name: "ChatCompletion",
    fields: &[
        must("id", Shape::Text),
        must("object", Shape::Text),
        must("model", Shape::Text),
        must("choices", Shape::Many(&Shape::Any)),
        may("usage", Shape::Any),
    ],
    is_open: true,
};

const TEXT: Object = Object {
    name: "CompletionRequest",
    fields: &[
        must("model", Shape::Text),
        must("prompt", Shape::Any),
        may("stream", Shape::Flag),
        may("max_tokens", Shape::Whole),
        may("n", Shape::Whole),
    ],
    is_open: true,
};

const RESPONSES: Object = Object {
    name: "ResponsesRequest",
    fields: &[
        must("model", Shape::Text),
        may("input", Shape::Any),
        may("stream", Shape::Flag),
        may("instructions", Shape::Text),
        may("previous_response_id", Shape::Text),
        may("store", Shape::Flag),
        may("max_output_tokens", Shape::Whole),
    ],
    is_open: true,
};

const RESPONSE: Object = Object {
    name: "Response",
    fields: &[
        must("id", Shape::Text),
        must("object", Shape::Is("response")),
        must("model", Shape::Text),
        must("status", Shape::Text),
        must("output", Shape::Many(&Shape::Any)),
        may("usage", Shape::Any),
    ],
    is_open: true,
};

const CONVERSATION: Object = Object {
    name: "Conversation",
    fields: &[
        must("model", Shape::Text),
        may("input", Shape::Any),
        may("instructions", Shape::Text),
        may("previous_response_id", Shape::Text),
    ],
    is_open: true,
};

const RESPONSE_TOKENS: Object = Object {
    name: "ResponseTokens",
    fields: &[must("object", Shape::Is("response.input_tokens")), must("input_tokens", Shape::Whole)],
    is_open: true,
};

const COMPACTION: Object = Object {
    name: "Compaction",
    fields: &[
        must("id", Shape::Text),
        must("object", Shape::Is("response.compaction")),
        must("output", Shape::Many(&Shape::Any)),
        may("usage", Shape::Any),
    ],
    is_open: true,
};

const DELETED_RESPONSE: Object =
    Object { name: "DeletedResponse", fields: &[must("id", Shape::Text), must("deleted", Shape::Flag)], is_open: true };

const INPUT_ITEMS: Object = Object {
    name: "InputItems",
    fields: &[must("object", Shape::Is("list")), must("data", Shape::Many(&Shape::Any)), must("has_more", Shape::Flag)],
    is_open: true,
};

const MESSAGES: Object = Object {
    name: "MessagesRequest",
    fields: &[
        must("model", Shape::Text),
        must("messages", Shape::Many(&Shape::Any)),
        must("max_tokens", Shape::Whole),
        may("stream", Shape::Flag),
        may("system", Shape::Any),
    ],
    is_open: true,
};

const MESSAGE: Object = Object {
    name: "Message",
    fields: &[
        must("id", Shape::Text),
        must("type", Shape::Is("message")),
        must("role", Shape::Text),
        must("model", Shape::Text),
        must("content", Shape::Many(&Shape::Any)),
        may("usage", Shape::Any),
    ],
    is_open: true,
};

const COUNT_REQUEST: Object = Object {
    name: "CountTokensRequest",
    fields: &[must("model", Shape::Text), must("messages", Shape::Many(&Shape::Any)), may("system", Shape::Any)],
    is_open: true,
};

const COUNT: Object = Object { name: "TokenCount", fields: &[must("input_tokens", Shape::Whole)], is_open: true };

const EMBEDDINGS: Object = Object {
    name: "EmbeddingsRequest",
    fields: &[
        must("model", Shape::Text),
        must("input", Shape::Any),
        may("encoding_format", Shape::Text),
        may("dimensions", Shape::Whole),
    ],
    is_open: true,
};

const EMBEDDING_LIST: Object = Object {
    name: "EmbeddingList",
    fields: &[
        must("object", Shape::Is("list")),
        must("data", Shape::Many(&Shape::Any)),
        must("model", Shape::Text),
        may("usage", Shape::Any),
    ],
    is_open: true,
};

const RERANK: Object = Object {
    name: "RerankRequest",
    fields: &[
        must("model", Shape::Text),
        must("query", Shape::Text),
        must("documents", Shape::Many(&Shape::Any)),
        may("top_n", Shape::Whole),
        may("return_documents", Shape::Flag),
        may("max_tokens_per_doc", Shape::Whole),
    ],
    is_open: true,
};

const RANKING: Object = Object {
    name: "Ranking",
    fields: &[
        must("id", Shape::Text),
        must("object", Shape::Is("list")),
        must("model", Shape::Text),
        must("results", Shape::Many(&Shape::Any)),
        must("usage", Shape::Any),
        must("meta", Shape::Any),
    ],
    is_open: true,
};

const IMAGES: Object = Object {
    name: "ImagesRequest",
    fields: &[
        must("model", Shape::Text),
        must("prompt", Shape::Text),
        may("n", Shape::Whole),
        may("size", Shape::Text),
        may("quality", Shape::Text),
        may("response_format", Shape::Text),
        may("stream", Shape::Flag),
    ],
    is_open: true,
};

const EDITS: Object = Object {
    name: "ImageEditRequest",
    fields: &[
        must("model", Shape::Text),
        must("prompt", Shape::Text),
        must("image", Shape::Text),
        may("mask", Shape::Text),
        may("n", Shape::Whole),
        may("size", Shape::Text),
        may("quality", Shape::Text),
        may("stream", Shape::Flag),
    ],
    is_open: true,
};

const IMAGE_LIST: Object = Object {
    name: "ImageList",
    fields: &[must("data", Shape::Many(&Shape::Any)), may("usage", Shape::Any)],
    is_open: true,
};

const SPEECH: Object = Object {
    name: "SpeechRequest",
    fields: &[
        must("model", Shape::Text),
        must("input", Shape::Text),
        may("voice", Shape::Any),
        may("response_format", Shape::Text),
        may("stream_format", Shape::Text),
    ],
    is_open: true,
};

const AUDIO: Object = Object {
    name: "TranscriptionRequest",
    fields: &[
        must("model", Shape::Text),
        must("file", Shape::Text),
        may("response_format", Shape::Text),
        may("stream", Shape::Flag),
        may("prompt", Shape::Text),
    ],
    is_open: true,
};

const TRANSCRIPT: Object =
    Object { name: "Transcript", fields: &[must("text", Shape::Text), may("usage", Shape::Any)], is_open: true };

const VIDEO_REQUEST: Object = Object {
    name: "VideoRequest",
    fields: &[
        must("model", Shape::Text),
        must("prompt", Shape::Text),
        may("seconds", Shape::Any),
        may("duration", Shape::Any),
        may("size", Shape::Text),
        may("n", Shape::Whole),
    ],
    is_open: true,
};

const VIDEO: Object = Object {
    name: "Video",
    fields: &[
        must("id", Shape::Text),
        must("object", Shape::Is("video")),
        must("model", Shape::Text),
        must("status", Shape::Text),
        must("progress", Shape::Whole),
        must("created_at", Shape::Time),
        must("seconds", Shape::Text),
        must("prompt", Shape::Text),
    ],
    is_open: true,
};

const GENERATION: Object = Object {
    name: "VideoJob",
    fields: &[
        must("id", Shape::Text),
        must("object", Shape::Is("video.job")),
        must("model", Shape::Text),
        must("status", Shape::Text),
        must("progress", Shape::Whole),
        must("created_at", Shape::Time),
        may("url", Shape::Text),
        must("seconds", Shape::Whole),
        must("usage", Shape::Any),
    ],
    is_open: true,
};

const TASK_REQUEST: Object = Object {
    name: "TaskRequest",
    fields: &[
        must("model", Shape::Text),
        may("type", Shape::Text),
        may("metadata", Shape::Any),
        may("timeout_s", Shape::Whole),
    ],
    is_open: true,
};

const TASK: Object = Object {
    name: "Task",
    fields: &[
        must("id", Shape::Text),
        must("object", Shape::Is("task")),
        must("type", Shape::Text),
        must("model", Shape::Text),
        must("status", Shape::Text),
        must("created_at", Shape::Time),
        must("expires_at", Shape::Time),
        must("progress", Shape::Whole),
        must("request_id", Shape::Text),
        may("result", Shape::Any),
        may("error", Shape::Any),
        may("usage", Shape::Any),
        may("cost", Shape::Text),
        must("metadata", Shape::Any),
        must("urls", Shape::Any),
    ],
    is_open: true,
};

const VIDEO_DELETED: Object =
    object("VideoDeleted", &[must("id", Shape::Text), must("object", Shape::Text), must("deleted", Shape::Flag)]);

const MODEL: Object = object(
    "Model",
    &[
        must("id", Shape::Text),
        must("object", Shape::Is("model")),
        must("type", Shape::Is("model")),
        must("created", Shape::Time),
        must("created_at", Shape::Text),
        must("owned_by", Shape::Text),
        must("display_name", Shape::Text),
        must("endpoints", Shape::Many(&Shape::Text)),
    ],
);

const CREDITS: Object = object(
    "Credits",
    &[
        must("total_credits", Shape::Number),
        must("total_usage", Shape::Number),
        must("balance", Shape::Amount),
        must("held", Shape::Amount),
        must("currency", Shape::Text),
    ],
);

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::ChatCompletions => {
            let summary = "Answer a conversation; with `stream` as server-sent events.";
            Description::of(summary, Reply::One(&COMPLETION)).taking(&CHAT)
        }
        Operation::Completions => {
            Description::of("Continue texts; with `stream` as server-sent events.", Reply::One(&COMPLETION))
                .taking(&TEXT)
        }
        Operation::Responses
        | Operation::CountResponseTokens
        | Operation::CompactResponse
        | Operation::GetResponse
        | Operation::DeleteResponse
        | Operation::CancelResponse
        | Operation::ListInputItems => responses(operation),
        Operation::Messages => {
            let summary = "Answer a conversation in Anthropic's dialect; with `stream` as server-sent events.";
            Description::of(summary, Reply::One(&MESSAGE)).taking(&MESSAGES)
        }
        Operation::CountMessageTokens => {
            let summary = "Count the input tokens of a message, for nothing.";
            Description::of(summary, Reply::One(&COUNT)).taking(&COUNT_REQUEST)
        }
        Operation::Embeddings => {
            let summary = "Vectors for texts or token ids, as numbers or in base64.";
            Description::of(summary, Reply::One(&EMBEDDING_LIST)).taking(&EMBEDDINGS)
        }
        Operation::Rerank => {
            let summary = "Documents in the order in which they answer a query; also at `/v2/rerank`.";
            Description::of(summary, Reply::One(&RANKING)).taking(&RERANK)
        }
        Operation::GenerateImages => {
            let summary = "Pictures for a text; with `stream` as server-sent events.";
            Description::of(summary, Reply::One(&IMAGE_LIST)).taking(&IMAGES)
        }
        Operation::EditImages => {
            let summary = "Pictures made of pictures and a text; the body is `multipart/form-data`.";
            Description::of(summary, Reply::One(&IMAGE_LIST)).taking(&EDITS)
        }
        Operation::Speak => Description::of("A text as sound, as it comes.", Reply::Bytes).taking(&SPEECH),
        Operation::Transcribe => {
            let summary = "What is said in a file of sound; the body is `multipart/form-data`.";
            Description::of(summary, Reply::One(&TRANSCRIPT)).taking(&AUDIO)
        }
        Operation::Translate => {
            let summary = "What is said in a file of sound, in English; the body is `multipart/form-data`.";
            Description::of(summary, Reply::One(&TRANSCRIPT)).taking(&AUDIO)
        }
        Operation::CreateVideo
        | Operation::CreateGeneration
        | Operation::ListVideos
        | Operation::GetVideo
        | Operation::GetGeneration
        | Operation::GetVideoContent
        | Operation::GetSignedContent
        | Operation::CancelGeneration
        | Operation::DeleteVideo => describe_video(operation),
        Operation::CreateTask
        | Operation::ListTasks
        | Operation::GetTask
        | Operation::GetTaskResult
        | Operation::GetSignedResult
        | Operation::CancelTask => describe_task(operation),
        Operation::ListModels => Description::of("The models this key may call.", Reply::List(&MODEL)),
        Operation::GetModel => Description::of("One model; its id may hold slashes.", Reply::One(&MODEL)),
        _ => Description::of("The organization's credit.", Reply::Wrapped(&CREDITS)),
    }
}

/// Tasks.
fn describe_task(operation: Operation) -> Description {
    match operation {
        Operation::CreateTask => {
            let summary = "Ask for any inference as a task: the body of its endpoint, JSON or `multipart/form-data`. \
                202 at once, or with `Prefer: wait=N` 200 and its end.";
            Description::of(summary, Reply::One(&TASK)).taking(&TASK_REQUEST)
        }
        Operation::ListTasks => Description::of("The organization's tasks of the last day.", Reply::List(&TASK)),
        Operation::GetTask => Description::of("How far a task is, and its result.", Reply::One(&TASK)),
        Operation::GetTaskResult => Description::of("The result of a task as it came.", Reply::Bytes),
        Operation::GetSignedResult => Description::of("The same by its `url`: no key, for a day.", Reply::Bytes),
        _ => Description::of("End a task that is not done yet.", Reply::One(&TASK)),
    }
}

/// What outlives its call.
fn describe_video(operation: Operation) -> Description {
    match operation {
        Operation::CreateVideo => {
            let summary = "Ask for a video; the body is JSON or `multipart/form-data`. It is paid for when it is done.";
            Description::of(summary, Reply::One(&VIDEO)).taking(&VIDEO_REQUEST)
        }
        Operation::CreateGeneration => {
            let summary = "Ask for a video; it is paid for when it is done.";
            Description::of(summary, Reply::One(&GENERATION)).taking(&VIDEO_REQUEST)
        }
        Operation::ListVideos => Description::of("The organization's videos of the last day.", Reply::List(&VIDEO)),
        Operation::GetVideo => Description::of("How far a video is.", Reply::One(&VIDEO)),
        Operation::GetGeneration => Description::of("How far a video is.", Reply::One(&GENERATION)),
        Operation::GetVideoContent => Description::of("The bytes of a video that is done.", Reply::Bytes),
        Operation::GetSignedContent => {
            Description::of("The same by the `url` of a video: no key, for a day.", Reply::Bytes)
        }
        Operation::CancelGeneration => {
            Description::of("End a video that is not done yet, at no cost.", Reply::One(&GENERATION))
        }
        _ => Description::of("End and forget a video.", Reply::One(&VIDEO_DELETED)),
    }
}

/// Responses, and calls about those that are kept.
fn responses(operation: Operation) -> Description {
    match operation {
        Operation::CountResponseTokens => {
            let summary = "Count the input tokens of a response, for nothing.";
            Description::of(summary, Reply::One(&RESPONSE_TOKENS)).taking(&CONVERSATION)
        }
        Operation::CompactResponse => {
            let summary = "Make a conversation shorter, for a model to go on from.";
            Description::of(summary, Reply::One(&COMPACTION)).taking(&CONVERSATION)
        }
        Operation::GetResponse => Description::of("A response that its provider keeps.", Reply::One(&RESPONSE)),
        Operation::DeleteResponse => Description::of("Have a response kept no longer.", Reply::One(&DELETED_RESPONSE)),
        Operation::CancelResponse => {
            Description::of("Stop a response that is made in the background.", Reply::One(&RESPONSE))
        }
        Operation::ListInputItems => {
            Description::of("What a kept response was made of, newest first.", Reply::One(&INPUT_ITEMS))
        }
        _ => {
            let summary = "Answer items of a conversation; with `stream` as typed server-sent events.";
            Description::of(summary, Reply::One(&RESPONSE)).taking(&RESPONSES)
        }
    }
}
