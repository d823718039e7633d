//! Wallet, usage, requests and receipts.

use super::shape::{Field, Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const TEXT_OR_NULL: Shape = Shape::OrNull(&Shape::Text);
const WHOLE_OR_NULL: Shape = Shape::OrNull(&Shape::Whole);
const METERS: Shape = Shape::Map(&Shape::Whole);

const TENANT: Object =
    object("Tenant", &[must("id", Shape::Text), must("slug", Shape::Text), must("name", Shape::Text)]);

const WALLET: Object = object(
    "Wallet",
    &[
        must("object", Shape::Is("organization.credits")),
        must("organization", Shape::Of(&TENANT)),
        must("balance", Shape::Amount),
        must("held", Shape::OrNull(&Shape::Amount)),
        must("total_credits", Shape::Amount),
        must("total_usage", Shape::Amount),
        must("currency", Shape::Text),
    ],
);

const RESULT: Object = object(
    "UsageResult",
    &[
        must("object", Shape::Text),
        may("input_tokens", Shape::Whole),
        may("output_tokens", Shape::Whole),
        may("input_cached_tokens", WHOLE_OR_NULL),
        may("input_audio_tokens", WHOLE_OR_NULL),
        may("output_audio_tokens", WHOLE_OR_NULL),
        may("batch", Shape::OrNull(&Shape::Flag)),
        may("service_tier", TEXT_OR_NULL),
        may("images", Shape::Whole),
        may("size", TEXT_OR_NULL),
        may("source", TEXT_OR_NULL),
        may("characters", Shape::Whole),
        may("seconds", WHOLE_OR_NULL),
        may("search_units", WHOLE_OR_NULL),
        must("num_model_requests", Shape::Whole),
        must("project_id", TEXT_OR_NULL),
        must("user_id", TEXT_OR_NULL),
        must("agent_id", TEXT_OR_NULL),
        must("api_key_id", TEXT_OR_NULL),
        must("model", TEXT_OR_NULL),
        must("source_tag", TEXT_OR_NULL),
        must("endpoint", TEXT_OR_NULL),
        must("outcome", TEXT_OR_NULL),
        must("usage_source", TEXT_OR_NULL),
        must("meters", METERS),
        must("charge", Shape::Amount),
    ],
);

const BUCKET: Object = object(
    "UsageBucket",
    &[
        must("object", Shape::Is("bucket")),
        must("start_time", Shape::Time),
        must("end_time", Shape::Time),
        must("results", Shape::Many(&Shape::Of(&RESULT))),
    ],
);

const USAGE: Object = object(
    "UsagePage",
    &[
        must("object", Shape::Is("page")),
        must("data", Shape::Many(&Shape::Of(&BUCKET))),
        must("has_more", Shape::Flag),
        must("next_page", TEXT_OR_NULL),
        must("timezone", Shape::Text),
        must("currency", Shape::Text),
    ],
);

/// Open: what a request was is told by more members as endpoints come.
const REFUSED_BY: Object = object("RefusedBy", &[must("rule", Shape::Text), must("value", Shape::Text)]);

const REQUEST: Object = Object {
    name: "Request",
    fields: &[
        must("object", Shape::Text),
        must("id", Shape::Text),
        must("project_id", Shape::Text),
        must("api_key_id", Shape::Text),
        must("source_tag", TEXT_OR_NULL),
        must("endpoint", Shape::Text),
        must("model", Shape::Text),
        must("stream", Shape::Flag),
        must("test", Shape::Flag),
        must("created_at", Shape::Time),
        must("duration_ms", Shape::Whole),
        must("status", Shape::Whole),
        must("outcome", Shape::Text),
        must("error_code", TEXT_OR_NULL),
        must("refused_by", Shape::OrNull(&Shape::Of(&REFUSED_BY))),
        must("would_refuse", TEXT_OR_NULL),
        must("meters", METERS),
        must("price_version", TEXT_OR_NULL),
        must("hold", Shape::Amount),
        must("charge", Shape::Amount),
        must("absorbed", Shape::Amount),
    ],
    is_open: true,
};

const LINE: Object = object(
    "ReceiptLine",
    &[
        must("meter", Shape::Text),
        must("quantity", Shape::Whole),
        must("price", Shape::OrNull(&Shape::Amount)),
        must("priced_as", TEXT_OR_NULL),
        must("amount", Shape::Amount),
    ],
);

const RULE: Object = object(
    "RefusedByRule",
    &[
        must("rule", Shape::Text),
        must("value", Shape::Text),
        must("set_by", TEXT_OR_NULL),
        must("set_at", Shape::OrNull(&Shape::Time)),
    ],
);

const RECEIPT: Object = object(
    "Receipt",
    &[
        must("object", Shape::Text),
        must("request", Shape::Of(&REQUEST)),
        must("lines", Shape::Many(&Shape::Of(&LINE))),
        must("exact", Shape::Amount),
        must("rounding", Shape::Amount),
        must("charged", Shape::Amount),
        must("held", Shape::Amount),
        must("released", Shape::Amount),
        must("absorbed", Shape::Amount),
        must("currency", Shape::Text),
        must("transfer", TEXT_OR_NULL),
        must("refusal", TEXT_OR_NULL),
        must("refused_by", Shape::OrNull(&Shape::Of(&RULE))),
    ],
);

const TEXTS: Shape = Shape::Many(&Shape::Text);

const ASK_USAGE: &[Field] = &[
    must("start_time", Shape::Time),
    may("end_time", Shape::Time),
    may("bucket_width", Shape::Word(&["1m", "1h", "1d"])),
    may("limit", Shape::Whole),
    may("page", Shape::Text),
    may("group_by", TEXTS),
    may("api_key_ids", TEXTS),
    may("project_ids", TEXTS),
    may("user_ids", TEXTS),
    may("models", TEXTS),
    may("source_tags", TEXTS),
    may("agent_ids", TEXTS),
    may("endpoints", TEXTS),
    may("outcomes", TEXTS),
    may("timezone", Shape::Text),
];

const ASK_OWN_USAGE: &[Field] = &[
    must("start_time", Shape::Time),
    may("end_time", Shape::Time),
    may("bucket_width", Shape::Word(&["1m", "1h", "1d"])),
    may("limit", Shape::Whole),
    may("page", Shape::Text),
    may("group_by", TEXTS),
    may("models", TEXTS),
    may("timezone", Shape::Text),
];

const ASK_REQUESTS: &[Field] = &[
    may("limit", Shape::Whole),
    may("after", Shape::Text),
    may("before", Shape::Text),
    may("order", Shape::Word(&["asc", "desc"])),
    may("api_key_id", Shape::Text),
    may("model", Shape::Text),
    may("source_tag", Shape::Text),
    may("start_time", Shape::Time),
    may("end_time", Shape::Time),
];

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::GetWallet => Description::of("The organization's wallet.", Reply::One(&WALLET)),
        Operation::GetUsage => Description::of("Usage in buckets of time.", Reply::One(&USAGE)).asking(ASK_USAGE),
        Operation::GetOwnUsage => {
            Description::of("What the calling key used, in buckets of time.", Reply::One(&USAGE)).asking(ASK_OWN_USAGE)
        }
        Operation::ListRequests => Description::of("List request records.", Reply::List(&REQUEST)).asking(ASK_REQUESTS),
        Operation::GetReceipt => Description::of("Why a request cost what it cost.", Reply::One(&RECEIPT)),
        _ => Description::of("One request record.", Reply::One(&REQUEST)),
    }
}
