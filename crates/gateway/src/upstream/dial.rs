//! The one place that opens a connection to another machine (W50): name, address, TCP, TLS, all within one time limit.
//!
//! Where to comes from configuration, or from a provider's row within what the operator allows. A name is asked for once a
//! connection, its addresses are judged by `domain::egress`, and those are the ones that are dialled: what a resolver says
//! a moment later changes nothing. Of two families of addresses the second gets its chance after a moment
//! (RFC 8305), so that a broken IPv6 route costs a quarter of a second and not the request.

use super::connection::{Connection, Stream};
use claviger_domain::egress::Reach;
use claviger_domain::limits;
use http::Uri;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

/// What the family of addresses that the resolver names first is ahead of the other.
const HEAD_START: Duration = Duration::from_millis(250);

/// Places for [`look_up`].
static LOOKUPS: Semaphore = Semaphore::const_new(limits::MEMBERS_LOOKUPS);

/// Where connections go, and how.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    is_tls: bool,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// Connections of those who may go anywhere are never lent to those who may not.
    reach: Reach,
}

impl Origin {
    /// The origin of an `http://` or `https://` address.
    pub(super) fn of(uri: &Uri, reach: Reach) -> Option<Self> {
        let is_tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Some(Self { is_tls, host, port, reach })
    }

    /// As it stands in a `Host` line: the port only where it is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let is_usual = self.port == if self.is_tls { 443 } else { 80 };
        if is_usual { host } else { format!("{host}:{}", self.port) }
    }

    /// Opens a connection within `limit`.
    ///
    /// # Errors
    /// No address, nobody there, not who it should be, or too late.
    pub(super) async fn dial(self: Arc<Self>, limit: Duration) -> io::Result<Connection> {
        let stands = self.connect(limit, async |host, port| match &self.reach {
            Reach::Anywhere => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
            Reach::Guarded(_) => look_up(host, port).await,
        });
        tokio::time::timeout(limit, stands).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// The one question to a resolver, and no other address than those it gave.
    async fn connect(
        &self,
        limit: Duration,
        resolve: impl AsyncFnOnce(&str, u16) -> io::Result<Vec<SocketAddr>>,
    ) -> io::Result<Connection> {
        let addresses = resolve(&self.host, self.port).await?;
        let addresses = self.reach.choose(self.is_tls, addresses);
        let addresses = addresses.map_err(|refused| io::Error::new(io::ErrorKind::PermissionDenied, refused))?;
        let stream = connect(&addresses, limit).await?;
        stream.set_nodelay(true)?;
        if !self.is_tls {
            return Ok(Connection::new(Stream::Plain(stream)));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(tls()?).connect(name, stream).await?;
        Ok(Connection::new(Stream::Tls(Box::new(stream))))
    }
}

/// Looks up a name that a member chose. Its place is free when the resolver is done with it, not when nobody waits any more.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let place = LOOKUPS.acquire().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    #[expect(clippy::disallowed_methods, reason = "the resolver blocks, and its threads are bounded by the places")]
    let asked = tokio::task::spawn_blocking(move || {
        let _place = place;
        Ok((host.as_str(), port).to_socket_addrs()?.collect())
    });
    asked.await?
}

/// The first address that answers.
async fn connect(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.is_ipv6() == is_v6);
    let mut first = pin!(in_turn(first, limit));
    if second.is_empty() {
        return first.await;
    }
    match tokio::time::timeout(HEAD_START, &mut first).await {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(_)) => return in_turn(second, limit).await,
        Err(_) => {}
    }
    let mut second = pin!(in_turn(second, limit));
    tokio::select! {
        stream = &mut first => match stream {
            Ok(stream) => Ok(stream),
            Err(_) => second.await,
        },
        stream = &mut second => match stream {
            Ok(stream) => Ok(stream),
            Err(_) => first.await,
        },
    }
}

/// Tries addresses one after the other; each has its share of the time, so that a dead one does not use it up.
async fn in_turn(addresses: Vec<SocketAddr>, limit: Duration) -> io::Result<TcpStream> {
    let share = u32::try_from(addresses.len()).ok().and_then(|count| limit.checked_div(count)).unwrap_or(limit);
    let mut failed = io::ErrorKind::NotFound.into();
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

/// What we ask of every server behind `https://`: a certificate that the web's roots vouch for.
fn tls() -> io::Result<Arc<ClientConfig>> {
    static TLS: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = TLS.get() {
        return Ok(Arc::clone(config));
    }
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(TLS.get_or_init(|| Arc::new(config))))
}

#[cfg(test)]
mod ssrf;

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Option<(String, String)> {
        let origin = Origin::of(&Uri::try_from(address).unwrap(), Reach::Anywhere)?;
        Some((origin.host.clone(), origin.authority()))
    }

    #[test]
    fn an_origin_is_read_from_the_providers_address_alone() {
        let read = |host: &str, authority: &str| Some((host.to_owned(), authority.to_owned()));
        assert_eq!(origin("http://127.0.0.1:8080/v1"), read("127.0.0.1", "127.0.0.1:8080"));
        assert_eq!(origin("https://api.example/x"), read("api.example", "api.example"));
        assert_eq!(origin("https://api.example:443/x"), read("api.example", "api.example"));
        assert_eq!(origin("https://api.example:80/x"), read("api.example", "api.example:80"));
        assert_eq!(origin("http://[::1]:80/x"), read("::1", "[::1]"));
        assert_eq!(origin("ftp://api.example/"), None);
        assert_eq!(origin("/v1"), None);
    }

    #[tokio::test]
    async fn an_address_without_anybody_does_not_hide_the_next_one() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap();
        let nobody = {
            let closed = tokio::net::TcpListener::bind("[::1]:0").await;
            closed.map_or(SocketAddr::from(([127, 0, 0, 1], 1)), |closed| closed.local_addr().unwrap())
        };
        let limit = Duration::from_secs(5);
        assert_eq!(connect(&[nobody, there], limit).await.unwrap().peer_addr().unwrap(), there);
        assert!(connect(&[nobody], limit).await.is_err());
        assert!(connect(&[], limit).await.is_err());
    }

    #[tokio::test]
    async fn a_connection_stands_in_time_or_not_at_all() {
        // A listener that never answers the handshake of TLS.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}/", listener.local_addr().unwrap());
        let origin = Arc::new(Origin::of(&Uri::try_from(address).unwrap(), Reach::Anywhere).unwrap());
        let late = origin.dial(Duration::from_millis(50)).await.err().unwrap();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn members_names_that_no_resolver_knows_keep_nobody_elses_waiting() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dial = |host: &str, reach: Reach| {
            let address = Uri::try_from(format!("http://{host}:{port}/")).unwrap();
            Arc::new(Origin::of(&address, reach).unwrap()).dial(Duration::from_millis(300))
        };
        let listed = Reach::Guarded(["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()].into());
        let all = LOOKUPS.acquire_many(u32::try_from(limits::MEMBERS_LOOKUPS).unwrap()).await.unwrap();
        let late = dial("localhost", listed.clone()).await.err().unwrap();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut, "there is no place for it");
        assert!(dial("127.0.0.1", listed.clone()).await.is_ok(), "an address asks nobody");
        assert!(dial("localhost", Reach::Anywhere).await.is_ok(), "the operator's names need no place");
        drop(all);
        assert!(dial("localhost", listed).await.is_ok());
        assert_eq!(LOOKUPS.available_permits(), limits::MEMBERS_LOOKUPS);
    }
}
