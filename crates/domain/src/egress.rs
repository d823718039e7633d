//! Where a connection may go when somebody other than the operator named the place: providers of organizations, webhooks,
//! callbacks of tasks (`reliability.md` P18, `wire.md` W50).
//!
//! Two steps, and both are needed. [`Destination::parse`] reads the address strictly, so that no two parsers can disagree
//! on its host. [`Reach::choose`] judges the addresses that the name has, all of them, at the moment of dialling; whoever
//! dials connects to what it gives back and asks no resolver again, so a name that changes its mind is caught. Redirects
//! are nobody's business here: who follows none needs no rule for them. Sockets and resolvers are not known here; the
//! dialler of the gateway and the one of the binary (`https.rs`) both ask this file.

use crate::address::Cidr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Bytes of an address; what is longer is no base URL.
const URL_BYTES: usize = 2048;

/// Networks of IPv4 that are nobody's on the open internet (IANA special-purpose registry, RFC 6890), and the address at
/// which Azure answers questions of its machines.
const CLOSED_V4: &[([u8; 4], u8)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([168, 63, 129, 16], 32),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 3),
];

/// The one part of IPv6 that is routed between networks (RFC 4291 §2.4).
const OPEN_V6: (u16, u8) = (0x2000, 3);

/// What in it is special all the same: protocol assignments with Teredo and ORCHID, documentation, 6to4. Those that carry
/// an IPv4 address would reach it by another road.
const CLOSED_V6: &[([u16; 2], u8)] = &[([0x2001, 0], 23), ([0x2001, 0x0db8], 32), ([0x2002, 0], 16), ([0x3fff, 0], 20)];

/// An `http://` or `https://` address, read so strictly that everybody reads it alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    is_tls: bool,
    host: Host,
    port: u16,
    /// Empty, or begins with `/` and does not end with one.
    path: String,
}

/// The host of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    /// In lower case.
    Name(String),
}

/// Why a text is no destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDestination {
    /// Another scheme, or none.
    #[error("begins with https:// or http://")]
    Scheme,
    /// A user, a query or a fragment.
    #[error("holds no user, no query and no fragment")]
    Extra,
    /// Neither an address as everybody writes it nor a name.
    #[error(
        "names a host: a DNS name in ASCII, an IPv4 address of four decimal numbers, or an IPv6 address in brackets"
    )]
    Host,
    /// Not 1 to 65535.
    #[error("has a port from 1 to 65535, or none")]
    Port,
    /// A path that servers read differently, or an address that is too long.
    #[error("has a plain path, without dot segments, escapes or spaces, and at most 2048 bytes in all")]
    Path,
}

impl Destination {
    /// Reads an address.
    ///
    /// # Errors
    /// [`InvalidDestination`]: one of its sentences completes "the address …".
    pub fn parse(text: &str) -> Result<Self, InvalidDestination> {
        let (is_tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(InvalidDestination::Scheme),
        };
        if text.len() > URL_BYTES {
            return Err(InvalidDestination::Path);
        }
        if rest.contains(['@', '?', '#']) {
            return Err(InvalidDestination::Extra);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority)?;
        let port = match port {
            None if is_tls => 443,
            None => 80,
            Some(port) => read_port(port).ok_or(InvalidDestination::Port)?,
        };
        let path = path.trim_end_matches('/');
        if !is_plain_path(path) {
            return Err(InvalidDestination::Path);
        }
        Ok(Self { is_tls, host, port, path: path.to_owned() })
    }

    /// The same place with a path that has lost this end, if it has it: base URLs come with and without `/v1`.
    #[must_use]
    pub fn without_end(mut self, end: &str) -> Self {
        if let Some(rest) = self.path.strip_suffix(end) {
            self.path = rest.trim_end_matches('/').to_owned();
        }
        self
    }

    /// Scheme, host and port, always written out: what a credential is bound to.
    pub fn origin(&self) -> String {
        format!("{}://{}:{}", self.scheme(), self.host, self.port)
    }

    /// The address, in one form for all ways to write it.
    pub fn url(&self) -> String {
        let is_usual = self.port == if self.is_tls { 443 } else { 80 };
        let port = if is_usual { String::new() } else { format!(":{}", self.port) };
        format!("{}://{}{port}{}", self.scheme(), self.host, self.path)
    }

