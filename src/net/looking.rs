//! The monitor's looks at the server: at numbers at once, at all sources in slices.

use super::service::Service;
use crate::app::monitor::Vitals;
use crate::app::{Look, Reply, internal_error};
use crate::net::message::Message;
use crate::reactor::{Seen, Token, Turn};

/// Who may look at all sources at the same time: one after the other, so this bounds how long they wait.
pub(super) const LOOKS_MAX: usize = 8;

/// A look at all sources that is not over yet.
pub(super) struct Looking {
    pub(super) asker: Token,
    /// The slot where the rest begins.
    pub(super) from: usize,
    pub(super) seen: Vec<Seen>,
    pub(super) then: Look,
}

impl Service {
    /// What the monitor tells of what is not the application's.
    pub(super) fn take_vitals(&mut self) {
        self.app.vitals = Vitals {
            connections: self.clients.open,
            observers: self.clients.observers,
            connections_max: self.clients.open_max,
            connections_ended: self.clients.tally.connections,
            resets: self.clients.tally.resets,
            unfinished_bytes: self.clients.unfinished_bytes,
            waiting_bytes: self.app.hub.waiting().bytes(),
            pending: self.desk.len(),
            hash_queue: self.desk.hash_queue(),
            commit_groups: self.desk.commit_groups(),
        };
    }

    /// Some sources were looked at for whoever is first; if those were the last, they are answered.
    pub(super) fn take_look(
        &mut self,
        seen: Vec<Seen>,
        next: Option<usize>,
        turn: &mut Turn<'_, Message>,
    ) {
        let Some(looking) = self.looks.front_mut() else {
            return;
        };
        looking.seen.extend(seen);
        if let Some(next) = next {
            looking.from = next;
            return;
        }
        let Some(Looking {
            asker, seen, then, ..
        }) = self.looks.pop_front()
        else {
            return;
        };
        self.take_vitals();
        let reply = self.continue_with(turn, |cx| (then.0)(seen, cx));
        let reply = reply.unwrap_or_else(|| Reply::Now(internal_error()));
        turn.tell(asker, Message::Answer(reply));
    }
}
