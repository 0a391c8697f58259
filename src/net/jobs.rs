//! Work for other threads and its continuations: a service submits work, and continues when it is done.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::desk::{Order, Pending};
use super::message::Message;
use super::service::Service;
use crate::app::{Context, JobError, Later, Output, Reply, internal_error};
use crate::event::NewEvent;
use crate::ledger::Limit;
use crate::reactor::{Token, Turn};
use crate::work::{Outcome, StoreError, Transaction, Worked};

/// How often a handler may submit other work instead of work that was refused.
const SUBMISSIONS_MAX: usize = 4;

impl Service {
    /// Submits blocking work to a worker. If no worker takes it, its continuation is called at
    /// once, and returns what to answer instead.
    fn submit(
        &mut self,
        later: Later,
        connection: Option<Token>,
        turn: &mut Turn<'_, Message>,
    ) -> Result<(), Reply> {
        let order = Order {
            connection,
            label: turn.current_label(),
            submitted: turn.now(),
        };
        let Err(refused) = self.desk.hand_out(later, order) else {
            return Ok(());
        };
        turn.ledger().limit_reached(refused.limit());
        let instead = self.continue_with(turn, |cx| refused.follow(cx));
        Err(instead.unwrap_or_else(|| Reply::Now(internal_error())))
    }

    /// Runs a continuation; `None` if it panicked.
    pub(super) fn continue_with(
        &mut self,
        turn: &mut Turn<'_, Message>,
        then: impl FnOnce(&mut Context<'_>) -> Reply,
    ) -> Option<Reply> {
        let mut cx = Self::context(&mut self.app, turn);
        let reply = catch_unwind(AssertUnwindSafe(|| then(&mut cx)));
        if reply.is_err() {
            let label = turn.current_label();
            let name = turn.ledger().name(label);
            let detail = format!("what follows a job of {name} panicked");
            self.app.report("handler_panicked", detail, turn.unix_ms());
        }
        reply.ok()
    }

    /// A job's result is back: its continuation returns what to answer, or what to do next. Without a continuation the
    /// job was given up.
    pub(super) fn resume<T>(
        &mut self,
        pending: Option<Pending<T>>,
        result: T,
        turn: &mut Turn<'_, Message>,
    ) {
        let Some(Pending { order, then }) = pending else {
            return;
        };
        turn.label(order.label);
        self.app.asker = None;
        let message = match self.continue_with(turn, |cx| then(result, cx)) {
            None => Message::Panicked,
            Some(reply) => match self.submit_all(reply, order.connection, turn) {
                None => return,
                Some(reply) => Message::Answer(reply, self.app.asker),
            },
        };
        if let Some(connection) = order.connection {
            turn.send(connection, message);
        }
    }

    /// A thread of the pool has done a job, or failed to.
    pub(super) fn job_done(
        &mut self,
        id: Token,
        output: Result<Output, JobError>,
        times: Option<Worked>,
        turn: &mut Turn<'_, Message>,
    ) {
        let pending = self.desk.jobs.take(id, times, turn);
        match &output {
            Ok(_) => {}
            // Another client's job has taken its place.
            Err(JobError::Busy) => turn.ledger().limit_reached(Limit::Jobs),
            Err(JobError::Panicked) => {
                let detail = "a job panicked on its worker thread".into();
                self.app.report("job_panicked", detail, turn.unix_ms());
            }
        }
        self.resume(pending, output, turn);
    }

    /// The storage thread is done: memory follows what was committed before a client gets its answer.
    pub(super) fn stored(
        &mut self,
        id: Token,
        outcome: Outcome,
        times: Option<Worked>,
        turn: &mut Turn<'_, Message>,
    ) {
        match outcome {
            Outcome::Committed(committed) => {
                let pending = self.desk.commits.take(id, times, turn);
                if let Err(error) = &committed {
                    self.store_failed(error, turn);
                }
                let confirmed = committed.map(|commit| self.app.follow(commit));
                self.resume(pending, confirmed, turn);
            }
            Outcome::Read(page) => {
                let pending = self.desk.reads.take(id, times, turn);
                if let Err(error) = &page {
                    self.store_failed(error, turn);
                }
                self.resume(pending, page, turn);
            }
        }
    }

    fn store_failed(&mut self, error: &StoreError, turn: &Turn<'_, Message>) {
        self.app
            .report("store_failed", error.to_string(), turn.unix_ms());
    }

    /// Submits the work in a reply, if it is work; `None` if a worker took it, else the answer.
    pub(super) fn submit_all(
        &mut self,
        reply: Reply,
        connection: Option<Token>,
        turn: &mut Turn<'_, Message>,
    ) -> Option<Reply> {
        match reply {
            Reply::Later(later) => self.hand_out(later, connection, turn),
            answer => Some(answer),
        }
    }

    /// Submits work to a worker; `None` if one took it, else the answer, which is not work again. Refused work may be
    /// followed by other work, but only a few times, since nothing waits in between.
    pub(super) fn hand_out(
        &mut self,
        mut later: Later,
        connection: Option<Token>,
        turn: &mut Turn<'_, Message>,
    ) -> Option<Reply> {
        for _ in 0..SUBMISSIONS_MAX {
            match self.submit(later, connection, turn) {
                Ok(()) => return None,
                Err(Reply::Later(instead)) => later = instead,
                Err(answer) => return Some(answer),
            }
        }
        Some(JobError::Busy.into())
    }

    /// Submits work that no client waits for.
    pub fn do_in_background(&mut self, reply: Reply, turn: &mut Turn<'_, Message>) {
        let _no_client_waits = self.submit_all(reply, None, turn);
    }

    /// Commits the events that were emitted outside of any request's transaction.
    #[inline]
    pub(super) fn commit_outgoing(&mut self, turn: &mut Turn<'_, Message>) {
        let events = self.app.take_outgoing();
        if !events.is_empty() {
            self.commit_events(events, turn);
        }
    }

    fn commit_events(&mut self, events: Vec<NewEvent>, turn: &mut Turn<'_, Message>) {
        let kept = events.clone();
        let transaction = Transaction {
            events,
            ..Transaction::default()
        };
        let reply = Reply::commit(transaction, move |committed, cx| {
            let announces_end = kept.iter().any(|event| event.name == "server.draining");
            match committed {
                Ok(_) => cx.app.end_announced |= announces_end,
                // Other transactions are under way; their completion causes a turn.
                Err(StoreError::Busy) => cx.app.emit_again(kept),
                // Trying again at once would never end.
                Err(error) => {
                    log::error!("events are lost, {} of them: {error}", kept.len());
                    cx.app.end_announced |= announces_end;
                }
            }
            Reply::empty(204)
        });
        self.do_in_background(reply, turn);
    }
}
