//! Typed ids with readable prefixes; the one list of kinds.
//!
//! An id is `<kind>_` and 22 base62 symbols of a UUIDv7, big-endian, so that id order is time order (`keys.md` §3).
//! Keys are the exception: `key_` and the 12 public characters of the key's own text. What an id points to is not
//! known here. Parsing is strict: length, alphabet, below 2¹²⁸.

use crate::base62;
use crate::time::{Random, Timestamp};
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::str::FromStr;

/// A text that is not an id of the expected kind. Publicly the same as an unknown object: 404.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed id")]
pub struct MalformedId;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = concat!($prefix, "_");

            /// A fresh id: UUIDv7 (RFC 9562 §5.7) of `at` in milliseconds and 74 random bits.
            pub fn generate(at: Timestamp, random: &mut dyn Random) -> Self {
                Self(uuid_v7(at, random))
            }

            /// The id's 128 bits.
            pub const fn to_u128(self) -> u128 {
                self.0
            }

            /// The id of these 128 bits, for rows and tests.
            pub const fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            /// The same 128 bits as the hyphenated text of a UUID (RFC 9562 §4), for servers that take nothing else.
            pub fn uuid(self) -> String {
                let hex = format!("{:032x}", self.0);
                let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
                format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
            }

            /// The 22 symbols behind the prefix.
            pub fn symbols(self) -> [u8; 22] {
                base62::encode_u128(self.0)
            }
        }

        impl $name {
            /// Its text, without an allocation.
            pub fn text(self) -> IdText<{ Self::PREFIX.len() + 22 }> {
                IdText::of(Self::PREFIX, &self.symbols())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = MalformedId;

            fn from_str(text: &str) -> Result<Self, MalformedId> {
                let symbols = text.strip_prefix(Self::PREFIX).ok_or(MalformedId)?;
                if symbols.len() != 22 {
                    return Err(MalformedId);
                }
                base62::decode_u128(symbols.as_bytes()).map(Self).ok_or(MalformedId)
            }
        }
    )*};
}

ids! {
    /// A tenant.
    OrganizationId = "org";
    /// A person.
    UserId = "usr";
    /// A signed-in browser.
    SessionId = "ses";
    /// Somebody asked to join.
    InviteId = "inv";
    /// A passkey of a person.
    PasskeyId = "pky";
    /// A sealed text left for somebody else.
    HandoverId = "hnd";
    /// A grouping of keys inside an organization.
    EnvironmentId = "env";
    /// A machine that owns keys.
    AgentId = "agt";
    /// Whom an agent trusts.
    TrustId = "trs";
    /// A source of models.
    RegistryId = "reg";
    /// A model server of an organization, or one that the operator keeps in the database.
    ProviderId = "prv";
    /// One credential of a key.
    SecretId = "sec";
    /// One administrative act.
    AuditId = "aud";
    /// One proxied request.
    RequestId = "req";
    /// Work that outlives the call which asked for it.
    TaskId = "task";
    /// The answer to a request, which its server keeps: the request's own bits.
    ResponseId = "resp";
    /// One funding of a wallet by an operator.
    GrantId = "grt";
    /// One immutable price version of one model.
    PriceVersionId = "pv";
    /// One start of a node.
    NodeId = "nod";
    /// A data directory that nodes start in: what one leaves behind belongs to the next.
    SeatId = "seat";
}

/// A key: `key_` and the 12 public characters that also stand in the key's text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 12]);

impl KeyId {
    /// What every key id begins with.
    pub const PREFIX: &'static str = "key_";

    /// Twelve zeros, where a value is needed and no key is meant.
    pub const ZEROS: Self = Self([b'0'; 12]);

    /// Draws 12 symbols without bias: one byte each, bytes of 248 and above are drawn again.
    pub fn generate(random: &mut dyn Random) -> Self {
        let mut symbols = [b'0'; 12];
        for slot in &mut symbols {
            let mut byte = [u8::MAX];
            while byte[0] >= 248 {
                random.fill(&mut byte);
            }
            *slot = base62::ALPHABET.get(usize::from(byte[0] % 62)).copied().unwrap_or(b'0');
        }
        Self(symbols)
    }

    /// The id of these 12 symbols; `None` if one is not base62.
    pub fn from_symbols(symbols: &[u8]) -> Option<Self> {
        let array: [u8; 12] = symbols.try_into().ok()?;
        array.iter().all(|byte| base62::is_symbol(*byte)).then_some(Self(array))
    }

    /// The 12 symbols.
    pub const fn symbols(&self) -> &[u8; 12] {
        &self.0
    }

