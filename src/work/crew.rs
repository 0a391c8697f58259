//! Crews run blocking work: on threads, or step by step as a test decides.

use std::io;
use std::sync::Arc;
use std::thread;

use super::findings::Findings;

/// Takes work from a queue, one piece after the other.
pub trait Worker: Send {
    /// Sleeps until something waits, and takes it. False when no more work will come.
    fn take(&mut self) -> bool;

    /// Does the work that was taken, which may block; does nothing if none was taken. `found` is for the seams that
    /// are called meanwhile.
    fn work(&mut self, found: &mut Findings);

    /// Delivers the result, and when the work was done, if that is known. Never blocks; does nothing if no work was
    /// done.
    fn deliver(&mut self, worked: Option<Worked>);

    /// Whether something waits, so that taking it would not sleep.
    fn is_wanted(&self) -> bool;
}

/// The seam that decides how work is done outside the loop, and in which order it ends.
pub trait Crew {
    /// Runs `worker` for as long as work may come.
    ///
    /// # Errors
    /// When the system has no room for one more.
    fn hire(&mut self, name: String, worker: Box<dyn Worker>) -> io::Result<Hired>;
}

/// A worker with a single piece of work.
#[derive(Debug)]
pub struct Once<F> {
    waiting: Option<F>,
    taken: Option<F>,
}

impl<F: FnOnce() + Send> Once<F> {
    /// A worker that does `work`.
    #[must_use]
    pub fn new(work: F) -> Self {
        Self {
            waiting: Some(work),
            taken: None,
        }
    }
}

impl<F: FnOnce() + Send> Worker for Once<F> {
    fn take(&mut self) -> bool {
        self.taken = self.waiting.take();
        self.taken.is_some()
    }

    fn work(&mut self, _: &mut Findings) {
        if let Some(work) = self.taken.take() {
            work();
        }
    }

    fn deliver(&mut self, _: Option<Worked>) {}

    fn is_wanted(&self) -> bool {
        self.waiting.is_some()
    }
}

/// A hired worker. If it works by itself, dropping this waits until it has nothing more to do.
pub struct Hired {
    wait: Option<Box<dyn FnOnce() + Send>>,
}

impl std::fmt::Debug for Hired {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hired").finish_non_exhaustive()
    }
}

impl Hired {
    /// A worker that its crew runs step by step: there is nothing to wait for.
    #[must_use]
    pub fn by_hand() -> Self {
        Self { wait: None }
    }

    /// A worker whose end `wait` waits for.
    pub(super) fn until(wait: impl FnOnce() + Send + 'static) -> Self {
        Self {
            wait: Some(Box::new(wait)),
        }
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        if let Some(wait) = self.wait.take() {
            wait();
        }
    }
}

/// Gives each worker a thread of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads;

impl Crew for Threads {
    fn hire(&mut self, name: String, worker: Box<dyn Worker>) -> io::Result<Hired> {
        on_a_thread(name, worker, |work| {
            work();
            None
        })
    }
}

/// The same, with work timed by the loop's clock; the times come with each delivery.
#[derive(Clone)]
pub struct TimedThreads(Arc<dyn Fn() -> u64 + Send + Sync>);

impl std::fmt::Debug for TimedThreads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TimedThreads")
    }
}

impl TimedThreads {
    /// `now_ns` reads the clock.
    #[must_use]
    pub fn new(now_ns: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_ns))
    }
}

impl Crew for TimedThreads {
    fn hire(&mut self, name: String, worker: Box<dyn Worker>) -> io::Result<Hired> {
        let (now_ns, who) = (Arc::clone(&self.0), Arc::<str>::from(&*name));
        on_a_thread(name, worker, move |work| {
            let started_ns = now_ns();
            work();
            Some(Worked {
                worker: Arc::clone(&who),
                started_ns,
                finished_ns: now_ns(),
            })
        })
    }
}

/// When a piece of work was done, by the loop's clock, and by which worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worked {
    /// The worker's name.
    pub worker: Arc<str>,
    /// When it began.
    pub started_ns: u64,
    /// When it was done.
    pub finished_ns: u64,
}

/// Each piece of work is run by `time`, which may return when it was done.
fn on_a_thread(
    name: String,
    mut worker: Box<dyn Worker>,
    time: impl Fn(&mut dyn FnMut()) -> Option<Worked> + Send + 'static,
) -> io::Result<Hired> {
    let work = move || {
        while worker.take() {
            let times = time(&mut || worker.work(&mut Findings::new()));
            worker.deliver(times);
        }
    };
    let thread = thread::Builder::new().name(name).spawn(work)?;
    // A panic there has been printed; it must not become a second one here.
    Ok(Hired::until(move || drop(thread.join())))
}
