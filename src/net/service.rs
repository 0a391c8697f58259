//! What a server's sources share: the application, the handler table, the workers.

use super::access_log::{AccessFormat, AccessLog, AccessRecord};
use super::children::roster::Roster;
use super::clients::Clients;
use super::desk::{Desk, Workers};
use super::lifecycle::Lifecycle;
use super::observers::{Observers, Paced, Snapshot};
use super::realm::Realm;
use super::reply_writer::ReplyWriter;
use crate::app::monitor::{Vitals, Watch};
use crate::app::{App, Context, Encoding, Feed, FeedId, Interest, Reply, Routes, internal_error};
use crate::http::Head;
use crate::ledger::Ledger;
use crate::net::message::{Completion, Message};
use crate::reactor::{Attention, Completer, Delivered, Occasion, Peer, Program, Token, Turn, View};
use crate::work::log_writer::LogPipe;

/// What a server's sources share.
pub struct Service {
    /// The application.
    pub app: App,
    /// The handler table.
    pub routes: Routes,
    /// The monitor's handler table.
    pub monitor_routes: Routes,
    /// Writes a line for each answered request.
    pub(super) access_log: AccessLog,
    /// Writes answers.
    pub(super) writer: ReplyWriter,
    /// The connected clients.
    pub clients: Clients,
    /// The processes that the server runs.
    pub children: Roster,
    /// The token of maintenance, and the time for which it has set its deadline.
    pub(super) maintenance: Option<(Token, i64)>,
    /// The observers of the loop.
    pub(super) observers: Observers,
    /// The work of other threads, and its continuations.
    pub(super) desk: Desk,
    /// Whether the server is shutting down.
    pub lifecycle: Lifecycle,
}

impl Service {
    /// A service without connections.
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
            access_log: AccessLog::default(),
            writer,
            clients: Clients::new(connections_max),
            children: Roster::default(),
            maintenance: None,
            observers: Observers::default(),
            desk: Desk::new(workers, completer),
            lifecycle: Lifecycle::Serving,
        }
    }

    /// From now on access lines have that form, and go into `pipe`, or else to the program's logger.
    pub fn log_access(&mut self, format: AccessFormat, pipe: Option<LogPipe>) {
        self.access_log.write_to(format, pipe);
    }

    /// What the access log will need of a request, or of bytes that are none; `None` if it gets no line.
    #[inline]
    pub(super) fn access_record(
        &mut self,
        head: Option<&Head<'_>>,
        peer: Peer,
    ) -> Option<Box<AccessRecord>> {
        let trusted = &self.app.config.trust_proxy;
        self.access_log.record(head, peer, trusted)
    }

    /// Fixes whether requests are timed from now on, whether or not access lines are read.
    pub fn time_requests(&mut self, timed: bool) {
        self.access_log.time_requests(timed);
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
        encoding: Encoding,
        interest: Interest,
        since: Option<u64>,
    ) -> FeedId {
        let App { config, hub, .. } = &mut self.app;
        let bytes_max = config.limits.outbox_bytes_max;
        let mut feed = Feed::new(encoding, interest, since, bytes_max, config.slow_subscriber);
        if since.is_none() {
            // Events that are confirmed but not delivered yet are older than this feed.
            feed.has_all_through(hub.newest());
        }
        hub.follow(owner, feed)
    }

    /// Has the next page of a feed read, if it wants one.
    pub(super) fn read_for(&mut self, id: FeedId, turn: &mut Turn<'_, Message>) {
        let Some(query) = self.app.hub.next_page(id) else {
            return;
        };
        let reply = Reply::read(query, move |page, cx| {
            cx.app.hub.page(id, page);
            Reply::empty(204)
        });
        self.do_in_background(reply, turn);
    }

    /// The handlers of that realm.
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
            turn.send(stream, Message::SessionEnded);
        }
        for stream in self.app.streams.take_unsure() {
            turn.send(stream, Message::CheckSession);
        }
    }

    /// From now on `broadcaster` sends to the watchers of this loop.
    pub fn broadcast_by(&mut self, broadcaster: Token) {
        self.observers.broadcast_by(broadcaster);
    }

    /// From now on the loop is slowed down; it is to [pay attention](crate::reactor::Reactor::pay_attention) to each phase.
    pub fn pace(&mut self, paced: Paced, ledger: &Ledger) {
        self.app.watch = Some(Watch::begin(&mut self.app.hub, ledger));
        self.observers.pace(paced);
    }

    /// Collects the numbers for the monitor that are not the application's.
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

    /// Answers a request for which all sources were snapshot at.
    fn answer_snapshot(&mut self, snapshot: Snapshot, turn: &mut Turn<'_, Message>) {
        let Snapshot {
            asker,
            sources,
            then,
        } = snapshot;
        self.take_vitals();
        let reply = self.continue_with(turn, |cx| (then.0)(sources, cx));
        let reply = reply.unwrap_or_else(|| Reply::Now(internal_error()));
        turn.send(asker, Message::Answer(reply, None));
    }

    /// Tells maintenance if something is due before its deadline.
    #[inline]
    fn rearm_maintenance(&mut self, turn: &mut Turn<'_, Message>) {
        let due = self.app.next_maintenance_s();
        if let Some((token, known_s)) = &mut self.maintenance
            && due < *known_s
        {
            *known_s = due;
            turn.send(*token, Message::Rearm);
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
            Completion::Spawned(child, forked) => turn.send(child, Message::Spawned(forked)),
            Completion::Drain => self.drain(turn),
            Completion::HandOver => self.hand_over(turn),
            Completion::Batch(batch) => self.observers.broadcast(&batch, turn),
        }
    }

    fn observe(&mut self, view: &mut View<'_, Message>) -> Attention {
        match view.occasion {
            Occasion::Before(phase) => {
                if self.observers.hold(phase, view.turn.ledger()) {
                    self.take_vitals();
                    self.observers.stand(phase, &mut self.app, view);
                }
            }
            Occasion::Delivered => {
                if let Some(snapshot) = self.observers.continue_snapshot(view) {
                    self.answer_snapshot(snapshot, &mut view.turn);
                }
                self.observers.notice(&mut self.app, &mut view.turn);
            }
        }
        self.observers.attention()
    }

    #[inline]
    fn deliver_events(&mut self, turn: &mut Turn<'_, Message>) -> Delivered {
        // While some feeds are still to be flushed, more events would only wait: they are delivered when the last of
        // these has been written, and then leave all together.
        let delivered = if turn.has_flushes_left() {
            let more = self.app.hub.has_more();
            Delivered { count: 0, more }
        } else {
            self.app.deliver_events(turn.unix_ms())
        };
        self.app.hub.take_touched(|owner| turn.flush_of(owner));
        // After the delivery, so that a stream still gets the event that reports its session's end, unless so
        // many events came at once that it is delivered in the next turn. The end does not wait for that.
        if self.app.streams.have_news() {
            self.tell_streams(turn);
        }
        if self.app.end_announced && !delivered.more {
            self.end_streams(turn);
        }
        self.clients.end_turn();
        self.commit_outgoing(turn);
        self.rearm_maintenance(turn);
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
