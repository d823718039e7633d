//! What the browser says about a ceremony: which one, for which challenge, on whose page (WebAuthn §5.8.1).

use super::{RelyingParty, Unproven};
use serde::Deserialize;

/// Which ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ceremony {
    /// A new credential.
    Create,
    /// A sign-in.
    Get,
}

/// The browser's words, and their bytes as they were signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientData {
    bytes: Vec<u8>,
    kind: String,
    challenge: String,
    origin: String,
    is_cross_origin: bool,
}

/// What is read of it; browsers add members as they like.
#[derive(Deserialize)]
struct Members {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(default, rename = "crossOrigin")]
    is_cross_origin: bool,
}

impl ClientData {
    /// Reads it.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn read(bytes: &[u8]) -> Result<Self, Unproven> {
        let members: Members = serde_json::from_slice(bytes).map_err(|_| Unproven::Malformed)?;
        let Members { kind, challenge, origin, is_cross_origin } = members;
        Ok(Self { bytes: bytes.to_vec(), kind, challenge, origin, is_cross_origin })
    }

    /// The challenge it answers, base64url without padding.
    pub fn challenge(&self) -> &str {
        &self.challenge
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn check(&self, ceremony: Ceremony, party: &RelyingParty) -> Result<(), Unproven> {
        let expected = match ceremony {
            Ceremony::Create => "webauthn.create",
            Ceremony::Get => "webauthn.get",
        };
        if self.kind != expected {
            return Err(Unproven::Ceremony);
        }
        // Inside a page of another site the person may not see whom they sign in to.
        if self.is_cross_origin || !party.origins.contains(&self.origin) {
            return Err(Unproven::Origin);
        }
        Ok(())
    }
}
