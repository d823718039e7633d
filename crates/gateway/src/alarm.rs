//! One reusable timer for many deadlines.
//!
//! The timer is moved only when it must fire earlier or has fired too early, so that busy connections and streams do
//! not touch the runtime's timer wheel for every piece.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// The runtime's own instant, for its own timers.
#[expect(clippy::disallowed_methods, reason = "deadlines of the runtime's timers are on the runtime's clock")]
pub(crate) fn instant_now() -> Instant {
    Instant::now()
}

/// The instant `duration` from now.
pub(crate) fn instant_in(duration: Duration) -> Instant {
    let now = instant_now();
    now.checked_add(duration).unwrap_or(now)
}

/// A timer made on first use.
#[derive(Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready when `deadline` has passed.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(context).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// As [`Self::poll`], for a deadline that only moves away: it is asked for when the timer is made or has fired, and
    /// not each time somebody looks.
    pub(crate) fn poll_receding(&mut self, context: &mut Context<'_>, deadline: impl Fn() -> Instant) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline())));
        while timer.as_mut().poll(context).is_ready() {
            let deadline = deadline();
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// What `future` gives, or `None` once `deadline` has passed; the future is not polled any more then.
    pub(crate) async fn guard<F: Future>(&mut self, deadline: Instant, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            self.poll(context, deadline).map(|()| None)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deadline_ends_a_wait_and_the_alarm_serves_again() {
        let mut alarm = Alarm::default();
        let soon = Duration::from_millis(20);
        assert_eq!(alarm.guard(instant_in(Duration::from_secs(60)), async { 7 }).await, Some(7));
        assert_eq!(alarm.guard(instant_in(soon), std::future::pending::<u8>()).await, None);
        assert_eq!(alarm.guard(instant_in(soon), std::future::pending::<u8>()).await, None, "moved later after firing");
    }

    #[tokio::test]
    async fn a_deadline_that_recedes_is_looked_at_when_the_timer_fires() {
        let mut alarm = Alarm::default();
        let asked = std::cell::Cell::new(0);
        let begun = instant_now();
        let deadline = || {
            asked.set(asked.get() + 1);
            begun + Duration::from_millis(if asked.get() == 1 { 20 } else { 60 })
        };
        std::future::poll_fn(|context| alarm.poll_receding(context, deadline)).await;
        assert!(begun.elapsed() >= Duration::from_millis(60));
        assert!(asked.get() <= 4, "{}", asked.get());
    }
}
