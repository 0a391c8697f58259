//! A handle to a server, for other threads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::net::Completion;
use crate::reactor::Completer;

/// Shuts a server down from any thread.
pub struct Handle {
    completer: Completer<Completion>,
    /// When this is set, a loop that is slowed down no longer stops.
    goes_on: Option<Arc<AtomicBool>>,
}

impl Handle {
    pub(super) fn new(completer: Completer<Completion>, goes_on: Option<Arc<AtomicBool>>) -> Self {
        Self { completer, goes_on }
    }

    /// Begins to drain, as SIGTERM does.
    pub fn drain(&self) {
        self.end(Completion::Drain);
    }

    /// Begins to hand over: requests under way are finished, and [`Server::run`](super::Server::run)
    /// returns.
    pub fn hand_over(&self) {
        self.end(Completion::HandOver);
    }

    fn end(&self, how: Completion) {
        if let Some(goes_on) = &self.goes_on {
            goes_on.store(true, Ordering::Relaxed);
        }
        self.completer.complete(how);
    }

    /// Sends to the observers that are connected to this server what has happened in another one.
    pub(super) fn broadcast(&self, batch: Arc<[u8]>) {
        self.completer.complete(Completion::Batch(batch));
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self {
            completer: self.completer.clone(),
            goes_on: self.goes_on.clone(),
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}
