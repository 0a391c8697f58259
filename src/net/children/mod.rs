//! Child processes: subscribers that read events on their stdin, producers that write them on their
//! stdout.
//!
//! ```text
//! Resting ── time is up ──▶ Starting ── a worker has forked ──▶ Running
//!    ▲                          │ it could not                     │ stdin is closed, then SIGTERM,
//!    └──────────────────────────┴──── ended, and reaped ───────────┘ then SIGKILL, to end it
//! ```
//!
//! One source has the three pipes of one process, each bounded: the process reads from its feed, and its
//! output is taken 64 KiB a turn and cut into lines of bounded length. Nothing that a process does or
//! fails to do stops the loop. A process that ends is started again, after 1 s, 2 s, 4 s and so on up to a
//! minute, and gets the events that it had not been given. After a run of a minute the delay is 1 s again.
//!
//! `process` has the pipes and the lines, `lines` cuts them, `spawn` starts and kills.

pub(super) mod forked;
mod lines;
mod process;
pub(super) mod roster;
mod spawn;

use std::io;
use std::time::Duration;

pub use self::forked::Forked;
#[cfg(any(test, fuzzing))]
pub(super) use self::lines::{Line, Lines};
use self::process::{Heard, Process};
pub use self::roster::Roster;

use super::service::Service;
use crate::app::{Encoding, FeedId, Interest, Reply, event_of_line, name_of_command};
use crate::event::NewEvent;
use crate::http::Status;
use crate::net::message::Message;
use crate::reactor::{Kind, Moment, Next, Readiness, Reason, Source, Turn};
use crate::work::{StoreError, Transaction};

/// Shortest and longest rest before a process is started again.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(60);
/// A process that ran for so long is able to run: its failures are forgotten.
const RAN_WELL: Duration = Duration::from_secs(60);
/// Bytes of a producer's output that are read at a time: each piece is one transaction.
const PRODUCED_BYTES_MAX: usize = 16 * 1024;
/// Time after which events that the store had no room for are offered again.
const BUSY_RETRY: Duration = Duration::from_millis(100);

/// What a child process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It gets every event, one line of JSON each.
    Subscriber,
    /// Each line that it writes becomes an event.
    Producer,
}

/// A command that runs as long as the server does.
#[derive(Debug)]
pub struct Child {
    role: Role,
    command: String,
    run: RunState,
    /// How often in a row it ended without having run well.
    failures: u32,
    /// The last event that it has been given.
    through: u64,
    feed: Option<FeedId>,
    produced: Produced,
}

/// Events of a producer that are not confirmed yet: until they are, nothing more is read from it.
#[derive(Debug)]
enum Produced {
    Nothing,
    /// They have been submitted to the store.
    Submitted(Vec<NewEvent>),
    /// The store had no room; they are offered again at that time.
    Refused {
        events: Vec<NewEvent>,
        until: Moment,
    },
}

#[derive(Debug)]
enum RunState {
    /// It is started at that time.
    Resting { until: Moment },
    /// A worker is forking.
    Starting,
    /// It runs, or has ended and its end has not been noticed yet.
    Running(Box<Process>),
}

impl Child {
    /// A command for `sh -c`, which is started in the first turn.
    #[must_use]
    pub fn new(role: Role, command: &str) -> Self {
        Self {
            role,
            command: command.to_owned(),
            run: RunState::Resting {
                until: Moment::default(),
            },
            failures: 0,
            through: 0,
            feed: None,
            produced: Produced::Nothing,
        }
    }

    fn name(&self) -> &str {
        name_of_command(&self.command)
    }

    fn start(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) {
        if self.role == Role::Subscriber {
            let interest = Interest::everything();
            let since = Some(self.through);
            self.feed = Some(service.follow(turn.token(), Encoding::Line, interest, since));
        }
        self.run = RunState::Starting;
        if service.spawn(turn.token(), &self.command).is_err() {
            // All workers are busy, which does not count as a failure of the command.
            self.unfollow(service);
            let until = turn.now() + REST_MIN;
            self.run = RunState::Resting { until };
        }
    }

