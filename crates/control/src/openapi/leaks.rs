//! Import, and reports of leaked keys.

use super::shape::{Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const IMPORT: Object = object(
    "ImportKeys",
    &[must("source", Shape::Text), must("rows", Shape::Many(&Shape::Of(&ROW))), may("dry_run", Shape::Flag)],
);

const ROW: Object = object(
    "ImportRow",
    &[
        must("sha256", Shape::Text),
        must("name", Shape::Text),
        may("redacted_value", Shape::Text),
        may("disabled", Shape::Flag),
        may("expires_at", Shape::Time),
        may("source_tag", Shape::Text),
        may("models", Shape::Many(&Shape::Text)),
        may("ips", Shape::Many(&Shape::Text)),
        may("rpm", Shape::Whole),
        may("tpm", Shape::Whole),
        may("concurrency", Shape::Whole),
    ],
);

const REPORT: Object = object(
    "ImportReport",
    &[
        must("object", Shape::Is("api_key.import")),
        must("dry_run", Shape::Flag),
        must("imported", Shape::Whole),
        must("existing", Shape::Whole),
        must("refused", Shape::Whole),
        must(
            "rows",
            Shape::Many(&Shape::Of(&object(
                "ImportRowReport",
                &[
                    must("outcome", Shape::Word(&["imported", "existing", "refused"])),
                    must("id", Shape::OrNull(&Shape::Text)),
                    must("reason", Shape::OrNull(&Shape::Text)),
                ],
            ))),
        ),
        must("confirmation", Shape::Any),
    ],
);

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::ImportKeys => {
            Description::of("Take keys over from another system, by digest.", Reply::One(&REPORT)).taking(&IMPORT)
        }
        _ => Description::of("Report leaked keys, signed, as GitHub's secret scanning does.", Reply::Lines),
    }
}
