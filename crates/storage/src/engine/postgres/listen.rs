//! Notifications: a hint to poll now, never relied on. Without them everything happens a poll's period later.

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::time::Duration;
use tokio::sync::watch;

/// Where the trigger of the change feed speaks.
const CHANNEL: &str = "claviger_news";

/// Between two tries to listen.
const PAUSE: Duration = Duration::from_secs(1);

/// A session to listen on.
const CONNECT: Duration = Duration::from_secs(3);

/// Listens for as long as it is polled; counts what it hears.
pub(crate) async fn run(options: PgConnectOptions, heard: &watch::Sender<u64>) {
    loop {
        if let Err(error) = listen(&options, heard).await {
            tracing::debug!(%error, "no notifications for now: {error}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(options: &PgConnectOptions, heard: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let one = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT);
    let pool = one.connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        listener.recv().await?;
        heard.send_modify(|count| *count = count.wrapping_add(1));
    }
}
