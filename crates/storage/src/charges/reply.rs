//! Answers to those who wait for a charge: of a whole group, one is woken from outside.
//!
//! To wake a task that belongs to another thread costs a system call, and often that thread takes the core for one answer
//! and gives it back. So answers go in one message to a task of the thread where the waiters live, and it wakes them from
//! there, which costs next to nothing. Without such a task everyone is told directly.

use super::{Delivered, Lost};
use parking_lot::Mutex;
use std::future::Future;
use std::pin::pin;
use tokio::sync::{mpsc, oneshot};

/// Groups on their way; when more wait, their sender tells them himself.
const GROUPS: usize = 16;

/// What became of a charge.
pub(crate) type Answer = Result<Delivered, Lost>;

/// Who is to be told. If he waits no longer, dropping the answer says "not delivered".
pub(crate) type Reply = oneshot::Sender<Answer>;

type Group = Vec<(Reply, Answer)>;

/// The way to the waiters' thread.
#[derive(Default)]
pub(crate) struct Messenger(Mutex<Option<mpsc::Sender<Group>>>);

impl Messenger {
    /// Tells everyone of a group. Neither blocks nor fails.
    pub(crate) fn tell(&self, group: Group) {
        // To wake one costs as much as the message, and he is there without a task between.
        let queue = if group.len() == 1 { None } else { self.0.lock().clone() };
        let untold = match queue {
            Some(queue) => queue.try_send(group).err().map(mpsc::error::TrySendError::into_inner),
            None => Some(group),
        };
        untold.into_iter().for_each(tell_here);
    }

    /// Tells from the thread that polls this, until `stop` resolves; nobody is left untold.
    pub(crate) async fn run(&self, stop: impl Future<Output = ()>) {
        let (queue, mut groups) = mpsc::channel(GROUPS);
        *self.0.lock() = Some(queue);
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                group = groups.recv() => match group {
                    Some(group) => tell_here(group),
                    None => return,
                },
                () = &mut stop => break,
            }
        }
        *self.0.lock() = None;
        groups.close();
        while let Some(group) = groups.recv().await {
            tell_here(group);
        }
    }
}

fn tell_here(group: Group) {
    for (reply, answer) in group {
        let _ = reply.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(size: usize) -> (Group, Vec<oneshot::Receiver<Answer>>) {
        (0..size)
            .map(|_| {
                let (reply, waiter) = oneshot::channel();
                ((reply, Err(Lost::Conflict)), waiter)
            })
            .unzip()
    }

    async fn assert_told(waiters: Vec<oneshot::Receiver<Answer>>) {
        for waiter in waiters {
            assert!(matches!(waiter.await, Ok(Err(Lost::Conflict))));
        }
    }

    #[tokio::test]
    async fn everyone_is_told_with_a_messenger_and_without() {
        let messenger = Messenger::default();
        let (first, waiters) = group(3);
        messenger.tell(first);
        assert_told(waiters).await;
        let (stop, stopped) = oneshot::channel::<()>();
        let run = messenger.run(async { drop(stopped.await) });
        let tell = async {
            // More than it takes at once: the rest is told directly.
            let (groups, waiters): (Vec<_>, Vec<_>) = (0..GROUPS + 3).map(|_| group(2)).unzip();
            groups.into_iter().for_each(|group| messenger.tell(group));
            assert_told(waiters.into_iter().flatten().collect()).await;
            // What is on its way when it stops is told too, and what comes behind it.
            let (last, waiters) = group(2);
            messenger.tell(last);
            drop(stop);
            assert_told(waiters).await;
        };
        tokio::join!(run, tell);
        let (behind, waiters) = group(1);
        messenger.tell(behind);
        assert_told(waiters).await;
    }
}
