//! The thread `loopgate-store`, and the loop's handle to it.
//!
//! The thread takes all transactions that wait as one group. While that group is on its way to the disk
//! the next one gathers, so the slower the disk, the larger the groups: no timer, no tuning. Readings
//! come after the group they waited with, so they see what was confirmed before, and one at a time, so
//! that a login never waits for more than one of them.

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

/// Readings that may wait for it; they take no room away from transactions.
const QUERIES_WAITING_MAX: usize = 4096;

/// What came of what was submitted.
#[derive(Debug)]
pub enum Outcome {
    /// A transaction is on disk, or it is not.
    Committed(Result<Commit, StoreError>),
    /// Events were read.
    Read(Result<Page, StoreError>),
}

impl Store {
    /// Gives the store to a worker of its own, `loopgate-store`.
    ///
    /// There, `deliver` is called once for everything submitted, with its tag and when it was done: for transactions
    /// in the order of submission, after the commit is on disk, or with the reason why it is not; for
    /// readings after everything that they could see. It should do no more than hand the outcome over.
    /// If it panics, the thread ends, and everything submitted from then on is refused.
    ///
    /// # Errors
    /// When the system refuses a thread; the store is closed.
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
    /// Has `transaction` committed with the next group. Never blocks.
    ///
    /// # Errors
    /// [`Busy`] when [`TRANSACTIONS_WAITING_MAX`] are waiting; this one will not be delivered.
    pub fn submit(&self, tag: T, transaction: Transaction) -> Result<(), Busy> {
        self.shared.submit(|queue| {
            let room = queue.transactions.len() < TRANSACTIONS_WAITING_MAX;
            if room {
                queue.transactions.push((tag, transaction));
            }
            room
        })
    }

    /// Has a page of events read. Never blocks.
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

    /// Groups written so far: how often the disk was waited for.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.shared.commits.load(Ordering::Relaxed)
    }
}

impl<T> Drop for Writer<T> {
    fn drop(&mut self) {
        self.shared.close();
        drop(self.hired.take()); // which waits for it
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
        // No foreign code runs under this lock, so a poisoned queue is still a whole one.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `add` put something into the queue, if there is room for it.
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

    /// Sleeps until something waits, and takes all transactions and one reading; `None` when there will be
    /// no more.
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

/// What is committed together, and a reading that follows.
type Group<T> = (Vec<(T, Transaction)>, Option<(T, Query)>);

/// Writes one group after the other.
struct Scribe<T, D> {
    shared: Arc<Shared<T>>,
    engine: Box<dyn Engine>,
    deliver: D,
    taken: Option<Group<T>>,
    /// What is to be delivered, in this order.
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

/// Also when `deliver` panics: who submits to a worker that is gone must learn of it.
impl<T, D> Drop for Scribe<T, D> {
    fn drop(&mut self) {
        self.shared.close();
    }
}
