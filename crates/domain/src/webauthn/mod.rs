//! Passkeys: what an authenticator's answer must be before it is believed. The part of WebAuthn Level 2 that signing people
//! in needs (§7.1, §7.2), over AWS-LC; why no library: ADR 0031.
//!
//! ```text
//! client data     JSON: type, challenge (base64url), origin, crossOrigin?        made by the browser
//! auth data       rp id hash 32 · flags 1 · sign count 4 · [aaguid 16 · id length 2 · id · COSE key] · [extensions]
//! registration    CBOR map { fmt, attStmt, authData: auth data }                 attestation is not asked for, nor read
//! assertion       signature over auth data ‖ SHA-256(client data)
//! ```
//! User verification is required, the relying party is the console's host, the origin one of the console's. That a
//! challenge is ours and used once is known to whoever asks; who signs in by which credential, too.

mod authenticator;
mod client_data;
mod cose;

pub use client_data::{Ceremony, ClientData};

use authenticator::AuthenticatorData;
use ciborium::Value;
use sha2::{Digest as _, Sha256};

/// Why an answer is not believed. For the log; whoever answers is told that it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// Bytes that are not what they should be.
    #[error("it cannot be read")]
    Malformed,
    /// Made for another ceremony.
    #[error("it was made for another ceremony")]
    Ceremony,
    /// Made on a page of another site, or inside one.
    #[error("it was made on another site")]
    Origin,
    /// Made for another relying party.
    #[error("it was made for another relying party")]
    RelyingParty,
    /// Nobody was there, or nobody proved who they are.
    #[error("the authenticator did not verify its user")]
    User,
    /// A kind of key that is not known.
    #[error("its key is of a kind that is not accepted")]
    Algorithm,
    /// Not signed by the credential's key.
    #[error("its signature does not hold")]
    Signature,
    /// The counter did not grow: there are two authenticators of one credential (§6.1.1).
    #[error("its counter went back")]
    Counter,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    /// The console's host name.
    pub id: String,
    /// The origins of its pages.
    pub origins: Vec<String>,
}

/// A credential that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The authenticator's name for it.
    pub credential_id: Vec<u8>,
    /// Its public key, COSE as it came.
    pub public_key: Vec<u8>,
    /// The authenticator's counter; 0 where it keeps none.
    pub sign_count: u32,
}

/// The longest credential id (§5.8.3 allows 1,023 bytes).
const CREDENTIAL_ID_BYTES: usize = 1023;

/// COSE numbers of the keys that are accepted, the best first: ES256, EdDSA, RS256.
pub const ALGORITHMS: [i64; 3] = [-7, -8, -257];

/// Reads the answer to a request for a new credential.
///
/// # Errors
/// Why it is not believed.
pub fn registered(party: &RelyingParty, client_data: &ClientData, attestation: &[u8]) -> Result<Registered, Unproven> {
    client_data.check(Ceremony::Create, party)?;
    let Ok(Value::Map(members)) = ciborium::from_reader::<Value, _>(attestation) else {
        return Err(Unproven::Malformed);
    };
    let data = members.iter().find_map(|(name, value)| match (name, value) {
        (Value::Text(name), Value::Bytes(bytes)) if name == "authData" => Some(bytes.as_slice()),
        _ => None,
    });
    let data = AuthenticatorData::read(data.ok_or(Unproven::Malformed)?)?;
    data.check(party)?;
    let credential = data.credential.ok_or(Unproven::Malformed)?;
    cose::PublicKey::read(credential.public_key)?;
    Ok(Registered {
        credential_id: credential.id.to_vec(),
        public_key: credential.public_key.to_vec(),
        sign_count: data.sign_count,
    })
}

/// Checks the answer of a known credential; its counter from now on.
///
/// # Errors
/// Why it is not believed.
pub fn asserted(
    party: &RelyingParty,
    client_data: &ClientData,
    data: &[u8],
    signature: &[u8],
    public_key: &[u8],
    former_count: u32,
) -> Result<u32, Unproven> {
    client_data.check(Ceremony::Get, party)?;
    let read = AuthenticatorData::read(data)?;
    read.check(party)?;
    let signed = [data, &Sha256::digest(client_data.bytes())].concat();
    cose::PublicKey::read(public_key)?.verify(&signed, signature)?;
    let has_counter = read.sign_count != 0 || former_count != 0;
    if has_counter && read.sign_count <= former_count { Err(Unproven::Counter) } else { Ok(read.sign_count) }
}

#[cfg(test)]
mod tests;
