//! The desk where work is handed out to other threads, and where what follows it is kept until it is done.
//!
//! There is a table for each kind of work, since each kind is followed by something of its own type.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::message::{Completion, Message};
use crate::app::{Confirmed, Context, Continuation, Job, JobError, Later, Output, Reply};
use crate::ledger::{JobRecord, Label, Limit};
use crate::reactor::{Completer, Moment, Slots, Token, Turn};
use crate::work::{self, Busy, Delivery, Findings, Page, Pool, StoreError, Worked, Writer};

/// The threads that do what blocks.
#[derive(Debug)]
pub struct Workers {
    /// Hashes passwords, runs handlers' jobs.
    pub pool: Pool,
    /// Writes the store.
    pub writer: Writer<Token>,
}

/// The threads, and what they have to do.
pub(super) struct Desk {
    workers: Workers,
    completer: Completer<Completion>,
    pub(super) jobs: Table<Result<Output, JobError>>,
    pub(super) commits: Table<Result<Confirmed, StoreError>>,
    pub(super) reads: Table<Result<Page, StoreError>>,
}

/// Work of one kind that other threads have. Its names are those of the work.
pub(super) struct Table<T> {
    kind: Kind,
    pending: Slots<Pending<T>>,
}

/// Which table a piece of work is in: a name of one may be a name of another, too.
#[derive(Clone, Copy)]
enum Kind {
    Job = 0,
    Commit = 1,
    Read = 2,
}

/// Where a table's kind stands in the ledger's names of its work: above the places of a billion pieces of work.
const KIND_SHIFT: u32 = 30;

/// Work that another thread has, and what is done with its result.
pub(super) struct Pending<T> {
    pub(super) order: Order,
    pub(super) then: Continuation<T>,
}

/// For whom some work is, and since when.
#[derive(Clone, Copy)]
pub(super) struct Order {
    /// The connection that waits for the answer; none does, for the server's own work.
    pub(super) connection: Option<Token>,
    /// What the dispatch was named that handed it out: the ledger knows the rest by the same name.
    pub(super) label: Label,
    /// When it was handed out.
    pub(super) submitted: Moment,
}

/// What no thread takes, and what would have followed it.
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

    /// How often the disk was waited for.
    pub(super) fn commit_groups(&self) -> u64 {
        self.workers.writer.commits()
    }

    /// What hands a completion to the loop.
    pub(super) fn completer(&self) -> Completer<Completion> {
        self.completer.clone()
    }

    /// Hands work to a thread of its kind.
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

    /// Has a thread of the pool do what delivers its own result.
    ///
    /// # Errors
    /// When as many jobs wait as may.
    pub(super) fn hand_out_unnamed(&mut self, job: work::Job) -> Result<(), Busy> {
        self.workers.pool.submit(job)
    }

    /// Forgets what follows the jobs of the pool; the connections that wait for it.
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

    /// What would have followed work that no thread has taken.
    fn take_back(&mut self, id: Token) -> Continuation<T> {
        let refused = self.pending.remove(id);
        refused.expect("it was added just now").then
    }

    /// Takes out work that is done, and records it with the times at which a thread did it. `None` if it was given
    /// up.
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
    /// Of what there is too much.
    pub(super) fn limit(&self) -> Limit {
        match self {
            Self::Job(_) => Limit::Jobs,
            Self::Commit(_) | Self::Read(_) => Limit::Transactions,
        }
    }

    /// What follows: an answer, or other work in its place.
    pub(super) fn follow(self, cx: &mut Context<'_>) -> Reply {
        match self {
            Self::Job(then) => then(Err(JobError::Busy), cx),
            Self::Commit(then) => then(Err(StoreError::Busy), cx),
            Self::Read(then) => then(Err(StoreError::Busy), cx),
        }
    }
}
