//! A few named threads behind one bounded queue, in which each client has a line of its own.
//!
//! It deliberately knows no results: a job returns a closure that delivers its result, so one pool serves
//! password hashing and the jobs of handlers.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io, mem};

use thiserror::Error;

use super::crew::{Crew, Hired, Worked, Worker};
use super::findings::Findings;
use super::lines::{Line, Lines};
use super::password;
use crate::planted::{Bug, planted};

/// How long a thread without a job keeps the memory of its last password hash for the next one.
const MEMORY_KEPT: Duration = Duration::from_secs(1);

/// Work for a worker thread; it returns the closure that delivers its result, which must not block.
pub type Job = Box<dyn FnOnce(&mut Findings) -> Delivery + Send>;

/// Delivers a result, with the time at which it was made if that is known.
pub type Delivery = Box<dyn FnOnce(Option<Worked>) + Send>;

/// Called when a job had to give way to another one.
type GaveWay = Box<dyn FnOnce() + Send>;

/// A queue is full; the submitted work was dropped and will not be done.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("too much is waiting already")]
pub struct Busy;

/// Worker threads and the jobs that wait for them. Jobs of one client are done in their order, and clients are
/// served in turn.
///
/// Dropping it drops the jobs that no thread has begun, and waits for those that run: a job that has
/// begun always delivers.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<Hired>,
    waiting_max: usize,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// A job that no thread has yet.
struct Waiting {
    job: Job,
    /// Only for a client's job.
    gave_way: Option<GaveWay>,
}

struct Queue {
    jobs: Lines<Waiting>,
    /// Threads without a job. A thread that has not yet woken up for its job still counts, so the bound
    /// below does not depend on how fast threads wake.
    idle: usize,
    closed: bool,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("jobs", &self.jobs.len())
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Hires `workers` workers, named `loopgate-hash-0` and so on. In addition to the jobs that they run,
    /// `waiting_max` may wait.
    ///
    /// # Errors
    /// If the system refuses a thread; those already started are ended again.
    pub fn start(crew: &mut dyn Crew, workers: usize, waiting_max: usize) -> io::Result<Self> {
        let mut pool = Self {
            shared: Arc::new(Shared {
                queue: Mutex::new(Queue {
                    jobs: Lines::default(),
                    idle: workers,
                    closed: false,
                }),
                changed: Condvar::new(),
            }),
            workers: Vec::with_capacity(workers),
            waiting_max,
        };
        for number in 0..workers {
            let hand = Box::new(Hand {
                shared: Arc::clone(&pool.shared),
                has: Has::Nothing,
            });
            let hired = crew.hire(format!("loopgate-hash-{number}"), hand)?;
            pool.workers.push(hired);
        }
        Ok(pool)
    }

    /// Hands `job` to the next free thread, for the server itself. Never blocks.
    ///
    /// # Errors
    /// [`Busy`] if every thread has a job, `waiting_max` more are waiting, and no client has so many of
    /// those that one of them gives way.
    pub fn submit(&self, job: Job) -> Result<(), Busy> {
        let gave_way = None;
        self.enqueue(None, Waiting { job, gave_way })
    }

    /// The same for the client with the number `line`. While the job waits, a job of another client may take
    /// its place; then it is dropped, and the thread that submits the other job calls `gave_way`.
    ///
    /// # Errors
    /// As above. The client with most waiting jobs is refused first.
    pub fn submit_for(&self, line: u128, job: Job, gave_way: GaveWay) -> Result<(), Busy> {
        let gave_way = Some(gave_way);
        self.enqueue(Some(line), Waiting { job, gave_way })
    }

    fn enqueue(&self, line: Line, waiting: Waiting) -> Result<(), Busy> {
        let mut queue = self.shared.lock();
        let is_full = queue.jobs.len() >= self.waiting_max.saturating_add(queue.idle);
        let instead = if is_full {
            Some(queue.jobs.make_way(line).ok_or(Busy)?)
        } else {
            None
        };
        queue.jobs.push(line, waiting);
        drop(queue);
        self.shared.changed.notify_one();
        if let Some(tell) = instead.and_then(|waiting| waiting.gave_way)
            && !planted(Bug::GaveWayUntold)
        {
            guarded(tell);
        }
        Ok(())
    }

