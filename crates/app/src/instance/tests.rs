//! A database that comes late.

use super::*;
use std::net::TcpListener;
use std::time::Duration;

/// An address where nobody listens.
fn refused() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}

async fn open(address: &str, patience: Duration) -> (Option<OpenError>, Duration) {
    let clock = MachineClock::new();
    let url = DatabaseUrl::Postgres(format!("postgres://nobody@{address}/none"));
    let opened = open_store(&url, claviger_domain::id::SeatId::from_u128(1), [0; 32].into(), &clock, patience).await;
    (opened.err(), clock.now().monotonic.since(Monotonic(0)))
}

#[tokio::test]
async fn a_server_that_refuses_is_waited_for_as_long_as_the_patience_lasts() {
    let (error, took) = open(&refused(), Duration::from_secs(2)).await;
    assert!(matches!(&error, Some(OpenError::Database(error)) if error.is_unreachable()), "{error:?}");
    assert!((Duration::from_secs(2)..Duration::from_secs(8)).contains(&took), "{took:?}");
    let (error, took) = open(&refused(), Duration::ZERO).await;
    assert!(error.is_some());
    assert!(took < Duration::from_secs(2), "a command does not wait: {took:?}");
}

#[tokio::test]
async fn a_server_that_comes_late_is_asked_again() {
    let address = refused();
    let late = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        // Whoever comes is told at once that the password is wrong: an answer, and no reason to go on waiting.
        let listener = tokio::net::TcpListener::bind(&address).await.expect("the port is still free");
        let (mut client, _) = listener.accept().await.expect("a visitor");
        let mut said = [0; 1024];
        let _ = tokio::io::AsyncReadExt::read(&mut client, &mut said).await;
        // TLS is asked for first.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client, b"N").await;
        let _ = tokio::io::AsyncReadExt::read(&mut client, &mut said).await;
        let fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0";
        let length = u32::try_from(fields.len() + 4).expect("short");
        let answer = [b"E".as_slice(), &length.to_be_bytes(), fields].concat();
        let _ = tokio::io::AsyncWriteExt::write_all(&mut client, &answer).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let ((error, took), ()) = tokio::join!(open(&address, Duration::from_secs(60)), late);
    assert!(matches!(&error, Some(OpenError::Database(error)) if !error.is_unreachable()), "{error:?}");
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&took), "{took:?}");
}
