//! Whose address a request comes from, and whether a list of networks contains it (`keys.md` §5, `reliability.md` E9).
//!
//! The client is the peer. Only when the peer is a trusted proxy does a header count, and of it the right-most entry
//! that is no trusted proxy: everything to the left of that was written by whoever sent it. An entry that cannot be
//! read before one is found makes the client unknown, so that a list refuses it. IPv4 written as IPv6 is IPv4. Which
//! lists exist is not known here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Entries of a forwarding header that are read, from the right; no chain of trusted proxies is longer.
const ENTRIES_MAX: usize = 32;

/// A network: an address and how many of its leading bits count. Its other bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cidr {
    network: IpAddr,
    length: u8,
}

/// A text that is no network: neither an IPv4 or IPv6 address nor one with `/` and its length. Zone ids are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an IP address or network such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32")]
pub struct InvalidCidr;

impl Cidr {
    /// The network of the `length` leading bits of `address`; IPv4 written as IPv6 becomes IPv4.
    ///
    /// # Errors
    /// [`InvalidCidr`] when the address has fewer bits, or fewer than 96 are asked of IPv4 written as IPv6.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, InvalidCidr> {
        let canonical = address.to_canonical();
        let is_mapped = canonical.is_ipv4() && address.is_ipv6();
        let length = if is_mapped { length.checked_sub(96).ok_or(InvalidCidr)? } else { length };
        masked(canonical, length).map(|network| Self { network, length }).ok_or(InvalidCidr)
    }

    /// Whether the other network lies in this one, whole.
    pub fn covers(&self, other: &Self) -> bool {
        self.length <= other.length && self.contains(other.network)
    }

    /// Whether the address lies in the network.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.length) == Some(self.network)
    }
}

/// The address with everything behind its `length` leading bits zero; `None` if it has fewer.
fn masked(address: IpAddr, length: u8) -> Option<IpAddr> {
    let kept = u32::from(length);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(kept)?).unwrap_or(0);
            Some(IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask)))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(kept)?).unwrap_or(0);
            Some(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask)))
        }
    }
}

impl FromStr for Cidr {
    type Err = InvalidCidr;

    fn from_str(text: &str) -> Result<Self, InvalidCidr> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(plain_number(length).ok_or(InvalidCidr)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidCidr)?;
        Self::new(address, length.unwrap_or(if address.is_ipv4() { 32 } else { 128 }))
    }
}

/// Digits without sign or leading zero: what every reader understands alike.
fn plain_number(text: &str) -> Option<u8> {
    let is_plain = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if is_plain { text.parse().ok() } else { None }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.network.is_ipv4() { 32 } else { 128 };
        if self.length == whole { write!(f, "{}", self.network) } else { write!(f, "{}/{}", self.network, self.length) }
    }
}

/// Which header trusted proxies write the client into; one of them, chosen by the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardingHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl ForwardingHeader {
    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }

    /// The header of this name, in lower case.
    pub fn named(name: &str) -> Option<Self> {
        [Self::XForwardedFor, Self::Forwarded].into_iter().find(|header| header.name() == name)
    }
}

/// Who sent a request, as far as it can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// This address; IPv4 never as IPv6.
    Known(IpAddr),
    /// A trusted proxy says something that cannot be read. Whoever has a list is refused.
    Unknown,
}

/// The client of a request from `peer` whose forwarding header has these lines, in order of arrival.
pub fn client_address<'a>(
    peer: IpAddr,
    trusted: &[Cidr],
    header: ForwardingHeader,
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> ClientAddress {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return ClientAddress::Known(peer);
    }
    let mut nearest = peer;
    let mut read = 0_usize;
    for line in lines.rev() {
        let Ok(line) = std::str::from_utf8(line) else { return ClientAddress::Unknown };
        for entry in elements(line, header).into_iter().rev() {
            read = read.saturating_add(1);
            let address = match header {
                _ if read > ENTRIES_MAX => None,
                ForwardingHeader::XForwardedFor => node(entry),
                ForwardingHeader::Forwarded => forwarded_for(entry),
            };
            match address {
                Some(address) if is_trusted(address) => nearest = address,
                Some(address) => return ClientAddress::Known(address),
                None => return ClientAddress::Unknown,
            }
        }
    }
    // Every hop is a proxy of the operator's: the farthest of them is the client.
    ClientAddress::Known(nearest)
}

/// The elements of a line, split at commas; empty ones do not count (RFC 9110 §5.6.1). Commas within quotes separate
/// nothing where the header has quotes; a quote that is never closed reaches to the end, so that the last element,
/// which the nearest proxy wrote, becomes unreadable rather than anything a sender chose.
fn elements(line: &str, header: ForwardingHeader) -> Vec<&str> {
    let has_quotes = header == ForwardingHeader::Forwarded;
    split_outside_quotes(line, ',', has_quotes).into_iter().filter(|element| !element.is_empty()).collect()
}

/// Splits where no quotes are open; what is between is trimmed.
fn split_outside_quotes(text: &str, separator: char, has_quotes: bool) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(|character: char| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match character {
            '\\' if is_quoted => is_escaped = true,
            '"' if has_quotes => is_quoted = !is_quoted,
            _ => return character == separator && !is_quoted,
        }
        false
    });
    parts.map(|part| part.trim_matches([' ', '\t'])).collect()
}

/// The one `for=` of an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in split_outside_quotes(element, ';', true) {
        let (name, value) = pair.split_once('=')?;
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
    }
    let value = found?;
    match value.strip_prefix('"') {
        Some(quoted) => node(quoted.strip_suffix('"')?),
        None => node(value),
    }
}

/// An address, alone or with a port; IPv6 with a port is in brackets. Names, `unknown` and zone ids are no addresses.
fn node(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || {
        let address: SocketAddr = text.parse().ok()?;
        (!text.contains('%')).then(|| address.ip())
    };
    let address = text.parse().ok().or_else(bracketed).or_else(with_port)?;
    Some(IpAddr::to_canonical(&address))
}

/// Why lists of addresses refuse a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressRefused {
    /// It is denied, or not among those allowed.
    NotAllowed(IpAddr),
    /// There is a list, and nobody knows who the client is.
    Unknown,
}

/// Holds a client against what is denied, which is judged first, and what is allowed. No list restricts nothing.
///
/// # Errors
/// [`AddressRefused`].
pub fn check_lists(
    denied: Option<&[Cidr]>,
    allowed: Option<&[Cidr]>,
    client: ClientAddress,
) -> Result<(), AddressRefused> {
    if denied.is_none() && allowed.is_none() {
        return Ok(());
    }
    let ClientAddress::Known(address) = client else { return Err(AddressRefused::Unknown) };
    let is_in = |list: &[Cidr]| list.iter().any(|network| network.contains(address));
    if denied.is_some_and(is_in) || allowed.is_some_and(|list| !is_in(list)) {
        return Err(AddressRefused::NotAllowed(address));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
