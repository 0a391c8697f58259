//! Appends bytes to a file on a thread, so that a slow disk cannot stop the loop.
//!
//! Unlike the log's bytes, none of these may be missing, so nothing is dropped here: the caller bounds the length of
//! the whole file. If the disk fails, the file ends there and [`Appender::failure`] says why.

use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// Appends to one file. Dropping it waits until everything is written.
#[derive(Debug)]
pub struct Appender {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    closed: bool,
    failed: Option<String>,
}

impl Appender {
    /// Starts the thread `loopgate-tape`, which writes to `file`.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn to(mut file: File) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let of_thread = Arc::clone(&shared);
        let write = move || {
            while let Some(bytes) = of_thread.next() {
                if let Err(why) = file.write_all(&bytes) {
                    of_thread.lock().failed = Some(why.to_string());
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("loopgate-tape".into());
        let thread = Some(thread.spawn(write)?);
        Ok(Self { shared, thread })
    }

    /// Queues `bytes` for writing, and empties them. Never blocks.
    pub fn append(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let mut waiting = self.shared.lock();
        if waiting.failed.is_some() {
            bytes.clear();
        } else {
            waiting.bytes.append(bytes);
        }
        drop(waiting);
        self.shared.changed.notify_one();
    }

    /// The error of the disk, if it failed; then nothing more is written.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.shared.lock().failed.clone()
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until there are bytes; `None` when no more will come.
    fn next(&self) -> Option<Vec<u8>> {
        let is_idle = |waiting: &mut Waiting| waiting.bytes.is_empty() && !waiting.closed;
        let waiting = self.changed.wait_while(self.lock(), is_idle);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let bytes = mem::take(&mut waiting.bytes);
        (!bytes.is_empty()).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::read;

    use super::*;

    #[test]
    fn everything_is_in_the_file_in_order_when_the_appender_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tape");
        let appender = Appender::to(File::create(&path).unwrap()).unwrap();
        let mut expected: Vec<u8> = Vec::new();
        for byte in 0..=255_u8 {
            let mut bytes = vec![byte; 100];
            expected.extend(&bytes);
            appender.append(&mut bytes);
            assert!(bytes.is_empty());
        }
        drop(appender);
        assert_eq!(read(path).unwrap(), expected);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_fails_is_heard_of() {
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let appender = Appender::to(full).unwrap();
        while appender.failure().is_none() {
            appender.append(&mut vec![0; 10]);
            thread::yield_now();
        }
        assert!(appender.failure().is_some_and(|why| why.contains("space")));
    }
}
