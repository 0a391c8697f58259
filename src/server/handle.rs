//! A server, for other threads.

use std::fmt;

use crate::net::{Completion, Service};
use crate::reactor::{CompleterOf, Os, Seams};

/// Shuts a server down from any thread.
pub struct Handle<S: Seams = Os>(pub(super) CompleterOf<Service<S>>);

impl<S: Seams> Handle<S> {
    /// Begins to drain, as SIGTERM does.
    pub fn drain(&self) {
        self.0.complete(Completion::Drain);
    }

    /// Begins to hand over: what is under way is finished, and [`Server::run`](super::Server::run)
    /// returns.
    pub fn hand_over(&self) {
        self.0.complete(Completion::HandOver);
    }
}

impl<S: Seams> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Seams> fmt::Debug for Handle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}
