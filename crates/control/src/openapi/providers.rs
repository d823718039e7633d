//! Providers that organizations bring along, what is found on the machine, and the routes in force.

use super::shape::{Object, PAGE, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const MODEL: Object = object(
    "ProviderModel",
    &[
        must("name", Shape::Text),
        must("upstream_model", Shape::Text),
        must("endpoints", Shape::Many(&Shape::Text)),
        must("context", Shape::OrNull(&Shape::Whole)),
        must("max_output", Shape::OrNull(&Shape::Whole)),
    ],
);

const CREDENTIAL: Object = object("ProviderCredential", &[must("hint", Shape::Text)]);

const PROVIDER: Object = object(
    "Provider",
    &[
        must("object", Shape::Is("organization.provider")),
        must("id", Shape::Text),
        must("name", Shape::Text),
        must("registry_id", Shape::Text),
        must("dialect", Shape::Text),
        must("base_url", Shape::Text),
        must("enabled", Shape::Flag),
        must("max_concurrency", Shape::Whole),
        must("models", Shape::Many(&Shape::Of(&MODEL))),
        must("credential", Shape::OrNull(&Shape::Of(&CREDENTIAL))),
        must("created_at", Shape::Time),
        must("version", Shape::Whole),
    ],
);

const CREATE: Object = object(
    "CreateProvider",
    &[
        must("name", Shape::Text),
        must("registry_id", Shape::Text),
        must("dialect", Shape::Text),
        must("base_url", Shape::Text),
        may("credential", Shape::OrNull(&Shape::Text)),
        may("models", Shape::Many(&Shape::Any)),
        may("enabled", Shape::Flag),
        may("max_concurrency", Shape::Whole),
    ],
);

const UPDATE: Object = object(
    "UpdateProvider",
    &[
        may("name", Shape::Text),
        may("registry_id", Shape::Text),
        may("dialect", Shape::Text),
        may("base_url", Shape::Text),
        may("credential", Shape::OrNull(&Shape::Text)),
        may("models", Shape::Many(&Shape::Any)),
        may("enabled", Shape::Flag),
        may("max_concurrency", Shape::Whole),
    ],
);

const TEST: Object = object(
    "ProviderTest",
    &[
        must("object", Shape::Is("organization.provider.test")),
        must("id", Shape::Text),
        must("ok", Shape::Flag),
        must("status", Shape::OrNull(&Shape::Whole)),
        must("duration_ms", Shape::Whole),
        must("message", Shape::OrNull(&Shape::Text)),
        must("models", Shape::Many(&Shape::Text)),
    ],
);

const DELETED: Object = object(
    "DeletedProvider",
    &[
        must("object", Shape::Is("organization.provider.deleted")),
        must("id", Shape::Text),
        must("deleted", Shape::Flag),
    ],
);

const FOUND: Object = object(
    "FoundProvider",
    &[
        must("object", Shape::Is("operator.found_provider")),
        must("name", Shape::Text),
        must("label", Shape::Text),
        must("dialect", Shape::Text),
        must("base_url", Shape::Text),
        must("variable", Shape::OrNull(&Shape::Text)),
        must("models", Shape::OrNull(&Shape::Many(&Shape::Text))),
    ],
);

const TARGET: Object =
    object("RouteTarget", &[must("provider", Shape::Text), must("model", Shape::Text), must("weight", Shape::Whole)]);

const ROUTE: Object = object(
    "Route",
    &[
        must("object", Shape::Is("operator.route")),
        must("id", Shape::Text),
        must("model", Shape::Text),
        must("endpoints", Shape::Many(&Shape::Text)),
        must("pricing", Shape::Word(&["free", "priced", "unpriced"])),
        must("affinity", Shape::Flag),
        must("tiers", Shape::Many(&Shape::Many(&Shape::Of(&TARGET)))),
    ],
);

pub(super) fn describe(operation: Operation) -> Description {
    match operation {
        Operation::ListProviders => Description::of("List providers.", Reply::List(&PROVIDER)).asking(PAGE),
        Operation::CreateProvider => Description::of("Bring a provider along.", Reply::One(&PROVIDER)).taking(&CREATE),
        Operation::UpdateProvider => Description::of(
            "Change a provider, replace its credential. Another host asks for the credential anew.",
            Reply::One(&PROVIDER),
        )
        .taking(&UPDATE),
        Operation::DeleteProvider => Description::of("End a provider.", Reply::One(&DELETED)),
        Operation::TestProvider => Description::of("Ask a provider now for its models.", Reply::One(&TEST)),
        Operation::DetectProviders => {
            Description::of("Model servers and credentials found on the server's machine.", Reply::List(&FOUND))
        }
        Operation::ListRoutes => Description::of("Which targets serve which model.", Reply::List(&ROUTE)),
        _ => Description::of("Read a provider.", Reply::One(&PROVIDER)),
    }
}
