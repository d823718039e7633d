//! What the authenticator says: for whom, whether a user was there and verified, its counter, a new credential
//! (WebAuthn §6.1). Every byte is accounted for: what is left over makes the whole malformed.

use super::{CREDENTIAL_ID_BYTES, RelyingParty, Unproven};
use ciborium::Value;
use sha2::{Digest as _, Sha256};

const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const HAS_CREDENTIAL: u8 = 0x40;
const HAS_EXTENSIONS: u8 = 0x80;

pub(super) struct AuthenticatorData<'a> {
    relying_party_hash: [u8; 32],
    flags: u8,
    pub(super) sign_count: u32,
    pub(super) credential: Option<Credential<'a>>,
}

pub(super) struct Credential<'a> {
    pub(super) id: &'a [u8],
    pub(super) public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    pub(super) fn read(mut bytes: &'a [u8]) -> Result<Self, Unproven> {
        let relying_party_hash = taken(&mut bytes, 32)?.try_into().map_err(|_| Unproven::Malformed)?;
        let flags = taken(&mut bytes, 1)?.first().copied().ok_or(Unproven::Malformed)?;
        let count = taken(&mut bytes, 4)?.try_into().map_err(|_| Unproven::Malformed)?;
        let credential = if flags & HAS_CREDENTIAL != 0 { Some(credential(&mut bytes)?) } else { None };
        if flags & HAS_EXTENSIONS != 0 {
            item(&mut bytes)?;
        }
        if !bytes.is_empty() {
            return Err(Unproven::Malformed);
        }
        Ok(Self { relying_party_hash, flags, sign_count: u32::from_be_bytes(count), credential })
    }

    pub(super) fn check(&self, party: &RelyingParty) -> Result<(), Unproven> {
        let expected: [u8; 32] = Sha256::digest(party.id.as_bytes()).into();
        if self.relying_party_hash != expected {
            return Err(Unproven::RelyingParty);
        }
        let both = USER_PRESENT | USER_VERIFIED;
        if self.flags & both == both { Ok(()) } else { Err(Unproven::User) }
    }
}

fn credential<'a>(bytes: &mut &'a [u8]) -> Result<Credential<'a>, Unproven> {
    // Which make of authenticator it is does not matter to us.
    taken(bytes, 16)?;
    let length = taken(bytes, 2)?.try_into().map_err(|_| Unproven::Malformed)?;
    let length = usize::from(u16::from_be_bytes(length));
    if length == 0 || length > CREDENTIAL_ID_BYTES {
        return Err(Unproven::Malformed);
    }
    Ok(Credential { id: taken(bytes, length)?, public_key: item(bytes)? })
}

fn taken<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Unproven> {
    let (first, rest) = bytes.split_at_checked(count).ok_or(Unproven::Malformed)?;
    *bytes = rest;
    Ok(first)
}

/// The bytes of one whole CBOR item.
fn item<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Unproven> {
    let mut rest = *bytes;
    ciborium::from_reader::<Value, _>(&mut rest).map_err(|_| Unproven::Malformed)?;
    let length = bytes.len().checked_sub(rest.len()).ok_or(Unproven::Malformed)?;
    taken(bytes, length)
}
