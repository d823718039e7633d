//! One bound for the memory of all bodies that are being read (`reliability.md` §5 E7).
//!
//! Small bodies are bounded by the number of connections; what is larger takes its room here first, so that a few
//! hundred half-sent bodies cannot exhaust the process.

use claviger_domain::limits;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The granularity: room is taken in steps, so that a growing body does not ask for every frame.
const STEP: usize = 256 * 1024;

/// The room of the process.
pub(crate) struct BodyMemory(Arc<Semaphore>);

/// What one body has taken of it; given back when dropped.
pub(crate) struct Room {
    memory: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl BodyMemory {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(limits::BODY_MEMORY_BYTES.checked_div(STEP).unwrap_or(0))))
    }

    /// Room for nothing yet.
    pub(crate) fn room(&self) -> Room {
        Room { memory: Arc::clone(&self.0), taken: None }
    }
}

impl Room {
    /// Makes room for a body of `bytes` in all; `false` when the process has none left.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> bool {
        if bytes <= limits::BODY_FREE_BYTES {
            return true;
        }
        let taken = self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Ok(more) = u32::try_from(bytes.div_ceil(STEP).saturating_sub(taken)) else { return false };
        if more == 0 {
            return true;
        }
        let Ok(permit) = Arc::clone(&self.memory).try_acquire_many_owned(more) else { return false };
        match &mut self.taken {
            Some(taken) => taken.merge(permit),
            None => self.taken = Some(permit),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_and_comes_back() {
        let memory = BodyMemory::new();
        let (mut one, mut two) = (memory.room(), memory.room());
        assert!(one.grow_to(limits::BODY_FREE_BYTES) && one.taken.is_none(), "small bodies take no room");
        assert!(one.grow_to(limits::BODY_MEMORY_BYTES - STEP));
        assert!(two.grow_to(STEP));
        assert!(!two.grow_to(2 * STEP), "no room is left");
        drop(one);
        assert!(two.grow_to(2 * STEP));
    }
}