    /// Jobs for which no thread is free.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let queue = self.shared.lock();
        queue.jobs.len().saturating_sub(queue.idle)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let unrun = {
            let mut queue = self.shared.lock();
            queue.closed = true;
            std::mem::take(&mut queue.jobs)
        };
        self.shared.changed.notify_all();
        // Outside the lock: dropping what a job owns may take time.
        drop(unrun);
        self.workers.clear(); // this waits for them
    }
}

/// Runs one job after the other.
struct Hand {
    shared: Arc<Shared>,
    has: Has,
}

/// The state of a worker.
enum Has {
    Nothing,
    Job(Job),
    /// The job is done; nothing is to be delivered if it panicked.
    Done(Option<Delivery>),
}

impl Worker for Hand {
    fn take(&mut self) -> bool {
        self.has = self.shared.next().map_or(Has::Nothing, Has::Job);
        matches!(self.has, Has::Job(_))
    }

    fn work(&mut self, found: &mut Findings) {
        self.has = match mem::replace(&mut self.has, Has::Nothing) {
            Has::Job(job) => Has::Done(guarded(|| job(found))),
            other => other,
        };
    }

    fn deliver(&mut self, worked: Option<Worked>) {
        if let Has::Done(delivery) = mem::replace(&mut self.has, Has::Nothing) {
            if let Some(delivery) = delivery {
                guarded(|| delivery(worked));
            }
            self.shared.lock().idle += 1;
        }
    }

    fn is_wanted(&self) -> bool {
        !self.shared.lock().jobs.is_empty()
    }
}

