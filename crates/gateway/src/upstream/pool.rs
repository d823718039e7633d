//! Idle connections of one origin, the freshest first.
//!
//! Bounded in number and in age; what the other side has ended is not handed out. A sweep closes what nobody asks for,
//! so that a quiet node holds nothing.

use super::connection::Connection;
use super::dial::Origin;
use claviger_domain::limits;
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Instant;

/// The connections that wait for a request.
pub(super) struct Pool {
    pub(super) origin: Arc<Origin>,
    /// The longest idle ones first.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(origin: Origin) -> Self {
        Self { origin: Arc::new(origin), idle: Mutex::default() }
    }

    /// A connection that can be used at once.
    pub(super) fn take(&self, now: Instant) -> Option<Connection> {
        let mut idle = self.idle.lock();
        while let Some(mut freshest) = idle.pop() {
            if is_usable(&mut freshest, now) {
                freshest.connection.is_reused = true;
                return Some(freshest.connection);
            }
        }
        None
    }

    /// Takes a connection back behind a whole reply.
    pub(super) fn put(&self, connection: Connection, now: Instant) {
        let mut idle = self.idle.lock();
        if idle.len() < limits::IDLE_UPSTREAM_CONNECTIONS {
            idle.push(Idle { connection, since: now });
        }
    }

    /// Closes what is too old or was ended by the other side; whether none is left.
    pub(super) fn sweep(&self, now: Instant) -> bool {
        let mut idle = self.idle.lock();
        idle.retain_mut(|idle| is_usable(idle, now));
        idle.is_empty()
    }

    /// Closes all: the server ended one that had looked alive, so it has likely ended the others too.
    pub(super) fn clear(&self) {
        let closed = std::mem::take(&mut *self.idle.lock());
        drop(closed);
    }
}

fn is_usable(idle: &mut Idle, now: Instant) -> bool {
    now.saturating_duration_since(idle.since) < limits::IDLE_UPSTREAM && idle.connection.is_quiet()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarm::instant_now;
    use claviger_domain::egress::Reach;
    use http::Uri;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (Arc<Pool>, Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Uri::try_from(format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let pool = Arc::new(Pool::new(Origin::of(&address, Reach::Anywhere).unwrap()));
        let connection = Arc::clone(&pool.origin).dial(Duration::from_secs(5)).await.unwrap();
        let (other, _) = listener.accept().await.unwrap();
        (pool, connection, other)
    }

    #[tokio::test]
    async fn an_idle_connection_serves_again_until_it_is_old() {
        let (pool, connection, _other) = pair().await;
        assert!(!connection.is_reused);
        let now = instant_now();
        pool.put(connection, now);
        assert!(!pool.sweep(now));
        let connection = pool.take(now).unwrap();
        assert!(connection.is_reused);
        assert!(pool.take(now).is_none(), "it is handed out once");
        pool.put(connection, now);
        assert!(pool.take(now + limits::IDLE_UPSTREAM).is_none());
    }

    #[tokio::test]
    async fn a_connection_that_the_server_ended_or_spoke_on_is_not_handed_out() {
        for is_ended in [true, false] {
            let (pool, connection, mut other) = pair().await;
            let now = instant_now();
            pool.put(connection, now);
            if is_ended {
                drop(other);
            } else {
                other.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            }
            // The news needs a moment to come over loopback.
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(pool.sweep(now));
            assert!(pool.take(now).is_none());
        }
    }

    #[tokio::test]
    async fn what_nobody_asks_for_is_closed_by_the_sweep() {
        let (pool, connection, other) = pair().await;
        let now = instant_now();
        pool.put(connection, now);
        assert!(pool.sweep(now + limits::IDLE_UPSTREAM));
        let mut end = [0_u8; 1];
        let read = tokio::time::timeout(Duration::from_secs(5), other.readable()).await;
        assert!(read.is_ok() && other.try_read(&mut end).is_ok_and(|read| read == 0));
    }
}
