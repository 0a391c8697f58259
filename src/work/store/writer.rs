//! The thread `loopgate-store`, and the loop's handle to it.
//!
//! The thread takes all waiting transactions as one group. While that group is being committed, the next one
//! gathers, so the slower the disk, the larger the groups: no timer, no tuning. A reading comes after the group
//! that it waited with, so it sees what was confirmed before; and readings come one at a time, so that a login
//! never waits for more than one of them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use super::{Commit, Engine, Page, Query, Store, StoreError, Transaction};
use crate::planted::{Bug, planted};
use crate::work::{Busy, Crew, Findings, Hired, Worked, Worker};

/// Transactions that may wait for the storage thread, and so the most that one commit holds.
pub const TRANSACTIONS_WAITING_MAX: usize = 4096;

/// Readings that may wait for it, in addition to the transactions.
const QUERIES_WAITING_MAX: usize = 4096;

/// The result of submitted work.
#[derive(Debug)]
pub enum Outcome {
    /// A transaction is on disk, or it failed.
    Committed(Result<Commit, StoreError>),
    /// Events were read.
    Read(Result<Page, StoreError>),
}

impl Store {
    /// Gives the store to a worker of its own, `loopgate-store`.
    ///
    /// That worker calls `deliver` once for each submission, with its tag and when it was done: for transactions in
    /// the order of submission, after the commit is on disk, or with the reason why it is not; for readings after
    /// everything that they could see. `deliver` should only pass the outcome on. If it panics, the thread ends, and
    /// everything that is submitted from then on is refused.
    ///
    /// # Errors
    /// If the system refuses a thread; then the store is closed.
    pub fn into_writer<T>(
        self,
        crew: &mut dyn Crew,
        deliver: impl Fn(T, Outcome, Option<Worked>) + Send + 'static,
    ) -> io::Result<Writer<T>>
    where
        T: Send + 'static,
    {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue {
                transactions: Vec::new(),
                queries: VecDeque::new(),
                closed: false,
            }),
            changed: Condvar::new(),
            commits: AtomicU64::new(0),
        });
        let scribe = Box::new(Scribe {
            shared: Arc::clone(&shared),
            engine: self.0,
            deliver,
            taken: None,
            done: Vec::new(),
        });
        let hired = crew.hire("loopgate-store".into(), scribe)?;
        Ok(Writer {
            shared,
            hired: Some(hired),
        })
    }
}

/// The loop's handle to the storage thread; `T` is the caller's tag for a transaction.
///
/// Dropping it waits until everything submitted is on disk and delivered and the file is closed.
pub struct Writer<T> {
    shared: Arc<Shared<T>>,
    hired: Option<Hired>,
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("commits", &self.commits())
            .finish_non_exhaustive()
    }
}

impl<T> Writer<T> {
    /// Submits `transaction` for the next group. Never blocks.
    ///
    /// # Errors
    /// [`Busy`] if [`TRANSACTIONS_WAITING_MAX`] are waiting; then this one is not delivered.
    pub fn submit(&self, tag: T, transaction: Transaction) -> Result<(), Busy> {
        self.shared.submit(|queue| {
            let room = queue.transactions.len() < TRANSACTIONS_WAITING_MAX;
            if room {
                queue.transactions.push((tag, transaction));
            }
            room
        })
    }

    /// Submits the reading of a page of events. Never blocks.
    ///
    /// # Errors
    /// [`Busy`] when 4096 are waiting.
    pub fn read(&self, tag: T, query: Query) -> Result<(), Busy> {
        self.shared.submit(|queue| {
            let room = queue.queries.len() < QUERIES_WAITING_MAX;
            if room {
                queue.queries.push_back((tag, query));
            }
            room
        })
    }

    /// Groups written so far, which is how often the thread waited for the disk.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        self.shared.close();
        drop(self.hired.take()); // this waits for the thread
    }
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
    commits: AtomicU64,
}

struct Queue<T> {
    transactions: Vec<(T, Transaction)>,
    queries: VecDeque<(T, Query)>,
    closed: bool,
}

impl<T> Queue<T> {
    fn is_empty(&self) -> bool {
        self.transactions.is_empty() && self.queries.is_empty()
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        // No foreign code runs under this lock, so a poisoned queue is still consistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `add` to put something into the queue, if there is room for it.
    fn submit(&self, add: impl FnOnce(&mut Queue<T>) -> bool) -> Result<(), Busy> {
        let mut queue = self.lock();
        if queue.closed || !add(&mut queue) {
            return Err(Busy);
        }
        drop(queue);
        self.changed.notify_one();
        Ok(())
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Sleeps until something waits, and takes all transactions and one reading; `None` when no more will
    /// come.
    fn next_group(&self) -> Option<Group<T>> {
        let mut queue = self
            .changed
            .wait_while(self.lock(), |queue| queue.is_empty() && !queue.closed)
            .unwrap_or_else(PoisonError::into_inner);
        if queue.is_empty() {
            return None;
        }
        let transactions = mem::take(&mut queue.transactions);
        Some((transactions, queue.queries.pop_front()))
    }
}

/// Transactions that are committed together, and a reading that follows.
type Group<T> = (Vec<(T, Transaction)>, Option<(T, Query)>);

/// Writes one group after the other.
struct Scribe<T, D> {
    shared: Arc<Shared<T>>,
    engine: Box<dyn Engine>,
    deliver: D,
    taken: Option<Group<T>>,
    /// Outcomes to deliver, in this order.
    done: Vec<(T, Outcome)>,
}

impl<T: Send, D: Fn(T, Outcome, Option<Worked>) + Send> Worker for Scribe<T, D> {
    fn take(&mut self) -> bool {
        self.taken = self.shared.next_group();
        self.taken.is_some()
    }

    fn work(&mut self, found: &mut Findings) {
        let Some((group, query)) = self.taken.take() else {
            return;
        };
        if !group.is_empty() {
            self.commit(group, found);
        }
        if let Some((tag, query)) = query {
            let page = self.engine.read(&query, found);
            self.done.push((tag, Outcome::Read(page)));
        }
    }

    fn deliver(&mut self, worked: Option<Worked>) {
        if planted(Bug::DroppedCompletion) && self.done.len() > 1 {
            self.done.pop();
        }
        for (tag, outcome) in self.done.drain(..) {
            (self.deliver)(tag, outcome, worked.clone());
        }
    }

    fn is_wanted(&self) -> bool {
        !self.shared.lock().is_empty()
    }
}

impl<T, D> Scribe<T, D> {
    fn commit(&mut self, group: Vec<(T, Transaction)>, found: &mut Findings) {
        let (tags, transactions): (Vec<T>, Vec<Transaction>) = group.into_iter().unzip();
        match self.engine.commit(transactions, found) {
            Ok(outcomes) => {
                self.shared.commits.fetch_add(1, Ordering::Relaxed);
                let outcomes = outcomes.into_iter().map(Outcome::Committed);
                self.done.extend(tags.into_iter().zip(outcomes));
            }
            Err(why) => {
                let failed = |tag| (tag, Outcome::Committed(Err(why.clone())));
                let skipped = usize::from(planted(Bug::UntoldFailure) && tags.len() > 1);
                self.done.extend(tags.into_iter().skip(skipped).map(failed));
            }
        }
    }
}

/// Also runs when `deliver` panics: a caller that submits to a worker that is gone must learn of it.
impl<T, D> Drop for Scribe<T, D> {
    fn drop(&mut self) {
        self.shared.close();
    }
}
