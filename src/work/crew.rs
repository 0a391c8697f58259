//! Who does what blocks: threads, or whoever a written world says.

use std::io;
use std::thread::{self, JoinHandle};

/// Takes work from a queue, one piece after the other.
pub trait Worker: Send {
    /// Sleeps until something waits, and takes it. False when nothing will come any more.
    fn take(&mut self) -> bool;

    /// Does what was taken, and delivers what came of it. Without anything taken, does nothing.
    fn finish(&mut self);

    /// Whether something waits, so that taking it would not sleep.
    fn is_wanted(&self) -> bool;
}

/// The seam through which work is done beside the loop, and in which order it ends.
pub trait Crew {
    /// Has `worker` work for as long as something may come.
    ///
    /// # Errors
    /// When the system has no room for one more.
    fn hire(&mut self, name: String, worker: Box<dyn Worker>) -> io::Result<Hired>;
}

/// A worker at work. Dropping this waits until it has nothing more to do, where it works by itself.
#[derive(Debug)]
pub struct Hired {
    thread: Option<JoinHandle<()>>,
}

impl Hired {
    /// A worker whose steps somebody else takes: there is nothing to wait for.
    #[must_use]
    pub fn by_hand() -> Self {
        Self { thread: None }
    }
}

impl Drop for Hired {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; it must not become a second one here.
            let _ = thread.join();
        }
    }
}

/// Gives each worker a thread of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Threads;

impl Crew for Threads {
    fn hire(&mut self, name: String, mut worker: Box<dyn Worker>) -> io::Result<Hired> {
        let work = move || {
            while worker.take() {
                worker.finish();
            }
        };
        let thread = thread::Builder::new().name(name).spawn(work)?;
        Ok(Hired {
            thread: Some(thread),
        })
    }
}