    /// Its text, without an allocation.
    pub fn text(self) -> IdText<{ Self::PREFIX.len() + 12 }> {
        IdText::of(Self::PREFIX, &self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = MalformedId;

    fn from_str(text: &str) -> Result<Self, MalformedId> {
        text.strip_prefix(Self::PREFIX).and_then(|symbols| Self::from_symbols(symbols.as_bytes())).ok_or(MalformedId)
    }
}

/// The text of an id, in place.
#[derive(Clone, Copy)]
pub struct IdText<const N: usize>([u8; N]);

impl<const N: usize> IdText<N> {
    fn of(prefix: &str, symbols: &[u8]) -> Self {
        let mut text = [b'0'; N];
        let (before, behind) = text.split_at_mut(prefix.len().min(N));
        before.copy_from_slice(prefix.as_bytes());
        behind.copy_from_slice(symbols);
        Self(text)
    }
}

impl<const N: usize> fmt::Debug for IdText<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl<const N: usize> std::ops::Deref for IdText<N> {
    type Target = str;

    fn deref(&self) -> &str {
        // Letters and digits only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// A map by ids. Ours are random where they are told apart, and only ids that we made are ever put in; so whoever presents
/// one he made up cannot choose what it collides with, and a hash against such choices would be paid for nothing.
pub type IdMap<I, T> = HashMap<I, T, BuildHasherDefault<IdHasher>>;

/// Folds the bytes of an id.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl IdHasher {
    /// An odd number without pattern: 2⁶⁴ over the golden ratio.
    const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

    fn fold(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(Self::FACTOR).rotate_left(29);
    }
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0.wrapping_mul(Self::FACTOR)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (slot, byte) in word.iter_mut().zip(chunk) {
                *slot = *byte;
            }
            self.fold(u64::from_le_bytes(word));
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length of an array says nothing: all ids of a map have the same.
    }

    fn write_u128(&mut self, bits: u128) {
        let low = bits & u128::from(u64::MAX);
        self.fold(u64::try_from(low).unwrap_or(0));
        self.fold(u64::try_from(bits >> 64).unwrap_or(0));
    }
}

fn uuid_v7(at: Timestamp, random: &mut dyn Random) -> u128 {
    let mut tail = [0_u8; 16];
    random.fill(&mut tail);
    let milliseconds = u128::try_from(at.0.max(0) / 1000).unwrap_or(0) & 0xFFFF_FFFF_FFFF;
    let noise = u128::from_be_bytes(tail);
    let version = 0x7_u128 << 76;
    let variant = 0b10_u128 << 62;
    (milliseconds << 80) | version | (noise & (0xFFF << 64)) | variant | (noise & 0x3FFF_FFFF_FFFF_FFFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Random for Fixed {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(0xA5);
        }
    }

    #[test]
    fn an_id_is_the_base62_text_of_its_uuid() {
        let id = OrganizationId::from_u128(0x0193_a4c1_f2a0_7def_8123_4567_89ab_cdef);
        assert_eq!(id.to_string(), "org_02ySrtXBu4uNkDWuMGYrnD");
        assert_eq!("org_02ySrtXBu4uNkDWuMGYrnD".parse(), Ok(id));
        assert_eq!(id.uuid(), "0193a4c1-f2a0-7def-8123-456789abcdef");
    }

    #[test]
    fn parsing_is_strict() {
        for text in [
            "",
            "org_",
            "usr_02ySrtXBu4uNkDWuMGYrnD",
            "org_02ySrtXBu4uNkDWuMGYrn",
            "org_zzzzzzzzzzzzzzzzzzzzzz",
            "org_02ySrtXBu4uNkDWuMGYrn-",
        ] {
            assert_eq!(text.parse::<OrganizationId>(), Err(MalformedId), "{text}");
        }
        assert!("key_0000000000AZ".parse::<KeyId>().is_ok());
        assert!("key_0000000000A".parse::<KeyId>().is_err());
    }

    #[test]
    fn ids_spread_over_a_map() {
        use std::hash::{BuildHasher as _, Hash};
        fn spread(ids: impl Iterator<Item = impl Hash>) -> (usize, usize) {
            let build = BuildHasherDefault::<IdHasher>::default();
            let hashes: Vec<u64> = ids.map(|id| build.hash_one(id)).collect();
            let distinct = |part: fn(u64) -> u64| {
                hashes.iter().map(|hash| part(*hash)).collect::<std::collections::HashSet<_>>().len()
            };
            // The bits by which a table chooses a bucket, and those by which it tells neighbours apart.
            (distinct(|hash| hash & 0xFFFF), distinct(|hash| hash >> 57))
        }
        // Even ids that differ in one symbol, or follow one another: ours differ in more.
        let keys = (0..4096_u32).map(|n| KeyId::from_symbols(format!("000000{n:06}").as_bytes()).unwrap());
        let requests = (0..4096_u128).map(|n| RequestId::from_u128((0x0193_a4c1 << 96) | n));
        for (low, high) in [spread(keys), spread(requests)] {
            assert!(low > 3500 && high > 120, "{low} {high}");
        }
    }

    #[test]
    fn id_order_is_time_order() {
        let early = RequestId::generate(Timestamp::from_seconds(10), &mut Fixed);
        let late = RequestId::generate(Timestamp::from_seconds(11), &mut Fixed);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!((early.to_u128() >> 76) & 0xF, 7);
    }
}
