//! SIGUSR2: starts another process, and hands over to it when it is ready.
//!
//! The server does not wait for that process, which may hang: it continues to serve, and a separate thread waits.
//! A server that is told to stop meanwhile ends that process and does not wait for it either.

use std::cell::RefCell;
use std::mem;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loopgate::reactor::socket_pair;
use loopgate::server::{Handle, Sockets};
use loopgate::work::crew::{Crew as _, Hired, Once, Threads};

use super::Failure;
use super::handover::Successor;

/// The process that is about to take over from this one, if there is one.
#[derive(Debug, Default)]
pub(super) struct Restart {
    progress: Arc<Mutex<Progress>>,
    thread: RefCell<Option<Hired>>,
}

/// The state of a restart.
#[derive(Debug, Default)]
enum Progress {
    /// No restart is under way.
    #[default]
    Nothing,
    /// The process has been started; it is ended by shutting this line.
    Starting(UnixStream),
    /// It is ready, and the server is handing over.
    Ready(Successor),
    /// The server stops for good. A process that was ready has been killed.
    Cancelled { _killed: Option<Successor> },
}

impl Restart {
    /// Starts `program`, and makes `server` hand over as soon as it is ready. A failure is logged, and
    /// changes nothing.
    pub(super) fn begin(&self, program: &Path, sockets: &Sockets, server: Handle) {
        if let Err(why) = self.try_to_begin(program, sockets, server) {
            log::warn!("cannot restart, and serving on: {why}");
        }
    }

    fn try_to_begin(
        &self,
        program: &Path,
        sockets: &Sockets,
        server: Handle,
    ) -> Result<(), Failure> {
        match *lock(&self.progress) {
            Progress::Nothing => {}
            Progress::Starting(_) | Progress::Ready(_) => {
                return Err("another process is about to go on already".into());
            }
            Progress::Cancelled { .. } => return Err("the server is about to end".into()),
        }
        let copies = sockets.copies()?;
        let (line, stdin) = socket_pair()?;
        *lock(&self.progress) = Progress::Starting(line.try_clone()?);
        let (progress, program) = (Arc::clone(&self.progress), program.to_owned());
        let start = Once::new(move || {
            let started = Successor::start(&program, &copies, line, stdin);
            let mut progress = lock(&progress);
            if !matches!(*progress, Progress::Starting(_)) {
                return; // cancelled; the process is ended when it is dropped here
            }
            *progress = match started {
                Ok(successor) => {
                    server.hand_over();
                    Progress::Ready(successor)
                }
                Err(error) => {
                    let program = program.display();
                    log::error!(
                        "cannot restart, and serving on: {program} did not become ready: {error}"
                    );
                    Progress::Nothing
                }
            };
        });
        let hired = Threads.hire("loopgate-next".into(), Box::new(start));
        // The thread of an earlier attempt has ended, or is about to.
        *self.thread.borrow_mut() = Some(hired.inspect_err(|_| {
            *lock(&self.progress) = Progress::Nothing;
        })?);
        Ok(())
    }

    /// The server stops for good: no process is to take over. Does not wait.
    pub(super) fn cancel(&self) {
        let mut progress = lock(&self.progress);
        let killed = match mem::take(&mut *progress) {
            Progress::Ready(mut successor) => {
                successor.kill();
                Some(successor)
            }
            Progress::Starting(line) => {
                // The thread reads the end of the line, and ends the process.
                let _ = line.shutdown(Shutdown::Both);
                None
            }
            Progress::Nothing | Progress::Cancelled { .. } => None,
        };
        *progress = Progress::Cancelled { _killed: killed };
    }

    /// The server has ended: returns the process that is ready, if there is one. A process that is not ready is ended.
    pub(super) fn finish(&self) -> Option<Successor> {
        let progress = mem::take(&mut *lock(&self.progress));
        let ready = match progress {
            Progress::Ready(successor) => Some(successor),
            other => {
                *lock(&self.progress) = other;
                self.cancel();
                None
            }
        };
        drop(self.thread.take()); // waits for it
        ready
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
