//! The audit key: what authenticates the chain, and what salts personal values.
//!
//! The first half is a root secret of the instance, kept beside the pepper and never in the database. The second is drawn
//! at every start and kept nowhere: once the values and salts beside a record are erased, nobody can try out values, not
//! even with the first half.

use crate::secret::Secret;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Bytes of a salt.
pub(super) const SALT_BYTES: usize = 16;

/// What a check of the key is the MAC of.
const CHECK: &[u8] = b"claviger audit check";

/// What the seed of the signing key is the MAC of.
const SIGNING: &[u8] = b"claviger audit signing key";

/// The secrets of the audit chain.
#[derive(Clone, Debug)]
pub struct AuditKey {
    mac: Secret<[u8; 32]>,
    salts: Secret<[u8; 32]>,
}

impl AuditKey {
    /// The stored root secret, and a seed of salts that was drawn for this process.
    pub const fn new(mac: [u8; 32], salts: [u8; 32]) -> Self {
        Self { mac: Secret::new(mac), salts: Secret::new(salts) }
    }

    /// `HMAC-SHA-256(audit key, hash)`.
    pub fn mac(&self, hash: &[u8; 32]) -> [u8; 32] {
        keyed(self.mac.expose(), &[hash])
    }

    /// The first eight bytes of a MAC over a fixed text: what the database keeps, to know the key again.
    pub fn check(&self) -> [u8; 8] {
        let mut check = [0; 8];
        for (slot, byte) in check.iter_mut().zip(keyed(self.mac.expose(), &[CHECK])) {
            *slot = byte;
        }
        check
    }

    /// The seed of the Ed25519 key that signs checkpoints.
    pub fn signing_seed(&self) -> Secret<[u8; 32]> {
        Secret::new(keyed(self.mac.expose(), &[SIGNING]))
    }

    /// The salt of one value. Repeating an act gives the same one.
    pub(super) fn salt(&self, record: &str, slot: &str) -> [u8; SALT_BYTES] {
        let mut salt = [0; SALT_BYTES];
        for (place, byte) in
            salt.iter_mut().zip(keyed(self.salts.expose(), &[record.as_bytes(), b"\0", slot.as_bytes()]))
        {
            *place = byte;
        }
        salt
    }
}

/// For tests: salts that follow from the key itself.
impl From<[u8; 32]> for AuditKey {
    fn from(mac: [u8; 32]) -> Self {
        Self::new(mac, keyed(&mac, &[b"salts of tests"]))
    }
}

fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; 32] };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}
