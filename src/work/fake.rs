//! Work in a fake world: workers that the world runs step by step, and a disk that outlives the server
//! and fails when it is told to.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(test)]
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};

use super::crew::{Crew, Hired, Worker};
use super::findings::{Finding, Findings};
use super::store::{
    Commit, Engine, Keep, Page, Query, Snapshot, Sqlite, Store, StoreError, Transaction,
};
use crate::event::Event;
use crate::planted::{Bug, planted};

/// Workers that do nothing by themselves. Clones are the same crew.
#[derive(Clone, Default)]
pub struct FakeCrew(Rc<RefCell<Vec<Hand>>>);

/// One of them.
struct Hand {
    name: String,
    worker: Box<dyn Worker>,
    /// It has taken something, and has not finished it.
    busy: bool,
}

/// One step of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It took what waited.
    Took,
    /// It finished what it had taken.
    Finished,
}

impl std::fmt::Debug for FakeCrew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hands = self.0.borrow();
        f.debug_list()
            .entries(hands.iter().map(|hand| &hand.name))
            .finish()
    }
}

impl FakeCrew {
    /// The indexes of the workers that have something to do.
    #[must_use]
    pub fn wanted(&self) -> Vec<usize> {
        let hands = self.0.borrow();
        let wanted = hands
            .iter()
            .enumerate()
            .filter(|(_, hand)| hand.busy || hand.worker.is_wanted());
        wanted.map(|(place, _)| place).collect()
    }

    /// Whether there is a worker with that index.
    #[must_use]
    pub fn has(&self, place: usize) -> bool {
        place < self.0.borrow().len()
    }

    /// The name of that worker.
    #[must_use]
    pub fn name(&self, place: usize) -> String {
        self.0.borrow()[place].name.clone()
    }

    /// Runs that worker for one step: it takes what waits, or finishes what it has. `None` if it has nothing
    /// to do.
    #[must_use]
    pub fn step(&self, place: usize) -> Option<Step> {
        self.step_finding(place, Vec::new())
    }

    /// The same, with these findings for the work that it finishes.
    #[must_use]
    pub fn step_finding(&self, place: usize, found: Vec<Finding>) -> Option<Step> {
        let mut hands = self.0.borrow_mut();
        let hand = &mut hands[place];
        if std::mem::take(&mut hand.busy) {
            hand.worker.work(&mut Findings::from(found));
            hand.worker.deliver(None);
            Some(Step::Finished)
        } else if hand.worker.is_wanted() {
            hand.busy = hand.worker.take();
            Some(Step::Took)
        } else {
            None
        }
    }

    /// Ends all workers at once, as a kill does: the work that they had taken is never finished.
    pub fn kill(&self) {
        self.0.borrow_mut().clear();
    }
}

impl Crew for FakeCrew {
    fn hire(&mut self, name: String, worker: Box<dyn Worker>) -> io::Result<Hired> {
        self.0.borrow_mut().push(Hand {
            name,
            worker,
            busy: false,
        });
        Ok(Hired::by_hand())
    }
}

/// A disk in memory, with a store on it.
pub struct FakeDisk {
    /// Keeps the contents while no server has the store open, and reads them from outside.
    keeper: Sqlite,
    name: String,
    trouble: Trouble,
}

impl std::fmt::Debug for FakeDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeDisk").finish_non_exhaustive()
    }
}

/// The error with which a disk answers instead of working.
#[derive(Clone, Default)]
struct Trouble(Arc<Mutex<Option<StoreError>>>);

impl Trouble {
    fn answer(&self) -> Result<(), StoreError> {
        let trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone().map_or(Ok(()), Err)
    }
}

/// An engine on such a disk.
struct Failing {
    engine: Sqlite,
    trouble: Trouble,
}

impl Engine for Failing {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.engine.load()
    }

    fn commit(
        &mut self,
        group: Vec<Transaction>,
        found: &mut Findings,
    ) -> Result<Vec<Result<Commit, StoreError>>, StoreError> {
        if let Err(why) = self.trouble.answer() {
            if planted(Bug::SkippedIds) {
                let events: usize = group.iter().map(|one| one.events.len()).sum();
                self.engine.use_up_ids(events as u64);
            }
            return Err(why);
        }
        self.engine.commit(group, found)
    }

    fn read(&mut self, query: &Query, found: &mut Findings) -> Result<Page, StoreError> {
        self.trouble.answer()?;
        self.engine.read(query, found)
    }
}

impl FakeDisk {
    /// An empty disk.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn new() -> Result<Self, StoreError> {
        // The names of databases in memory must be unique in the process.
        static DISKS: AtomicU64 = AtomicU64::new(0);
        let number = DISKS.fetch_add(1, Ordering::Relaxed);
        let name = format!("file:/loopgate-{number}?vfs=memdb");
        let trouble = Trouble::default();
        let keeper = Sqlite::on_memory(&name, Keep::ALL, true)?;
        Ok(Self {
            keeper,
            name,
            trouble,
        })
    }

    /// Opens the store, as a server does when it starts. The previous server must have closed it.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn open(&self, keep: impl Into<Keep>) -> Result<Store, StoreError> {
        Ok(Store::on(Failing {
            engine: Sqlite::on_memory(&self.name, keep.into(), false)?,
            trouble: self.trouble.clone(),
        }))
    }

    /// From now on the disk fails with this error, or works again.
    pub fn fail(&self, why: Option<StoreError>) {
        *self
            .trouble
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// The contents of the disk.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn look(&mut self) -> Result<Snapshot, StoreError> {
        self.keeper.refresh()?;
        self.keeper.load()
    }

    /// The id of the oldest event on it; if there is none, the id that the next event will get.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn oldest_event(&self) -> Result<u64, StoreError> {
        self.keeper.oldest_event()
    }

    /// The events on it after `since`, even while the disk fails.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn events(&mut self, since: u64) -> Result<Vec<Event>, StoreError> {
        self.keeper.refresh()?;
        self.keeper.events_since(since, usize::MAX)
    }
}

/// Readings of a store that wait until they are released.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct HeldReads(Arc<Mutex<Option<Held>>>);

/// Reports that a reading has begun, and waits.
#[cfg(test)]
type Held = (mpsc::Sender<()>, mpsc::Receiver<()>);

#[cfg(test)]
impl HeldReads {
    /// The same store, some of whose readings are held.
    pub(crate) fn hold(&self, store: Store) -> impl Engine + 'static {
        HeldEngine(store, self.clone())
    }

    /// The next reading reports that it has begun, and waits until the sender is dropped.
    pub(crate) fn next(&self) -> (mpsc::Receiver<()>, mpsc::Sender<()>) {
        let ((begun, begins), (release, released)) = (mpsc::channel(), mpsc::channel());
        *self.0.lock().unwrap() = Some((begun, released));
        (begins, release)
    }
}

#[cfg(test)]
struct HeldEngine(Store, HeldReads);

#[cfg(test)]
impl Engine for HeldEngine {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.0.load()
    }

    fn commit(
        &mut self,
        group: Vec<Transaction>,
        found: &mut Findings,
    ) -> Result<Vec<Result<Commit, StoreError>>, StoreError> {
        self.0.commit(group, found)
    }

    fn read(&mut self, query: &Query, found: &mut Findings) -> Result<Page, StoreError> {
        let held = self.1.0.lock().unwrap().take();
        if let Some((begun, released)) = held {
            let _ = begun.send(());
            let _ = released.recv_timeout(std::time::Duration::from_secs(20));
        }
        self.0.read(query, found)
    }
}
