//! A key: its text, its state, its policy. Who asks is not known here.

mod policy;
mod state;
mod text;

pub use policy::{Class, InvalidPattern, Key, Limits, ModelPattern, Name, NewKey, SourceTag, StoredSecret};
pub use state::{KeyState, Refused, RevocationReason, StoredState};
pub use text::{Diagnosis, InvalidPrefix, KeyText, MintedKey, Prefixes, mask, redacted};