    const fn scheme(&self) -> &'static str {
        if self.is_tls { "https" } else { "http" }
    }

    /// What can be said against it before any name is looked up: its scheme and port, and its host if that is an address.
    /// A name is judged at every dialling.
    ///
    /// # Errors
    /// [`OutOfReach`].
    pub fn check(&self, reach: &Reach) -> Result<(), OutOfReach> {
        match self.host {
            Host::Address(address) => reach.judge(self.is_tls, SocketAddr::new(address, self.port)),
            // In some network that the operator lists this port and the bare scheme may be lawful.
            Host::Name(_) if reach.lists_any() => Ok(()),
            Host::Name(_) => reach.judge_manner(self.is_tls, self.port),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

fn host_and_port(authority: &str) -> Result<(Host, Option<&str>), InvalidDestination> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, behind) = rest.split_once(']').ok_or(InvalidDestination::Host)?;
        // A zone id would be a place on this machine; the parser of the standard library refuses it.
        let address: Ipv6Addr = address.parse().map_err(|_| InvalidDestination::Host)?;
        let port = match behind {
            "" => None,
            behind => Some(behind.strip_prefix(':').ok_or(InvalidDestination::Port)?),
        };
        return Ok((Host::Address(IpAddr::V6(address)), port));
    }
    let (host, port) = match authority.split_once(':') {
        None => (authority, None),
        Some((host, port)) => (host, Some(port)),
    };
    match host.parse::<Ipv4Addr>() {
        Ok(address) => Ok((Host::Address(IpAddr::V4(address)), port)),
        Err(_) if is_name(host) => Ok((Host::Name(host.to_ascii_lowercase()), port)),
        Err(_) => Err(InvalidDestination::Host),
    }
}

/// Whether it is a DNS name. One whose last label is a number is refused: resolvers take `127.1`, `0x7f.1`, `017700000001`
/// and `2130706433` for addresses (WHATWG URL §3.5).
fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    (1..=253).contains(&host.len()) && host.split('.').all(is_label) && !is_number
}

fn read_port(text: &str) -> Option<u16> {
    let is_plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

fn is_plain_path(path: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:".contains(&byte);
    path.bytes().all(is_plain)
        && path.split('/').skip(1).all(|segment| !segment.is_empty() && segment != "." && segment != "..")
}

/// How far connections may go.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// Anywhere: the operator's own configuration named the place.
    #[default]
    Anywhere,
    /// The open internet over TLS, and the networks that the operator lists (`providers.allow_private`).
    Guarded(Arc<[Cidr]>),
}

/// Why a place is not reached. No sentence names an address: what a name of the inside resolves to is nobody's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfReach {
    /// The name has no address.
    #[error("the name has no address")]
    Nowhere,
    /// Without TLS outside the listed networks.
    #[error("only https:// leaves the networks that the operator lists in providers.allow_private")]
    Bare,
    /// A port below 1024 that is not 443.
    #[error("outside the networks that the operator lists only port 443 and ports from 1024 on are asked")]
    Port,
    /// A private, loopback or otherwise special network.
    #[error("the address is private or special, and the operator does not list its network in providers.allow_private")]
    Closed,
}

impl Reach {
    /// The addresses of a name as they may be dialled: all of them, or none. A name that has one address inside and one
    /// outside is refused whole, since the order of answers is not ours.
    ///
    /// # Errors
    /// [`OutOfReach`], of the first address that is.
    pub fn choose(
        &self,
        is_tls: bool,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> Result<Vec<SocketAddr>, OutOfReach> {
        let addresses: Vec<SocketAddr> = addresses.into_iter().collect();
        if addresses.is_empty() {
            return Err(OutOfReach::Nowhere);
        }
        addresses.iter().try_for_each(|address| self.judge(is_tls, *address))?;
        Ok(addresses)
    }

    fn judge(&self, is_tls: bool, address: SocketAddr) -> Result<(), OutOfReach> {
        match self {
            Self::Anywhere => Ok(()),
            Self::Guarded(listed) if listed.iter().any(|network| network.contains(address.ip())) => Ok(()),
            Self::Guarded(_) if !is_open(address.ip()) => Err(OutOfReach::Closed),
            Self::Guarded(_) => self.judge_manner(is_tls, address.port()),
        }
    }

    fn judge_manner(&self, is_tls: bool, port: u16) -> Result<(), OutOfReach> {
        match self {
            Self::Anywhere => Ok(()),
            Self::Guarded(_) if !is_tls => Err(OutOfReach::Bare),
            // Mail, databases and shells of others are not to be talked to in HTTP.
            Self::Guarded(_) if port != 443 && port < 1024 => Err(OutOfReach::Port),
            Self::Guarded(_) => Ok(()),
        }
    }

    fn lists_any(&self) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Guarded(listed) => !listed.is_empty(),
        }
    }
}

/// Whether an address is one of the open internet. IPv4 written as IPv6 is IPv4.
fn is_open(address: IpAddr) -> bool {
    let is_in = |network: IpAddr, length: u8| Cidr::new(network, length).is_ok_and(|network| network.contains(address));
    match address.to_canonical() {
        IpAddr::V4(_) => !CLOSED_V4.iter().any(|(network, length)| is_in(IpAddr::from(*network), *length)),
        IpAddr::V6(_) => {
            let of = |[first, second]: [u16; 2]| IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0));
            is_in(of([OPEN_V6.0, 0]), OPEN_V6.1)
                && !CLOSED_V6.iter().any(|(network, length)| is_in(of(*network), *length))
        }
    }
}

#[cfg(test)]
mod tests;
