//! An answer as straight async code, pulled by hyper: no task, no channel (`traps.md` §3).
//!
//! The future fills a slot and is pending once; hyper polls again for the next piece. So what happens between two
//! pieces, settlement included, reads top to bottom, and back-pressure is hyper's own.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The answer ends here without its last piece: the connection is cut.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut")]
pub struct Cut;

type Run = Pin<Box<dyn Future<Output = Result<(), Cut>> + Send>>;

/// The body of an answer: whole, or made by a future.
pub struct Flow {
    kind: Kind,
    on_taken: Option<OnTaken>,
}

enum Kind {
    Whole(Option<Bytes>),
    Running { slot: Arc<Mutex<Option<Bytes>>>, run: Run, is_over: bool },
}

type OnTaken = Box<dyn FnOnce() + Send>;

/// Where the future puts its pieces.
pub(crate) struct Out(Arc<Mutex<Option<Bytes>>>);

impl Out {
    /// Hands one piece to hyper and returns when hyper has asked for the next.
    pub(crate) async fn send(&self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        *self.0.lock() = Some(piece);
        let mut is_polled = false;
        std::future::poll_fn(|_| {
            if is_polled && self.0.lock().is_none() {
                return Poll::Ready(());
            }
            is_polled = true;
            // No waker: the piece in the slot makes hyper poll again.
            Poll::Pending
        })
        .await;
    }
}

impl Flow {
    /// An answer that is there.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self { kind: Kind::Whole((!bytes.is_empty()).then_some(bytes)), on_taken: None }
    }

    /// An answer in the making.
    pub(crate) fn running<F>(make: impl FnOnce(Out) -> F) -> Self
    where
        F: Future<Output = Result<(), Cut>> + Send + 'static,
    {
        let slot = Arc::new(Mutex::new(None));
        let run = Box::pin(make(Out(Arc::clone(&slot))));
        Self { kind: Kind::Running { slot, run, is_over: false }, on_taken: None }
    }

    /// Runs `act` when hyper takes the whole answer; if the client is gone before, `act` is dropped unrun.
    pub(crate) fn on_taken(mut self, act: impl FnOnce() + Send + 'static) -> Self {
        self.on_taken = Some(Box::new(act));
        self
    }
}

impl Body for Flow {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        match &mut this.kind {
            Kind::Whole(bytes) => {
                if let Some(act) = this.on_taken.take() {
                    act();
                }
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            Kind::Running { is_over: true, .. } => Poll::Ready(None),
            Kind::Running { slot, run, is_over } => {
                let polled = run.as_mut().poll(context);
                if let Some(piece) = slot.lock().take() {
                    *is_over = polled.is_ready();
                    return Poll::Ready(Some(Ok(Frame::data(piece))));
                }
                match polled {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(ended) => {
                        *is_over = true;
                        Poll::Ready(ended.err().map(Err))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Running { is_over, .. } => *is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
            }
            Kind::Running { .. } => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn pull(flow: &mut Flow) -> Poll<Option<Result<Bytes, ()>>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        Pin::new(flow)
            .poll_frame(&mut context)
            .map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().unwrap()).map_err(|_| ())))
    }

    #[test]
    fn pieces_come_one_by_one_and_the_code_between_runs_when_asked() {
        let steps = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&steps);
        let mut flow = Flow::running(|out| async move {
            out.send(Bytes::from_static(b"a")).await;
            counted.fetch_add(1, Ordering::Relaxed);
            out.send(Bytes::new()).await;
            out.send(Bytes::from_static(b"b")).await;
            Ok(())
        });
        assert_eq!(pull(&mut flow), Poll::Ready(Some(Ok(Bytes::from_static(b"a")))));
        assert_eq!(steps.load(Ordering::Relaxed), 0, "nothing runs ahead of the reader");
        assert_eq!(pull(&mut flow), Poll::Ready(Some(Ok(Bytes::from_static(b"b")))));
        assert_eq!(steps.load(Ordering::Relaxed), 1);
        assert_eq!(pull(&mut flow), Poll::Ready(None));
        assert!(flow.is_end_stream());
    }

    #[test]
    fn a_cut_answer_ends_with_an_error_behind_its_pieces() {
        let mut flow = Flow::running(|out| async move {
            out.send(Bytes::from_static(b"a")).await;
            Err(Cut)
        });
        assert!(matches!(pull(&mut flow), Poll::Ready(Some(Ok(_)))));
        assert_eq!(pull(&mut flow), Poll::Ready(Some(Err(()))));
        assert_eq!(pull(&mut flow), Poll::Ready(None));
    }

    #[test]
    fn a_whole_answer_that_nobody_took_was_not_taken() {
        let taken = Arc::new(AtomicUsize::new(0));
        let flow = || {
            let taken = Arc::clone(&taken);
            Flow::whole(Bytes::from_static(b"a")).on_taken(move || {
                taken.fetch_add(1, Ordering::Relaxed);
            })
        };
        drop(flow());
        assert_eq!(taken.load(Ordering::Relaxed), 0);
        assert!(matches!(pull(&mut flow()), Poll::Ready(Some(Ok(_)))));
        assert_eq!(taken.load(Ordering::Relaxed), 1);
    }
}