    /// A worker has forked, or could not.
    fn started(
        &mut self,
        forked: io::Result<Forked>,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        let bytes_max = service.app.config.limits.body_bytes_max;
        match forked.and_then(|forked| Process::new(forked, bytes_max, turn)) {
            Ok(process) => {
                log::info!(
                    target: "loopgate::child",
                    "{} has started as process {}: {}",
                    self.name(),
                    process.id(),
                    self.command.escape_debug()
                );
                service.children.groups.push(process.id());
                self.run = RunState::Running(Box::new(process));
                if let Some(feed) = self.feed {
                    service.read_for(feed, turn);
                }
            }
            Err(error) => self.rest(&format!("it cannot be started: {error}"), service, turn),
        }
    }

    /// It does not run, and is started again later.
    fn rest(&mut self, why: &str, service: &mut Service, turn: &mut Turn<'_, Message>) {
        self.unfollow(service);
        let rest = REST_MIN
            .saturating_mul(1 << self.failures.min(6))
            .min(REST_MAX);
        self.failures += 1;
        log::warn!(
            target: "loopgate::child",
            "{}: {why}; it is started again in {} s",
            self.name(),
            rest.as_secs()
        );
        self.run = RunState::Resting {
            until: turn.now() + rest,
        };
    }

    fn unfollow(&mut self, service: &mut Service) {
        let Some(id) = self.feed.take() else {
            return;
        };
        if let Some(feed) = service.app.hub.feed(id) {
            self.through = feed.delivered_through();
        }
        if let Some(balance) = service.app.hub.unfollow(id) {
            log::info!(target: "loopgate::streams", "{}: {balance}", self.name());
        }
    }

    /// Writes, reads, checks whether it has ended, and returns when to be asked again.
    fn advance(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        let RunState::Running(process) = &mut self.run else {
            return self.settle(service, turn);
        };
        if let Some(feed) = self.feed.and_then(|feed| service.app.hub.feed(feed)) {
            if feed.is_over() {
                process.end("it was too slow, or the store failed", turn.now());
            } else if !process.write(feed, &mut service.writer.buffers) {
                self.unfollow(service);
            }
        }
        self.listen(service, turn);
        if let Some(feed) = self.feed {
            service.read_for(feed, turn);
        }
        self.settle(service, turn)
    }

    /// Reads what the process has written: lines for the log, or events.
    fn listen(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) {
        let RunState::Running(process) = &mut self.run else {
            return;
        };
        let name = name_of_command(&self.command);
        let (now, unix_ms) = (turn.now(), turn.unix_ms());
        let mut buffer = service.writer.buffers.take_read();
        process.read_stderr(&mut buffer, name, now);
        let mut events = Vec::new();
        match (self.role, &self.produced) {
            (Role::Subscriber, _) => process.read_stdout(&mut buffer, |heard, log| {
                let (Heard::Line(line) | Heard::TooLong(line)) = heard;
                log.line(log::Level::Info, name, &line, now);
            }),
            // Not while events wait to be delivered: a producer that writes without end would fill the memory.
            (Role::Producer, Produced::Nothing) if !service.app.hub.has_more() => {
                let piece = &mut buffer[..PRODUCED_BYTES_MAX];
                process.read_stdout(piece, |heard, log| {
                    let event = match heard {
                        Heard::Line(line) => event_of_line(&line, name, unix_ms),
                        Heard::TooLong(_) => Err("it is longer than a body may be"),
                    };
                    match event {
                        Ok(event) => events.push(event),
                        Err(why) => {
                            let line = format!("a line is no event: {why}");
                            log.line(log::Level::Warn, name, &line, now);
                        }
                    }
                });
            }
            (Role::Producer, _) => {}
        }
        service.writer.buffers.give_read_back(buffer);
        if !events.is_empty() {
            self.publish(events, service, turn);
        }
    }

    /// Submits the produced events; reading continues when they are committed.
    fn publish(
        &mut self,
        events: Vec<NewEvent>,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) {
        let transaction = Transaction {
            events: events.clone(),
            ..Transaction::default()
        };
        self.produced = Produced::Submitted(events);
        let reply = Reply::commit(transaction, |committed, _| {
            Reply::empty(match committed {
                Ok(_) => Status::NO_CONTENT,
                Err(StoreError::Busy) => Status::TOO_MANY_REQUESTS,
                Err(_) => Status::SERVICE_UNAVAILABLE,
            })
        });
        if let Some(Reply::Now(response)) = service.submit_all(reply, Some(turn.token()), turn) {
            self.published(response.status, turn);
        }
    }

