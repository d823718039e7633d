//! The one spawner: every task of the data plane is counted here and waited for when the node stops.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Counts what it spawns.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    live: AtomicUsize,
    ended: Notify,
}

impl Tasks {
    /// Runs `future` beside the caller until it ends by itself.
    #[expect(clippy::disallowed_methods, reason = "this is the tracked spawner")]
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.inner.live.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(Arc::clone(&self.inner));
        tokio::spawn(async move {
            let _counted = counted;
            future.await;
        });
    }

    /// Waits until every task has ended.
    pub(crate) async fn ended(&self) {
        loop {
            let ended = self.inner.ended.notified();
            if self.inner.live.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// Counts down when its task ends, also by a panic.
struct Counted(Arc<Inner>);

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.live.fetch_sub(1, Ordering::Release) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}
