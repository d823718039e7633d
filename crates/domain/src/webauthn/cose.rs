//! Public keys of authenticators (RFC 9052 §7, RFC 9053 §2, RFC 8230 §4), and their signatures.
//!
//! ```text
//! ES256   { 1: 2, 3: -7, -1: 1, -2: x 32, -3: y 32 }       ECDSA, P-256, SHA-256; the signature is DER
//! EdDSA   { 1: 1, 3: -8, -1: 6, -2: x 32 }                 Ed25519
//! RS256   { 1: 3, 3: -257, -1: n, -2: e }                  RSASSA-PKCS1-v1_5, SHA-256, 2048 bits or more
//! ```

use super::Unproven;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use ciborium::Value;

/// A key of an accepted kind.
pub(super) enum PublicKey {
    /// The uncompressed point.
    Es256([u8; 65]),
    EdDsa([u8; 32]),
    Rs256 {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
}

impl PublicKey {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Unproven> {
        let Ok(Value::Map(members)) = ciborium::from_reader::<Value, _>(bytes) else {
            return Err(Unproven::Malformed);
        };
        let find = |label: i64| members.iter().find(|(name, _)| *name == Value::from(label)).map(|(_, value)| value);
        let number = |label| find(label).and_then(Value::as_integer).and_then(|number| i64::try_from(number).ok());
        let bytes = |label| find(label).and_then(Value::as_bytes).ok_or(Unproven::Malformed);
        let part = |label| <[u8; 32]>::try_from(bytes(label)?.as_slice()).map_err(|_| Unproven::Malformed);
        match (number(1), number(3), number(-1)) {
            (Some(2), Some(-7), Some(1)) => {
                let point = [&[4_u8][..], &part(-2)?, &part(-3)?].concat();
                Ok(Self::Es256(point.try_into().map_err(|_| Unproven::Malformed)?))
            }
            (Some(1), Some(-8), Some(6)) => Ok(Self::EdDsa(part(-2)?)),
            (Some(3), Some(-257), None) => {
                Ok(Self::Rs256 { modulus: bytes(-1)?.clone(), exponent: bytes(-2)?.clone() })
            }
            _ => Err(Unproven::Algorithm),
        }
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Unproven> {
        let verified = match self {
            Self::Es256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature),
            Self::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::Rs256 { modulus, exponent } => {
                PublicKeyComponents { n: modulus, e: exponent }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
        };
        verified.map_err(|_| Unproven::Signature)
    }
}
