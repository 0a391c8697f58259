//! Those who watch the loop: connections of the monitor's that are sent what the ledger writes.
//!
//! They cost nothing while there are none, and wake nobody while nothing happens. What happens in one turn is sent in
//! a later one, for which a deadline is set; the source that has it does nothing else.

use std::sync::Arc;

use super::service::Service;
use crate::app::monitor::{BATCH_EVERY, DEADLINES_MAX, Sight, Watch};
use crate::net::message::Message;
use crate::reactor::{Moment, Next, Readiness, Source, Token, Turn};

/// Who may watch at the same time: each takes a copy of everything.
pub(super) const WATCHERS_MAX: usize = 8;

/// Bytes that may wait for somebody who watches; above it, batches are left out. The page sees it: turns have numbers.
pub(super) const WATCHER_BYTES_MAX: usize = 1024 * 1024;

/// Those who watch.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    connections: Vec<Token>,
    /// Whoever sends them what happens in this loop; nobody, if they are told of another one.
    herald: Option<Token>,
    /// It has been told that there is something to send.
    told: bool,
}

impl Watchers {
    pub(super) fn is_full(&self) -> bool {
        self.connections.len() == WATCHERS_MAX
    }
}

impl Service {
    /// From now on `herald` tells those who watch this loop.
    pub fn heralded_by(&mut self, herald: Token) {
        self.watchers.herald = Some(herald);
    }

    /// Somebody watches. What they are told first, and as much as the ledger has.
    pub(super) fn begin_to_watch(&mut self, turn: &mut Turn<'_, Message>) -> Vec<u8> {
        self.take_vitals();
        let sight = sight(turn);
        self.watchers.connections.push(turn.token());
        let ledger = turn.ledger();
        if self.app.watch.is_none() {
            self.app.watch = Some(Watch::begin(&mut self.app.hub, ledger));
        }
        self.app.greeting(ledger, &sight)
    }

    /// They do not any more. To be called once or more often.
    pub(super) fn end_watching(&mut self, connection: Token) {
        self.watchers.connections.retain(|one| *one != connection);
        if self.watchers.connections.is_empty()
            && let Some(watch) = self.app.watch.take()
        {
            watch.end(&mut self.app.hub);
        }
    }

    /// If something happened in this turn, those who watch will be told.
    #[cold]
    pub(super) fn notice_for_watchers(&mut self, turn: &mut Turn<'_, Message>) {
        if self.watchers.told {
            return;
        }
        if let (Some(herald), Some(watch)) = (self.watchers.herald, &mut self.app.watch)
            && watch.has_news(turn.ledger())
        {
            self.watchers.told = true;
            turn.tell(herald, Message::Rearm);
        }
    }

    /// Tells all who watch.
    pub(super) fn tell_watchers(&mut self, batch: &Arc<[u8]>, turn: &mut Turn<'_, Message>) {
        for connection in &self.watchers.connections {
            turn.tell(*connection, Message::Batch(Arc::clone(batch)));
        }
    }
}

fn sight(turn: &Turn<'_, Message>) -> Sight {
    Sight {
        now: turn.now(),
        unix_ms: turn.unix_ms(),
        deadlines: turn.deadlines(DEADLINES_MAX),
        stands_still: false,
    }
}

/// Tells those who watch what has happened, soon after it did.
#[derive(Debug, Default)]
pub struct Herald {
    /// When it did so last.
    last: Moment,
}

impl Source<Service> for Herald {
    fn kind(&self) -> &'static str {
        "herald"
    }

    fn is_observer(&self) -> bool {
        true
    }

    fn ready(
        &mut self,
        _readiness: Readiness,
        _service: &mut Service,
        _turn: &mut Turn<'_, Message>,
    ) -> Next {
        Next::Wait
    }

    fn message(
        &mut self,
        message: Message,
        _service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        if matches!(message, Message::Rearm) {
            turn.set_deadline(turn.now().max(self.last + BATCH_EVERY));
        }
        Next::Wait
    }

    fn due(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        self.last = turn.now();
        service.watchers.told = false;
        service.take_vitals();
        let sight = sight(turn);
        if service.paced.is_some() {
            service.show(turn.ledger(), &sight, None, b"");
        } else if let Some(batch) = service.app.batch(turn.ledger(), &sight) {
            service.tell_watchers(&batch.into(), turn);
        }
        Next::Wait
    }
}
