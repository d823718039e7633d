//! Signing in with a passkey: a challenge, and its answer. Nobody says who they are; the credential does.

pub(crate) mod options;
pub(crate) mod verify;