/// Runs a closure; `None` if it panics.
fn guarded<T>(job: impl FnOnce() -> T) -> Option<T> {
    let done = panic::catch_unwind(AssertUnwindSafe(job));
    if done.is_err() {
        log::error!("a job panicked on its worker thread; the thread goes on");
    }
    done.ok()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No foreign code runs under this lock, so a poisoned queue is still consistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until there is a job; `None` once the pool is being dropped.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            if let Some(waiting) = queue.jobs.pop() {
                queue.idle -= 1;
                return Some(waiting.job);
            }
            // A thread that keeps no memory sleeps for ever: an idle server does nothing.
            if !password::keeps_memory() {
                let woken = self.changed.wait(queue);
                queue = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let woken = self.changed.wait_timeout(queue, MEMORY_KEPT);
            let (waited, timeout) = woken.unwrap_or_else(PoisonError::into_inner);
            queue = waited;
            if timeout.timed_out() && queue.jobs.is_empty() {
                drop(queue);
                password::release_memory();
                queue = self.lock();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::work::Threads;

    /// A job without a result.
    fn job(does: impl FnOnce() + Send + 'static) -> Job {
        Box::new(move |_| {
            does();
            Box::new(|_| {})
        })
    }

    /// A job that reports that it began, and ends when told to, with the two channels for that.
    fn held() -> (Job, mpsc::Receiver<()>, mpsc::Sender<()>) {
        let (began_send, began) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let held = job(move || {
            began_send.send(()).unwrap();
            let _ = released.recv();
        });
        (held, began, release)
    }

    #[test]
    fn jobs_run_on_named_threads() {
        let pool = Pool::start(&mut Threads, 1, 1).unwrap();
        let (send, name) = mpsc::channel();
        let say = move || {
            let thread = thread::current();
            send.send(thread.name().map(String::from)).unwrap();
        };
        pool.submit(job(say)).unwrap();
        assert_eq!(name.recv().unwrap().as_deref(), Some("loopgate-hash-0"));
    }

    #[test]
    fn only_jobs_without_a_thread_count_as_waiting() {
        let pool = Pool::start(&mut Threads, 2, 3).unwrap();
        let mut releases = Vec::new();
        // Two jobs for the threads and three to wait, without giving the threads time to wake up.
        for _ in 0..5 {
            let (held, began, release) = held();
            pool.submit(held).unwrap();
            releases.push((began, release));
        }
        assert_eq!(pool.waiting(), 3);
        assert_eq!(pool.submit(job(|| {})), Err(Busy));
        for (began, release) in releases {
            began.recv().unwrap();
            drop(release);
        }
    }

    #[test]
    fn a_pool_without_a_queue_still_works() {
        let pool = Pool::start(&mut Threads, 1, 0).unwrap();
        let (held, began, release) = held();
        pool.submit(held).unwrap();
        began.recv().unwrap();
        assert_eq!(pool.submit(job(|| {})), Err(Busy));
        drop(release);
    }

    #[test]
    fn a_client_with_many_jobs_gives_way_and_is_told() {
        let pool = Pool::start(&mut Threads, 1, 2).unwrap();
        let (first, began, release) = held();
        pool.submit(first).unwrap();
        began.recv().unwrap();
        let (say, hear) = mpsc::channel();
        let submit = |line, name: &'static str| {
            let (done, gave_way) = (say.clone(), say.clone());
            let gave_way = Box::new(move || gave_way.send(format!("{name} gave way")).unwrap());
            let job = job(move || done.send(format!("{name} is done")).unwrap());
            pool.submit_for(line, job, gave_way)
        };
        assert_eq!(submit(1, "one"), Ok(()));
        assert_eq!(submit(1, "two"), Ok(()));
        assert_eq!(submit(1, "three"), Err(Busy));
        assert_eq!(submit(2, "other"), Ok(()));
        assert_eq!(hear.try_recv().unwrap(), "two gave way");
        release.send(()).unwrap();
        assert_eq!(hear.recv().unwrap(), "one is done");
        assert_eq!(hear.recv().unwrap(), "other is done");
    }

    #[test]
    fn a_thread_survives_a_job_that_panics() {
        let pool = Pool::start(&mut Threads, 1, 8).unwrap();
        pool.submit(job(|| panic!("this panic belongs to the test")))
            .unwrap();
        let (send, done) = mpsc::channel();
        pool.submit(job(move || send.send(()).unwrap())).unwrap();
        done.recv().unwrap();
    }

    #[test]
    fn dropping_the_pool_ends_what_runs_and_drops_what_waits() {
        let pool = Pool::start(&mut Threads, 1, 8).unwrap();
        let (held, began, release) = held();
        let (send, ended) = mpsc::channel();
        let running = Box::new(move |_: &mut Findings| -> Delivery {
            drop(held(&mut Findings::new()));
            Box::new(move |_| send.send(()).unwrap())
        });
        let (send, unrun) = mpsc::channel();
        pool.submit(running).unwrap();
        pool.submit(job(move || send.send(()).unwrap())).unwrap();
        began.recv().unwrap();
        let dropping = thread::spawn(move || drop(pool));
        assert_eq!(unrun.recv(), Err(mpsc::RecvError));
        release.send(()).unwrap();
        dropping.join().unwrap();
        assert_eq!(ended.try_recv(), Ok(()));
    }

    #[test]
    fn what_a_hash_needed_is_given_back_when_no_other_comes() {
        let pool = Pool::start(&mut Threads, 1, 1).unwrap();
        let ask = |asked: fn() -> bool| {
            let (say, hear) = mpsc::channel();
            pool.submit(job(move || say.send(asked()).unwrap()))
                .unwrap();
            hear.recv().unwrap()
        };
        let hash = || {
            let _ = password::hash(b"password", [7; 16], crate::config::HashCost::TOKEN);
            password::keeps_memory()
        };
        assert!(ask(hash));
        assert!(ask(password::keeps_memory), "the next job comes at once");
        // The thread does not report when it releases the memory, so the test polls, less and less often.
        let mut rest = MEMORY_KEPT;
        loop {
            thread::sleep(rest);
            if !ask(password::keeps_memory) {
                break;
            }
            rest += MEMORY_KEPT;
        }
    }
}
