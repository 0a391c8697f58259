//! Work for other threads, and what follows it: a service hands it out, and goes on when it is done.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::service::Service;
use crate::app::{Context, JobError, Later, Output, Reply, Then, Work, internal_error};
use crate::ledger::{JobRecord, Label, Limit};
use crate::net::message::{Completion, Message};
use crate::reactor::{Moment, Token, Turn};
use crate::work::{Busy, Delivery, Outcome, StoreError, Transaction, Worked, worked};

/// How often a handler may ask for other work instead of what was refused.
const SUBMISSIONS_MAX: usize = 4;

/// A job's name: which continuation its result is for.
pub(super) type JobId = Token;

/// A job that a worker has, and what to do with its result.
pub(super) struct Pending {
    /// Who waits for the answer; nobody, for the server's own work.
    connection: Option<Token>,
    then: Then,
    /// What the dispatch was named that handed it out: the ledger knows the rest by the same name.
    label: Label,
    /// When it was handed out.
    submitted: Moment,
}

impl Pending {
    /// Whether a thread of the pool does it, rather than the storage thread.
    pub(super) fn is_of_pool(&self) -> bool {
        matches!(self.then, Then::Job(_))
    }

    /// The connection that waits for its answer, if one does.
    pub(super) fn connection(self) -> Option<Token> {
        self.connection
    }
}

/// Which worker refused.
enum Refused {
    Job,
    Store,
}

impl Service {
    /// Hands blocking work to a worker. Where no worker takes it, its continuation is called at
    /// once, and says what to answer instead.
    fn submit(
        &mut self,
        later: Later,
        connection: Option<Token>,
        turn: &mut Turn<'_, Message>,
    ) -> Result<(), Reply> {
        let Later { work, then } = later;
        let label = turn.current_label();
        let id = self.pending.insert(Pending {
            connection,
            then,
            label,
            submitted: turn.now(),
        });
        let refused = match work {
            Work::Job(job, client) => self.submit_job(id, job, client).map_err(|_| Refused::Job),
            Work::Commit(transaction) => self
                .workers
                .writer
                .submit(id, transaction)
                .map_err(|_| Refused::Store),
            Work::Read(query) => self
                .workers
                .writer
                .read(id, query)
                .map_err(|_| Refused::Store),
        };
        match refused {
            Ok(()) => Ok(()),
            Err(refused) => {
                turn.ledger().limit_reached(match refused {
                    Refused::Job => Limit::Jobs,
                    Refused::Store => Limit::Transactions,
                });
                let Pending { then, .. } = self.pending.remove(id).expect("inserted just now");
                let instead = self.continue_with(turn, |cx| match (refused, then) {
                    (Refused::Job, Then::Job(then)) => then(Err(JobError::Busy), cx),
                    (Refused::Store, Then::Commit(then)) => then(Err(StoreError::Busy), cx),
                    (Refused::Store, Then::Read(then)) => then(Err(StoreError::Busy), cx),
                    _ => unreachable!("work and its continuation are made together"),
                });
                Err(instead.unwrap_or_else(|| Reply::Now(internal_error())))
            }
        }
    }

