//! Workers on threads of their own, whose work begins and ends when the loop says so.
//!
//! An ordinary worker takes work and delivers results whenever its thread gets there, so two runs of the same server
//! are never the same. Here a thread does only the blocking part: the loop has the worker take something, gives it to
//! its thread, and has it deliver when the thread is done. What happens between two such [`Step`]s depends on nothing
//! but them.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::crew::{Crew, Hired, Worker};
use super::findings::{Finding, Findings};

/// A step of a worker; workers are named by their indexes, in the order in which they were hired.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It took what waited.
    Took(usize),
    /// It delivered its result, with these findings.
    Delivered(usize, Vec<Finding>),
}

/// Workers that the loop runs step by step. Clones are the same crew.
#[derive(Clone)]
pub struct SteppedCrew {
    desks: Arc<Mutex<Vec<Desk>>>,
    done: Arc<Mutex<Receiver<Done>>>,
    say_done: Sender<Done>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

/// The place of a worker while it does not work.
struct Desk {
    /// `None` while its thread has the worker.
    worker: Option<Box<dyn Worker>>,
    thread: Sender<Box<dyn Worker>>,
}

/// A worker comes back from its thread.
struct Done {
    place: usize,
    worker: Box<dyn Worker>,
    found: Findings,
}

impl std::fmt::Debug for SteppedCrew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SteppedCrew").finish_non_exhaustive()
    }
}

impl SteppedCrew {
    /// A crew without workers. `wake` is called, from any thread, when a worker can deliver.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        let (say_done, done) = mpsc::channel();
        Self {
            desks: Arc::default(),
            done: Arc::new(Mutex::new(done)),
            say_done,
            wake: Arc::new(wake),
        }
    }

    /// Has every worker that can take a step do so, and reports each step to `tell`. Never blocks.
    pub fn step(&self, mut tell: impl FnMut(Step)) {
        while let Ok(done) = lock(&self.done).try_recv() {
            tell(self.deliver(done));
        }
        for (place, desk) in lock(&self.desks).iter_mut().enumerate() {
            let Some(mut worker) = desk.worker.take() else {
                continue;
            };
            if worker.is_wanted() && worker.take() {
                tell(Step::Took(place));
                // A thread that is gone has panicked, and its worker is lost with it.
                let _ = desk.thread.send(worker);
            } else {
                desk.worker = Some(worker);
            }
        }
    }

    fn deliver(&self, done: Done) -> Step {
        let Done {
            place,
            mut worker,
            found,
        } = done;
        worker.deliver(None);
        lock(&self.desks)[place].worker = Some(worker);
        Step::Delivered(place, found.into())
    }

    /// Waits until that worker has nothing more to do, and releases it.
    fn dismiss(&self, place: usize) {
        while lock(&self.desks)[place].worker.is_none() {
            let Ok(done) = lock(&self.done).recv() else {
                return;
            };
            self.deliver(done);
        }
        let worker = lock(&self.desks)[place].worker.take();
        let Some(mut worker) = worker else { return };
        while worker.is_wanted() && worker.take() {
            worker.work(&mut Findings::new());
            worker.deliver(None);
        }
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only one thread uses workers under these locks; a panic there ends the server.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crew for SteppedCrew {
    fn hire(&mut self, name: String, worker: Box<dyn Worker>) -> io::Result<Hired> {
        let place = lock(&self.desks).len();
        let (thread, given) = mpsc::channel::<Box<dyn Worker>>();
        let (say_done, wake) = (self.say_done.clone(), Arc::clone(&self.wake));
        let work = move || {
            for mut worker in given {
                let mut found = Findings::new();
                worker.work(&mut found);
                let done = Done {
                    place,
                    worker,
                    found,
                };
                if say_done.send(done).is_ok() {
                    wake();
                }
            }
        };
        thread::Builder::new().name(name).spawn(work)?;
        lock(&self.desks).push(Desk {
            worker: Some(worker),
            thread,
        });
        let crew = self.clone();
        Ok(Hired::until(move || crew.dismiss(place)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::work::{Delivery, Pool};

    #[test]
    fn nothing_is_taken_or_delivered_between_two_steps() {
        let (woken, wakes) = channel();
        let mut crew = SteppedCrew::new(move || woken.send(()).unwrap_or_default());
        let pool = Pool::start(&mut crew, 2, 4).unwrap();
        let (say, hear) = channel();
        for number in 0..2 {
            let say = say.clone();
            let job = move |_: &mut Findings| -> Delivery {
                Box::new(move |_| say.send(number).unwrap())
            };
            pool.submit(Box::new(job)).unwrap();
        }
        let step = || {
            let mut steps = Vec::new();
            crew.step(|step| steps.push(step));
            steps
        };
        assert_eq!(step(), [Step::Took(0), Step::Took(1)]);
        wakes.recv().unwrap();
        wakes.recv().unwrap();
        assert!(
            hear.try_recv().is_err(),
            "both are done, and neither delivers"
        );
        assert_eq!(step().len(), 2);
        assert_eq!(hear.try_iter().sum::<i32>(), 1);
        assert_eq!(step(), []);
    }

    #[test]
    fn who_has_begun_is_waited_for_at_the_end() {
        let mut crew = SteppedCrew::new(|| {});
        let pool = Pool::start(&mut crew, 1, 4).unwrap();
        let (say, hear) = channel();
        let job = move |_: &mut Findings| -> Delivery { Box::new(move |_| say.send(()).unwrap()) };
        pool.submit(Box::new(job)).unwrap();
        crew.step(drop);
        drop(pool);
        assert_eq!(hear.try_recv(), Ok(()));
    }
}
