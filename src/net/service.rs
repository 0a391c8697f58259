//! What a server's sources share: the application, the handler table, the workers.

use std::collections::VecDeque;

use super::children::Roster;
use super::clients::Clients;
use super::desk::{Desk, Workers};
use super::lifecycle::Life;
use super::looking::Looking;
use super::pacing::Paced;
use super::realm::Realm;
use super::reply_writer::ReplyWriter;
use super::watching::Watchers;
use crate::app::{App, Context, Feed, FeedId, Interest, Reply, Routes, Wire};
use crate::net::message::{Completion, Message};
use crate::reactor::{Completer, Delivered, Program, Seen, Standstill, Token, Turn};

/// What a server's sources share.
pub struct Service {
    /// The application.
    pub app: App,
    /// The handler table.
    pub routes: Routes,
    /// The monitor's.
    pub monitor_routes: Routes,
    /// Writes answers.
    pub(super) writer: ReplyWriter,
    /// Who is connected.
    pub clients: Clients,
    /// The processes that the server runs.
    pub children: Roster,
    /// The chores' token, and when they are due as far as they know.
    pub(super) chores: Option<(Token, i64)>,
    /// Who looks at all sources, the first one at this moment.
    pub(super) looks: VecDeque<Looking>,
    /// Who watches the loop.
    pub(super) watchers: Watchers,
    /// The loop is slowed down.
    pub(super) paced: Option<Paced>,
    /// What other threads do, and what follows it.
    pub(super) desk: Desk,
    /// Whether the server is shutting down.
    pub life: Life,
}

impl Service {
    /// A service that has no connections yet.
    #[must_use]
    pub fn new(
        app: App,
        workers: Workers,
        completer: Completer<Completion>,
        connections_max: usize,
    ) -> Self {
        let writer = ReplyWriter::new(&app.config);
        Self {
            app,
            routes: Routes::default(),
            monitor_routes: Routes::default(),
            writer,
            clients: Clients::new(connections_max),
            children: Roster::default(),
            chores: None,
            looks: VecDeque::new(),
            watchers: Watchers::default(),
            paced: None,
            desk: Desk::new(workers, completer),
            life: Life::Serving,
        }
    }

    /// What a handler or a continuation may use.
    pub(super) fn context<'c>(app: &'c mut App, turn: &'c mut Turn<'_, Message>) -> Context<'c> {
        let (now, unix_ms) = (turn.now(), turn.unix_ms());
        let (entropy, ledger) = turn.entropy_and_ledger();
        Context {
            app,
            now,
            unix_ms,
            entropy,
            ledger,
        }
    }

    /// Adds the feed of a remote subscriber, which the source `owner` writes.
    pub(super) fn follow(
        &mut self,
        owner: Token,
        wire: Wire,
        interest: Interest,
        since: Option<u64>,
    ) -> FeedId {
        let App { config, hub, .. } = &mut self.app;
        let bytes_max = config.limits.outbox_bytes_max;
        let mut feed = Feed::new(wire, interest, since, bytes_max, config.slow_subscriber);
        if since.is_none() {
            // What was confirmed and is not delivered yet was before its time.
            feed.has_all_through(hub.newest());
        }
        hub.follow(owner, feed)
    }

    /// Has the next page read that a feed wants, if it wants one.
    pub(super) fn read_for(&mut self, id: FeedId, turn: &mut Turn<'_, Message>) {
        let Some(query) = self.app.hub.next_page(id) else {
            return;
        };
        let reply = Reply::read(query, move |page, cx| {
            cx.app.hub.page(id, page);
            Reply::empty(204)
        });
        self.do_unasked(reply, turn);
    }

    /// The handlers that answer there.
    pub(super) fn table(&self, realm: Realm) -> &Routes {
        match realm {
            Realm::Clients => &self.routes,
            Realm::Monitor => &self.monitor_routes,
        }
    }

    /// Tells streams that their session has ended, or may end earlier than they know.
    #[cold]
    fn tell_streams(&mut self, turn: &mut Turn<'_, Message>) {
        for stream in self.app.streams.take_ended() {
            turn.tell(stream, Message::SessionEnded);
        }
        for stream in self.app.streams.take_unsure() {
            turn.tell(stream, Message::LookAtSession);
        }
    }

    /// Tells the chores if something is due before they would look.
    #[inline]
    fn rearm_chores(&mut self, turn: &mut Turn<'_, Message>) {
        let due = self.app.next_chore_s();
        if let Some((token, known_s)) = &mut self.chores
            && due < *known_s
        {
            *known_s = due;
            turn.tell(*token, Message::Rearm);
        }
    }
}

impl Program for Service {
    type Message = Message;
    type Completion = Completion;

    fn complete(&mut self, completion: Completion, turn: &mut Turn<'_, Message>) {
        match completion {
            Completion::Job(id, output, times) => self.job_done(id, output, times, turn),
            Completion::Stored(id, outcome, times) => self.stored(id, outcome, times, turn),
            Completion::Spawned(child, forked) => turn.tell(child, Message::Spawned(forked)),
            Completion::Drain => self.drain(turn),
            Completion::HandOver => self.hand_over(turn),
            Completion::Batch(batch) => self.tell_watchers(&batch, turn),
        }
    }

    #[inline]
    fn is_paced(&self) -> bool {
        self.paced.is_some()
    }

    fn stand_still(&mut self, still: &mut Standstill<'_, Self>) {
        self.stand(still);
    }

    #[inline]
    fn looks_from(&self) -> Option<usize> {
        if self.looks.is_empty() {
            return None; // nearly always
        }
        self.looks.front().map(|looking| looking.from)
    }

    fn looked(&mut self, seen: Vec<Seen>, next: Option<usize>, turn: &mut Turn<'_, Message>) {
        self.take_look(seen, next, turn);
    }

    #[inline]
    fn deliver_events(&mut self, turn: &mut Turn<'_, Message>) -> Delivered {
        // While some are still to be sent what they have, more would only wait: the next time they are sent
        // all of it at once.
        let delivered = if turn.has_flushes_left() {
            let more = self.app.hub.has_more();
            Delivered { count: 0, more }
        } else {
            self.app.deliver_events(turn.unix_ms())
        };
        self.app.hub.take_touched(|owner| turn.flush_of(owner));
        // After the delivery: a stream still gets the event that tells of its session's end, unless so
        // many came at once that it is for the next turn. The end does not wait for that.
        if self.app.streams.have_news() {
            self.tell_streams(turn);
        }
        if self.app.end_announced && !delivered.more {
            self.end_streams(turn);
        }
        self.clients.end_turn();
        self.commit_outgoing(turn);
        self.rearm_chores(turn);
        if self.app.watch.is_some() {
            self.notice_for_watchers(turn);
        }
        delivered
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}
