//! A key: its text, its state, its policy. Who asks is not known here.

mod caller;
mod compromise;
mod edit;
pub mod leak;
mod life;
mod load;
mod name;
mod policy;
mod record;
mod spike;
mod state;
mod text;
mod verify;

pub use caller::{Network, SeenCaller, client_of, is_new as is_new_caller};
pub use edit::{Edit, EditedRestrictions, Set};
pub use life::{
    LIVE_SECRETS, NewText, Rotation, Unwilling, disable, enable, end_secret, extend_secret, is_safe_to_end, reissue,
    revoke, rotate, tend,
};
pub use load::HourLoad;
pub use name::{Name, SourceTag, StoredIn};
pub use policy::{Class, InvalidPattern, Limits, ModelPattern, Owner, Policy, Reach, Restrictions};
pub use record::{AtDeadline, EndReason, Key, NewKey, Recipe, StateChange, StoredSecret};
pub use spike::Spending;
pub use state::{KeyState, Refused, RevocationReason, StoredState, told_of_ended_secret, told_of_old_secret};
pub use text::{Diagnosis, InvalidPrefix, KeyText, MintedKey, Prefixes, mask, redacted};
pub use verify::{KnownKey, Verdict, Verified, VerifyAsk};