    fn published(&mut self, status: Status, turn: &Turn<'_, Message>) {
        let Produced::Submitted(events) = std::mem::replace(&mut self.produced, Produced::Nothing)
        else {
            return;
        };
        if status == Status::TOO_MANY_REQUESTS {
            let until = turn.now() + BUSY_RETRY;
            self.produced = Produced::Refused { events, until };
        } else if status != Status::NO_CONTENT {
            let (name, count) = (self.name(), events.len());
            log::error!(target: "loopgate::child", "{name}: events are lost, {count} of them: the store failed");
        }
    }

    /// After every step: what to ask of the loop.
    fn settle(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        let draining = service.lifecycle.is_ending();
        let (now, grace, streams_until) = (
            turn.now(),
            service.lifecycle.child_grace(),
            service.lifecycle.streams_until(),
        );
        let process = match &mut self.run {
            RunState::Resting { .. } if draining => {
                return Next::Close(Reason("the server shuts down"));
            }
            RunState::Resting { until } => {
                turn.set_deadline(*until);
                return Next::Wait;
            }
            RunState::Starting => {
                turn.set_deadline(Moment::NEVER);
                return Next::Wait;
            }
            RunState::Running(process) => process,
        };
        if now >= streams_until {
            process.end("the server shuts down", now);
        }
        process.hurry(now, grace);
        let (reads, retry_at) = match &self.produced {
            Produced::Nothing => (true, Moment::NEVER),
            Produced::Submitted(_) => (false, Moment::NEVER),
            Produced::Refused { until, .. } => (false, *until),
        };
        if process.has_ended() && reads && !process.has_more() {
            let (id, said, ran) = (process.id(), process.end_in_words(), now - process.started);
            process.close(turn);
            service.children.groups.retain(|group| *group != id);
            if ran >= RAN_WELL {
                self.failures = 0;
            }
            let said = format!("process {id} {said} after {} s", ran.as_secs());
            if draining {
                self.unfollow(service);
                log::info!(target: "loopgate::child", "{}: {said}", self.name());
                return Next::Close(Reason("the server shuts down"));
            }
            self.rest(&said, service, turn);
            return self.settle(service, turn);
        }
        let deadline = process.deadline(now, grace, streams_until);
        turn.set_deadline(deadline.min(retry_at));
        if reads && process.has_more() {
            Next::Again
        } else {
            Next::Wait
        }
    }
}

impl Source<Service> for Child {
    fn kind(&self) -> Kind {
        Kind::of("child")
    }

    fn first_deadline(&mut self, service: &Service, now: Moment) -> Moment {
        self.through = service.app.hub.newest();
        now
    }

    fn ready(
        &mut self,
        readiness: Readiness,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        if let RunState::Running(process) = &mut self.run {
            process.ready(readiness);
        }
        self.advance(service, turn)
    }

    fn due(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        let now = turn.now();
        if let Produced::Refused { events, until } = &mut self.produced
            && *until <= now
        {
            let events = std::mem::take(events);
            self.publish(events, service, turn);
        }
        if let RunState::Resting { until } = self.run
            && until <= now
            && !service.lifecycle.is_ending()
        {
            if !service.children.started.contains(&turn.token()) {
                service.children.started.push(turn.token());
            }
            self.start(service, turn);
        }
        if let RunState::Running(process) = &mut self.run
            && process.is_outlived()
        {
            process.look_whether_it_ended(&mut service.children);
        }
        self.settle(service, turn)
    }

    fn message(
        &mut self,
        message: Message,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        match message {
            Message::Spawned(forked) => {
                service.children.spawned();
                self.started(forked, service, turn);
            }
            Message::Answer(Reply::Now(response), _) => self.published(response.status, turn),
            Message::Panicked => self.published(Status::INTERNAL_SERVER_ERROR, turn),
            // The last events about the end are written before its stdin is closed.
            Message::ChildEnded | Message::EndAnnounced => {}
            _ => return self.settle(service, turn),
        }
        if let RunState::Running(process) = &mut self.run {
            process.look_whether_it_ended(&mut service.children);
        }
        service.children.reap_orphans();
        self.advance(service, turn)
    }

    fn flush(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        self.advance(service, turn)
    }

    fn ended(&mut self, _reason: Reason, service: &mut Service) {
        self.unfollow(service);
        service.children.left -= 1;
    }
}
