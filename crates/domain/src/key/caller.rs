//! Who uses a secret: from which network, by what kind of client (`keys.md` §3, §4).
//!
//! A network and not an address, the first product of a user agent and not all of it: enough to know one's own callers,
//! too little to follow a person. Where callers are counted and kept is not known here.

use crate::id::SecretId;
use crate::limits;
use crate::time::Timestamp;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A /24 of IPv4 or a /48 of IPv6; an IPv4 address written as IPv6 is the IPv4 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network(IpAddr);

/// The first 24 of 32 bits.
const V4: u32 = 0xFFFF_FF00;

/// The first 48 of 128 bits.
const V6: u128 = 0xFFFF_FFFF_FFFF_0000_0000_0000_0000_0000;

impl Network {
    /// The network of an address.
    pub const fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & V4)),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & V6)),
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, if self.0.is_ipv4() { 24 } else { 48 })
    }
}

/// What a client calls itself: at most 40 characters of the first product of its user agent.
pub fn client_of(user_agent: &str) -> &str {
    let product = user_agent.split(' ').next().unwrap_or_default();
    let end = product.char_indices().nth(limits::CLIENT_CHARACTERS).map_or(product.len(), |(at, _)| at);
    product.get(..end).unwrap_or_default()
}

/// Whether a caller is one that the owners of a key should hear of: unseen for 30 days, of a key that is a day old and so
/// has found its users.
pub fn is_new(key_made_at: Timestamp, last_seen: Option<Timestamp>, now: Timestamp) -> bool {
    let is_grown = now >= key_made_at.plus(limits::NEW_CALLER_KEY_AGE);
    is_grown && last_seen.is_none_or(|at| now >= at.plus(limits::NEW_CALLER_UNSEEN))
}

/// One caller of one secret, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCaller {
    /// The secret that it uses.
    pub secret: SecretId,
    /// From where, as [`Network`] prints it.
    pub network: String,
    /// What it calls itself; empty if it does not.
    pub client: String,
    /// When it first came.
    pub first_seen: Timestamp,
    /// When it last came; at most 15 s late.
    pub last_seen: Timestamp,
    /// How often, refusals included.
    pub requests: u64,
    /// The model it asked for last.
    pub last_model: Option<String>,
    /// The status it was answered last.
    pub last_status: Option<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_caller_is_a_network_and_a_product() {
        for (address, network) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:1:2::9", "2001:db8:1::/48"),
        ] {
            assert_eq!(Network::of(address.parse().unwrap()).to_string(), network);
        }
        assert_eq!(client_of("OpenAI/Python 1.40.0 (x)"), "OpenAI/Python");
        assert_eq!(client_of(""), "");
        assert_eq!(client_of(&"ü".repeat(50)), "ü".repeat(40));
    }

    #[test]
    fn new_is_who_was_not_seen_for_30_days_once_the_key_is_a_day_old() {
        let day = |days: u64| Timestamp(0).plus(Duration::from_secs(days * 24 * 3600));
        assert!(!is_new(day(0), None, Timestamp(day(1).0 - 1)), "a young key meets its users");
        assert!(is_new(day(0), None, day(1)));
        assert!(!is_new(day(0), Some(day(10)), day(39)));
        assert!(is_new(day(0), Some(day(10)), day(40)));
    }
}
