//! Submits work to other threads, and keeps its continuations until the work is done.
//!
//! There is a table for each kind of work, since each kind has a continuation of its own type.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::message::{Completion, Message};
use crate::app::{Confirmed, Context, Continuation, Job, JobError, Later, Output, Reply};
use crate::ledger::{JobRecord, Label, Limit};
use crate::reactor::{Completer, Moment, Slots, Token, Turn};
use crate::work::{self, Busy, Delivery, Findings, Page, Pool, StoreError, Worked, Writer};

/// The threads that do blocking work.
#[derive(Debug)]
pub struct Workers {
    /// Hashes passwords, runs handlers' jobs.
    pub pool: Pool,
    /// Writes the store.
    pub writer: Writer<Token>,
}

/// The threads, and the work that they have.
pub(super) struct Desk {
    workers: Workers,
    completer: Completer<Completion>,
    pub(super) jobs: Table<Result<Output, JobError>>,
    pub(super) commits: Table<Result<Confirmed, StoreError>>,
    pub(super) reads: Table<Result<Page, StoreError>>,
}

/// Work of one kind that other threads have. Tokens of the table name the work.
pub(super) struct Table<T> {
    kind: Kind,
    pending: Slots<Pending<T>>,
}

/// The table that a piece of work is in: two tables may have the same token.
#[derive(Clone, Copy)]
enum Kind {
    Job = 0,
    Commit = 1,
    Read = 2,
}

/// The bit at which the kind of a table begins in the ledger's names of its work: above a billion slots.
const KIND_SHIFT: u32 = 30;

/// Work that another thread has, and the continuation that takes its result.
pub(super) struct Pending<T> {
    pub(super) order: Order,
    pub(super) then: Continuation<T>,
}

/// The connection that some work is for, and when the work was submitted.
#[derive(Clone, Copy)]
pub(super) struct Order {
    /// The connection that waits for the answer; `None` for the server's own work.
    pub(super) connection: Option<Token>,
    /// The label of the dispatch that submitted it: the ledger uses the same label for the rest.
    pub(super) label: Label,
    /// When it was submitted.
    pub(super) submitted: Moment,
}

/// Work that no thread takes, and its continuation.
pub(super) enum Refused {
    Job(Continuation<Result<Output, JobError>>),
    Commit(Continuation<Result<Confirmed, StoreError>>),
    Read(Continuation<Result<Page, StoreError>>),
}

impl Desk {
    pub(super) fn new(workers: Workers, completer: Completer<Completion>) -> Self {
        Self {
            workers,
            completer,
            jobs: Table::of(Kind::Job),
            commits: Table::of(Kind::Commit),
            reads: Table::of(Kind::Read),
        }
    }

    /// Pieces of work that other threads have.
    pub(super) fn len(&self) -> usize {
        self.jobs.pending.len() + self.commits.pending.len() + self.reads.pending.len()
    }

    /// Jobs for which no thread is free.
    pub(super) fn hash_queue(&self) -> usize {
        self.workers.pool.waiting()
    }

    /// How often the store waited for the disk.
    pub(super) fn commit_groups(&self) -> u64 {
        self.workers.writer.commits()
    }

    /// Hands completions to the loop.
    pub(super) fn completer(&self) -> Completer<Completion> {
        self.completer.clone()
    }

    /// Submits work to a thread of its kind.
    pub(super) fn hand_out(&mut self, later: Later, order: Order) -> Result<(), Refused> {
        match later {
            Later::Job(job, then) => {
                let id = self.jobs.add(order, then);
                let taken = self.hand_out_job(id, job);
                taken.map_err(|Busy| Refused::Job(self.jobs.take_back(id)))
            }
            Later::Commit(transaction, then) => {
                let id = self.commits.add(order, then);
                let taken = self.workers.writer.submit(id, transaction);
                taken.map_err(|_| Refused::Commit(self.commits.take_back(id)))
            }
            Later::Read(query, then) => {
                let id = self.reads.add(order, then);
                let taken = self.workers.writer.read(id, query);
                taken.map_err(|_| Refused::Read(self.reads.take_back(id)))
            }
        }
    }

    fn hand_out_job(&mut self, id: Token, job: Job) -> Result<(), Busy> {
        let Job { run, client } = job;
        let (completer, refuser) = (self.completer.clone(), self.completer.clone());
        let job = Box::new(move |found: &mut Findings| -> Delivery {
            let output = catch_unwind(AssertUnwindSafe(|| run(found)));
            let output = output.map_err(|_| JobError::Panicked);
            Box::new(move |worked| completer.complete(Completion::Job(id, output, worked)))
        });
        let Some(client) = client else {
            return self.workers.pool.submit(job);
        };
        let gave_way = move || refuser.complete(Completion::Job(id, Err(JobError::Busy), None));
        self.workers
            .pool
            .submit_for(client, job, Box::new(gave_way))
    }

    /// Submits to the pool a job that delivers its own result.
    ///
    /// # Errors
    /// If as many jobs wait as allowed.
    pub(super) fn hand_out_unnamed(&mut self, job: work::Job) -> Result<(), Busy> {
        self.workers.pool.submit(job)
    }

    /// Drops the continuations of the pool's jobs; returns the connections that wait for them.
    pub(super) fn give_up_jobs(&mut self) -> Vec<Token> {
        let jobs = &mut self.jobs.pending;
        let ids: Vec<Token> = jobs.tokens().collect();
        let given_up = ids.into_iter().filter_map(|id| jobs.remove(id));
        given_up
            .filter_map(|pending| pending.order.connection)
            .collect()
    }
}

impl<T> Table<T> {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            pending: Slots::default(),
        }
    }

    fn add(&mut self, order: Order, then: Continuation<T>) -> Token {
        self.pending.insert(Pending { order, then })
    }

    /// Takes out the continuation of work that no thread has taken.
    fn take_back(&mut self, id: Token) -> Continuation<T> {
        let refused = self.pending.remove(id);
        refused.expect("it was added just now").then
    }

    /// Takes out work that is done, and records it with the times at which a thread did it. `None` if it was given
    /// up meanwhile.
    pub(super) fn take(
        &mut self,
        id: Token,
        times: Option<Worked>,
        turn: &mut Turn<'_, Message>,
    ) -> Option<Pending<T>> {
        let pending = self.pending.remove(id)?;
        if let Some(times) = times {
            let delivered_ns = turn.now().as_ns();
            let worker = turn.ledger().label(&times.worker);
            turn.ledger().job_done(JobRecord {
                id: id.as_u64() | (self.kind as u64) << KIND_SHIFT,
                label: pending.order.label,
                worker,
                submitted_ns: pending.order.submitted.as_ns(),
                started_ns: times.started_ns,
                finished_ns: times.finished_ns,
                delivered_ns,
            });
        }
        Some(pending)
    }
}

impl Refused {
    /// The limit that was reached.
    pub(super) fn limit(&self) -> Limit {
        match self {
            Self::Job(_) => Limit::Jobs,
            Self::Commit(_) | Self::Read(_) => Limit::Transactions,
        }
    }

    /// Calls the continuation: its reply is an answer, or other work instead.
    pub(super) fn follow(self, cx: &mut Context<'_>) -> Reply {
        match self {
            Self::Job(then) => then(Err(JobError::Busy), cx),
            Self::Commit(then) => then(Err(StoreError::Busy), cx),
            Self::Read(then) => then(Err(StoreError::Busy), cx),
        }
    }
}
