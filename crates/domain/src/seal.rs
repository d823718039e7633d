//! Credentials of model servers at rest: AES-256-GCM under a key of the organization, bound to the row and to the host.
//!
//! `box = nonce (12) ‖ ciphertext ‖ tag (16)`. Key: `HMAC-SHA-256(pepper[v], "claviger provider credentials" ‖ 0 ‖
//! organization)`, so that a thief of the database has nothing without the pepper's file (ADR 0061). Associated data:
//! organization, provider, origin and number of the credential, a line each: a box that is moved to another row, left
//! behind by a changed host, or put back after its replacement does not open.

use crate::id::{OrganizationId, ProviderId};
use crate::secret::{Pepper, Secret};
use crate::time::Random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fmt;
use zeroize::Zeroize as _;

/// What a box is for; another answer to any of it opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Whose provider it is.
    pub organization: OrganizationId,
    /// Which one.
    pub provider: ProviderId,
    /// Scheme, host and port, as `Destination::origin` writes them.
    pub origin: String,
    /// Which of the provider's credentials, counted from 1.
    pub number: i64,
}

impl Bound {
    fn associated(&self) -> Vec<u8> {
        format!("{}\n{}\n{}\n{}", self.organization, self.provider, self.origin, self.number).into_bytes()
    }
}

/// A sealed text.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The version of the pepper behind its key.
    pub pepper: u16,
    bytes: Vec<u8>,
}

impl Sealed {
    /// A box as its row keeps it.
    pub const fn from_row(pepper: u16, bytes: Vec<u8>) -> Self {
        Self { pepper, bytes }
    }

    /// Its bytes, for the row.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Seals a text. `None` = the library refused, which it has no reason to.
    pub fn seal(plain: &Secret<String>, pepper: &Pepper, bound: &Bound, random: &mut dyn Random) -> Option<Self> {
        let mut nonce = [0; NONCE_LEN];
        random.fill(&mut nonce);
        let mut sealed = plain.expose().clone().into_bytes();
        let associated = Aad::from(bound.associated());
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        let done = key(pepper, bound.organization)?.seal_in_place_append_tag(nonce_used, associated, &mut sealed);
        if done.is_err() {
            sealed.zeroize();
            return None;
        }
        let mut bytes = nonce.to_vec();
        bytes.append(&mut sealed);
        Some(Self { pepper: pepper.version, bytes })
    }

    /// Opens it. `None` = none of the peppers is its own, it is bound to something else, or it was changed.
    pub fn open(&self, peppers: &[Pepper], bound: &Bound) -> Option<Secret<String>> {
        let pepper = peppers.iter().find(|pepper| pepper.version == self.pepper)?;
        let (nonce, sealed) = self.bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = sealed.to_vec();
        let opened = key(pepper, bound.organization)?.open_in_place(nonce, Aad::from(bound.associated()), &mut bytes);
        let plain = opened.ok().and_then(|plain| std::str::from_utf8(plain).ok()).map(str::to_owned);
        bytes.zeroize();
        plain.map(Secret::new)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealed]")
    }
}

/// The key of an organization: whoever learns one has no other.
fn key(pepper: &Pepper, organization: OrganizationId) -> Option<LessSafeKey> {
    let mut bytes = pepper.derive(&format!("claviger provider credentials\0{organization}"));
    let key = UnboundKey::new(&AES_256_GCM, &bytes).ok().map(LessSafeKey::new);
    bytes.zeroize();
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counted(u8);
    impl Random for Counted {
        fn fill(&mut self, bytes: &mut [u8]) {
            self.0 = self.0.wrapping_add(1);
            bytes.fill(self.0);
        }
    }

    fn bound() -> Bound {
        Bound {
            organization: OrganizationId::from_u128(1),
            provider: ProviderId::from_u128(2),
            origin: "https://api.example:443".to_owned(),
            number: 1,
        }
    }

    #[test]
    fn a_box_opens_only_for_what_it_was_sealed_for() {
        let peppers = [Pepper::new(1, [1; 32]), Pepper::new(2, [2; 32])];
        let plain = Secret::new("sk-upstream-credential".to_owned());
        let sealed = Sealed::seal(&plain, &peppers[1], &bound(), &mut Counted(0)).unwrap();
        assert!(!sealed.bytes().windows(6).any(|window| window == b"sk-ups"), "it is not in the clear");
        assert_eq!(format!("{sealed:?}"), "[sealed]");
        assert_eq!(sealed.open(&peppers, &bound()).unwrap().expose(), "sk-upstream-credential");
        for other in [
            Bound { organization: OrganizationId::from_u128(9), ..bound() },
            Bound { provider: ProviderId::from_u128(9), ..bound() },
            Bound { origin: "https://evil.example:443".to_owned(), ..bound() },
            Bound { origin: "http://api.example:443".to_owned(), ..bound() },
            Bound { number: 2, ..bound() },
        ] {
            assert!(sealed.open(&peppers, &other).is_none(), "{other:?}");
        }
        assert!(sealed.open(&peppers[..1], &bound()).is_none(), "without its pepper");
        assert!(sealed.open(&[Pepper::new(2, [3; 32])], &bound()).is_none(), "with another pepper");
        for place in 0..sealed.bytes().len() {
            let mut bytes = sealed.bytes().to_vec();
            bytes[place] ^= 1;
            assert!(Sealed::from_row(2, bytes).open(&peppers, &bound()).is_none(), "byte {place} changed");
        }
        for length in 0..sealed.bytes().len() {
            let bytes = sealed.bytes()[..length].to_vec();
            assert!(Sealed::from_row(2, bytes).open(&peppers, &bound()).is_none(), "cut at {length}");
        }
    }

    #[test]
    fn equal_credentials_have_different_boxes() {
        let (pepper, plain, mut random) = (Pepper::new(1, [1; 32]), Secret::new("x".repeat(40)), Counted(0));
        let mut seal = || Sealed::seal(&plain, &pepper, &bound(), &mut random).unwrap();
        assert_ne!(seal(), seal());
    }
}
