//! What is asked about keys by whoever holds one, was shown one, or found one.

use super::keys::{CONFIRMATION, KEY, LIMITS, POLICY};
use super::shape::{Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const TEXT_OR_NULL: Shape = Shape::OrNull(&Shape::Text);

const RATE_LIMIT: Object = object(
    "OwnKeyRateLimit",
    &[must("requests", Shape::Whole), must("interval", Shape::Text), must("note", Shape::Text)],
);

const OWN_KEY: Object = object(
    "OwnKey",
    &[
        must("label", Shape::Text),
        must("limit", Shape::OrNull(&Shape::Number)),
        must("limit_remaining", Shape::OrNull(&Shape::Number)),
        must("limit_reset", TEXT_OR_NULL),
        must("usage", Shape::Number),
        must("usage_daily", Shape::Number),
        must("usage_weekly", Shape::Number),
        must("usage_monthly", Shape::Number),
        must("byok_usage", Shape::Number),
        must("byok_usage_daily", Shape::Number),
        must("byok_usage_weekly", Shape::Number),
        must("byok_usage_monthly", Shape::Number),
        must("include_byok_in_limit", Shape::Flag),
        must("is_free_tier", Shape::Flag),
        must("is_management_key", Shape::Flag),
        must("is_provisioning_key", Shape::Flag),
        must("creator_user_id", TEXT_OR_NULL),
        must("expires_at", TEXT_OR_NULL),
        must("rate_limit", Shape::Of(&RATE_LIMIT)),
        must("id", Shape::Text),
        must("name", Shape::Text),
        must("redacted_value", Shape::Text),
        must("class", Shape::Word(&["inference", "admin"])),
        must("state", Shape::Word(&["active", "disabled", "expired", "revoked"])),
        must("flags", Shape::Many(&Shape::Text)),
        must("test", Shape::Flag),
        must("environment_id", Shape::Text),
        must("source_tag", TEXT_OR_NULL),
        must("limits", Shape::Of(&LIMITS)),
        must("policy", Shape::Of(&POLICY)),
        must("currency", Shape::Text),
    ],
);

const SELF_REVOKE: Object = object("RevokeOwnSecret", &[may("reason", Shape::Text)]);

const LOOKUP: Object = object(
    "LookUpKeys",
    &[may("ids", Shape::Many(&Shape::Text)), may("sha256", Shape::Many(&Shape::Text)), may("since", Shape::Time)],
);

const MATCH: Object = object(
    "KeyMatch",
    &[
        must("object", Shape::Is("api_key.match")),
        must("match", Shape::Word(&["exact", "id"])),
        must("sha256", TEXT_OR_NULL),
        must("secret_id", TEXT_OR_NULL),
        must("is_live", Shape::Flag),
        must("spend", Shape::Amount),
        must("key", Shape::Of(&KEY)),
    ],
);

const MATCHES: Object = object(
    "KeyMatches",
    &[must("object", Shape::Is("list")), must("data", Shape::Many(&Shape::Of(&MATCH))), must("since", Shape::Time)],
);

const VERIFY: Object = object(
    "VerifyKey",
    &[
        must("key", Shape::Text),
        may("permissions", Shape::Any),
        may("model", Shape::Text),
        may("ip", Shape::Text),
        may("credits", Shape::Of(&object("VerifyCredits", &[may("cost", Shape::Whole)]))),
        may("ratelimits", Shape::Many(&Shape::Of(&object("VerifyRateLimit", &[must("name", Shape::Text)])))),
        may("tags", Shape::Many(&Shape::Text)),
    ],
);

const LIMIT: Object = object(
    "VerifiedRateLimit",
    &[
        must("name", Shape::Word(&["requests", "tokens"])),
        must("limit", Shape::Whole),
        must("duration", Shape::Whole),
        must("reset", Shape::Whole),
        must("remaining", Shape::Whole),
        must("exceeded", Shape::Flag),
        must("autoApply", Shape::Flag),
    ],
);

const VERIFIED: Object = object(
    "VerifiedKey",
    &[
        must("valid", Shape::Flag),
        must(
            "code",
            Shape::Word(&[
                "VALID",
                "NOT_FOUND",
                "DISABLED",
                "EXPIRED",
                "FORBIDDEN",
                "INSUFFICIENT_PERMISSIONS",
                "RATE_LIMITED",
                "USAGE_EXCEEDED",
            ]),
        ),
        may("detail", Shape::Text),
        may("keyId", Shape::Text),
        may("name", Shape::Text),
        may("enabled", Shape::Flag),
        may("expires", Shape::Whole),
        may(
            "meta",
            Shape::Of(&object(
                "VerifiedMeta",
                &[must("environment_id", Shape::Text), must("source_tag", TEXT_OR_NULL)],
            )),
        ),
        may(
            "identity",
            Shape::Of(&object("VerifiedIdentity", &[must("id", Shape::Text), must("externalId", Shape::Text)])),
        ),
        may("permissions", Shape::Many(&Shape::Text)),
        may("ratelimits", Shape::Many(&Shape::Of(&LIMIT))),
    ],
);

const VERIFICATION: Object = object(
    "Verification",
    &[
        must("meta", Shape::Of(&object("VerificationMeta", &[must("requestId", Shape::Text)]))),
        must("data", Shape::Of(&VERIFIED)),
    ],
);

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::GetOwnKey => Description::of("The calling key itself.", Reply::Wrapped(&OWN_KEY)),
        Operation::RevokeOwnSecret => {
            let summary = "End the presented secret as compromised, in whatever state it is.";
            Description::of(summary, Reply::One(&CONFIRMATION)).taking(&SELF_REVOKE)
        }
        Operation::LookUpKeys => {
            let summary = "Which of the organization's keys leaked, by ids and by SHA-256 of whole texts.";
            Description::of(summary, Reply::One(&MATCHES)).taking(&LOOKUP)
        }
        _ => {
            let summary = "Whether a key that was presented elsewhere is good; always 200, in Unkey's shape.";
            Description::of(summary, Reply::One(&VERIFICATION)).taking(&VERIFY)
        }
    }
}