    fn submit_job(
        &mut self,
        id: JobId,
        job: Box<dyn FnOnce() -> Output + Send>,
        client: Option<u128>,
    ) -> Result<(), Busy> {
        let (completer, refuser) = (self.completer.clone(), self.completer.clone());
        let job = Box::new(move || -> Delivery {
            let output = catch_unwind(AssertUnwindSafe(job)).map_err(|_| JobError::Panicked);
            Box::new(move || completer.complete(Completion::Job(id, output, worked())))
        });
        let Some(client) = client else {
            return self.workers.pool.submit(job);
        };
        let gave_way = move || refuser.complete(Completion::Job(id, Err(JobError::Busy), None));
        self.workers
            .pool
            .submit_for(client, job, Box::new(gave_way))
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

    /// What a worker did comes into the ledger, with its times.
    pub(super) fn record_job(
        &mut self,
        id: JobId,
        times: Option<Worked>,
        turn: &mut Turn<'_, Message>,
    ) {
        let (Some(pending), Some(times)) = (self.pending.get(id), times) else {
            return;
        };
        let (submitted_ns, delivered_ns) = (pending.submitted.as_ns(), turn.now().as_ns());
        let label = pending.label;
        let worker = turn.ledger().label(&times.worker);
        turn.ledger().job_done(JobRecord {
            id: id.as_u64(),
            label,
            worker,
            submitted_ns,
            started_ns: times.started_ns,
            finished_ns: times.finished_ns,
            delivered_ns,
        });
    }

    /// A job's result is back: its continuation says what to answer, or what to do next.
    pub(super) fn resume(
        &mut self,
        id: JobId,
        turn: &mut Turn<'_, Message>,
        result: impl FnOnce(Then, &mut Context<'_>) -> Reply,
    ) {
        let Some(Pending {
            connection,
            then,
            label,
            ..
        }) = self.pending.remove(id)
        else {
            return;
        };
        turn.label(label);
        let message = match self.continue_with(turn, |cx| result(then, cx)) {
            None => Message::Panicked,
            Some(reply) => match self.submit_all(reply, connection, turn) {
                None => return,
                Some(reply) => Message::Answer(reply),
            },
        };
        if let Some(connection) = connection {
            turn.tell(connection, message);
        }
    }

    /// The storage thread has done something: what was confirmed is for the hub, before anybody hears
    /// of it.
    pub(super) fn stored(&mut self, id: JobId, outcome: Outcome, turn: &mut Turn<'_, Message>) {
        match outcome {
            Outcome::Committed(mut committed) => {
                match &mut committed {
                    Ok(commit) => self.app.hub.confirmed(std::mem::take(&mut commit.events)),
                    Err(error) => self.store_failed(error, turn),
                }
                self.resume(id, turn, |then, cx| match then {
                    Then::Commit(then) => then(committed, cx),
                    _ => unreachable!("a commit's continuation takes a commit"),
                });
            }
            Outcome::Read(page) => {
                if let Err(error) = &page {
                    self.store_failed(error, turn);
                }
                self.resume(id, turn, |then, cx| match then {
                    Then::Read(then) => then(page, cx),
                    _ => unreachable!("a reading's continuation takes a page"),
                });
            }
        }
    }

    fn store_failed(&mut self, error: &StoreError, turn: &Turn<'_, Message>) {
        self.app
            .report("store_failed", error.to_string(), turn.unix_ms());
    }

    /// Hands work to a worker, if it is work that is replied; `None` if one took it, else the answer.
    /// What is refused may be followed by other work, but not for ever: nothing waits in between.
    #[inline]
    pub(super) fn submit_all(
        &mut self,
        reply: Reply,
        connection: Option<Token>,
        turn: &mut Turn<'_, Message>,
    ) -> Option<Reply> {
        match reply {
            Reply::Later(later) => self.submit_until_taken(later, connection, turn),
            answer => Some(answer),
        }
    }

    fn submit_until_taken(
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

    /// Hands work to a worker that no client waits for.
    pub fn do_unasked(&mut self, reply: Reply, turn: &mut Turn<'_, Message>) {
        let _nobody_waits_for_it = self.submit_all(reply, None, turn);
    }

    /// Commits what was emitted outside of any request's transaction.
    pub(super) fn commit_outgoing(&mut self, turn: &mut Turn<'_, Message>) {
        let events = self.app.take_outgoing();
        if events.is_empty() {
            return;
        }
        let kept = events.clone();
        let transaction = Transaction {
            events,
            ..Transaction::default()
        };
        let reply = Reply::commit(transaction, move |committed, cx| {
            let announces_end = kept.iter().any(|event| event.name == "server.draining");
            match committed {
                Ok(_) => cx.app.end_announced |= announces_end,
                // Others are on their way to the disk; when they are there, a turn comes by itself.
                Err(StoreError::Busy) => cx.app.emit_again(kept),
                // To try again at once would be to try without end.
                Err(error) => {
                    log::error!("events are lost, {} of them: {error}", kept.len());
                    cx.app.end_announced |= announces_end;
                }
            }
            Reply::empty(204)
        });
        self.do_unasked(reply, turn);
    }
}
