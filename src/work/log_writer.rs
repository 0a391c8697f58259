//! Writes log lines to stderr or a file on a thread, so that no disk, terminal or stalled `| less`
//! can stop the loop.
//!
//! The loop's side appends a line to one shared buffer; the thread takes the whole buffer and
//! writes it at once. The buffer is bounded: lines that do not fit are dropped and counted, and the log
//! itself says how many. This file must not log: its own lines would come back to it.
//!
//! The thread is woken for a line only while it sleeps, since a wake costs more than everything else about a line. After a
//! write it lets lines gather: a line alone is written at once, and a thousand in the time of one write are one write.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::files;

/// Most bytes that may wait to be written.
pub const WAITING_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many of them access lines leave free, so that a flood of requests never costs the line that says what is wrong.
const NOT_FOR_ACCESS_BYTES: usize = 1024 * 1024;
/// How long lines gather after a write, before the next.
const GATHER_TIME: Duration = Duration::from_millis(10);
/// Bytes at which the next write does not wait for that.
const GATHER_BYTES: usize = 256 * 1024;
/// A buffer that has grown beyond this is given back to the system once it is written.
const KEPT_BYTES: usize = 1024 * 1024;
/// How long [`LogThread::finish`] waits for a target that takes nothing.
pub const FINISH_WAIT_MAX: Duration = Duration::from_secs(2);

/// Where log lines are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error.
    Stderr,
    /// A file: appended to, or created with permissions only for its owner.
    File(PathBuf),
}

/// Opens `target` and starts the thread `loopgate-log`. At most `bytes_max` bytes wait for it
/// ([`WAITING_BYTES_MAX`] is plenty).
///
/// # Errors
/// When the file cannot be opened or the system refuses a thread.
pub fn start(target: LogTarget, bytes_max: usize) -> io::Result<(LogPipe, LogThread)> {
    let output = Output {
        file: match &target {
            LogTarget::Stderr => None,
            LogTarget::File(path) => Some(files::append(path)?),
        },
        target,
        failed: None,
        torn: false,
    };
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        changed: Condvar::new(),
        bytes_max,
    });
    let thread = Arc::clone(&shared);
    thread::Builder::new()
        .name("loopgate-log".into())
        .spawn(move || thread.write_all_that_comes(output))?;
    let pipe = LogPipe {
        shared: Arc::clone(&shared),
    };
    Ok((pipe, LogThread { shared }))
}

/// The loop's end of a log. Neither of its ways in blocks or fails.
#[derive(Clone, Debug)]
pub struct LogPipe {
    shared: Arc<Shared>,
}

impl LogPipe {
    /// Appends one line of the access log, which `render` writes with its line feed, behind everything that was logged
    /// before. The line is dropped and counted if there is no room for it.
    pub fn access(&self, render: impl FnOnce(&mut Vec<u8>)) {
        let room = self.shared.bytes_max - (self.shared.bytes_max / 8).min(NOT_FOR_ACCESS_BYTES);
        let mut waiting = self.shared.lock();
        let before = waiting.bytes.len();
        if before < room && !waiting.closed {
            render(&mut waiting.bytes);
        }
        if waiting.bytes.len() > room {
            waiting.bytes.truncate(before);
        }
        self.shared.appended(before, waiting);
    }
}

impl Write for LogPipe {
    /// Takes one record, whole.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let mut waiting = self.shared.lock();
        let before = waiting.bytes.len();
        if before + record.len() <= self.shared.bytes_max && !waiting.closed {
            waiting.bytes.extend_from_slice(record);
        }
        self.shared.appended(before, waiting);
        Ok(record.len())
    }

    /// Does nothing: the thread writes as soon as it can, and the loop must not wait for it.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread that writes. Dropping it has the effect of [`finish`](Self::finish).
#[derive(Debug)]
pub struct LogThread {
    shared: Arc<Shared>,
}

impl LogThread {
    /// Has the thread open the file again by its path, after it was renamed. Never blocks.
    ///
    /// Lines written before this call go to the old file, lines after it to the new one. If the path cannot be
    /// opened, the old file stays in use, and a line in it and one on stderr say why. Stderr stays stderr.
    pub fn reopen(&self) {
        let mut waiting = self.shared.lock();
        waiting.reopen_at = Some(waiting.bytes.len());
        self.shared.wake(waiting);
    }

    /// Waits until everything is written, at most [`FINISH_WAIT_MAX`]. Lines that come later are
    /// dropped.
    pub fn finish(self) {
        drop(self);
    }
}

impl Drop for LogThread {
    fn drop(&mut self) {
        let mut waiting = self.shared.lock();
        waiting.closed = true;
        waiting.thread = Thread::Writes;
        self.shared.changed.notify_all();
        // Not a join: a stopped terminal or a full pipe would keep the program from ending.
        drop(
            self.shared
                .changed
                .wait_timeout_while(waiting, FINISH_WAIT_MAX, |waiting| !waiting.finished)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Lines that did not fit since the thread last took the buffer.
    dropped: u64,
    /// How many of `bytes` belong to the file before it is opened again.
    reopen_at: Option<usize>,
    /// What the thread does at the moment.
    thread: Thread,
    closed: bool,
    finished: bool,
}

/// What the thread does: whether it has to be woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Thread {
    /// It writes, and looks for more when it has written.
    #[default]
    Writes,
    /// It waits for more to come, until there is enough or the time is over.
    Gathers,
    /// There is nothing to write.
    Sleeps,
}

impl Waiting {
    /// Whether there is something for the thread to do.
    fn has_work(&self) -> bool {
        !self.bytes.is_empty() || self.is_urgent()
    }

    /// Whether there is something that must not wait for more to come.
    fn is_urgent(&self) -> bool {
        self.bytes.len() >= GATHER_BYTES
            || self.reopen_at.is_some()
            || self.dropped > 0
            || self.closed
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No foreign code runs under this lock, so a poisoned buffer is still consistent.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a line was appended behind `before` bytes, or dropped: wakes the thread if it must be.
    #[inline]
    fn appended(&self, before: usize, mut waiting: MutexGuard<'_, Waiting>) {
        if waiting.bytes.len() == before {
            waiting.dropped += 1;
        }
        let wake = match waiting.thread {
            Thread::Writes => false,
            Thread::Gathers => waiting.is_urgent(),
            Thread::Sleeps => true,
        };
        if wake {
            self.wake(waiting);
        }
    }

    #[cold]
    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        waiting.thread = Thread::Writes; // it will not be woken twice
        drop(waiting);
        self.changed.notify_all();
    }

    fn write_all_that_comes(&self, mut output: Output) {
        let mut bytes = Vec::new();
        loop {
            let mut waiting = self.lock();
            // What wakes this thread also says that it writes.
            if !waiting.has_work() {
                waiting.thread = Thread::Sleeps;
                let sleeps = |waiting: &mut Waiting| waiting.thread == Thread::Sleeps;
                waiting = self
                    .changed
                    .wait_while(waiting, sleeps)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            // The two buffers are swapped, so that in the long run lines cost no allocation.
            mem::swap(&mut bytes, &mut waiting.bytes);
            let dropped = mem::take(&mut waiting.dropped);
            let reopen_at = waiting.reopen_at.take();
            let last = waiting.closed;
            drop(waiting);

            if dropped > 0 {
                // They were dropped because the lines in `bytes` had filled the queue.
                let _ = writeln!(bytes, "{dropped} log lines dropped: the queue was full");
            }
            if let Some(at) = reopen_at {
                output.write(&bytes[..at]);
                output.reopen();
                output.write(&bytes[at..]);
            } else {
                output.write(&bytes);
            }
            bytes.clear();
            if bytes.capacity() > KEPT_BYTES {
                bytes = Vec::new();
            }
            if last {
                self.lock().finished = true;
                self.changed.notify_all();
                return;
            }
            self.gather();
        }
    }

    /// Lets lines come, unless there is something that must not wait.
    fn gather(&self) {
        let mut waiting = self.lock();
        if waiting.is_urgent() {
            return;
        }
        waiting.thread = Thread::Gathers;
        let gathers = |waiting: &mut Waiting| waiting.thread == Thread::Gathers;
        let (mut waiting, _) = self
            .changed
            .wait_timeout_while(waiting, GATHER_TIME, gathers)
            .unwrap_or_else(PoisonError::into_inner);
        waiting.thread = Thread::Writes;
    }
}

/// The thread's side: the target and what went wrong with it.
struct Output {
    target: LogTarget,
    /// `None` is stderr.
    file: Option<File>,
    /// Lines that could not be written since the last that could, and why.
    failed: Option<(usize, io::Error)>,
    /// The last line in the target is incomplete.
    torn: bool,
}

impl Output {
    /// Writes whole lines, after a line about those that were lost before. Lines that the target refuses
    /// are counted and dropped: a full disk must not make this thread spin or hold lines for ever.
    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if let Some((count, why)) = &self.failed {
            let torn = if self.torn { "\n" } else { "" };
            let report = format!("{torn}{count} log lines dropped: {why}\n");
            if self.write_bytes(report.as_bytes()).is_ok() {
                self.failed = None;
            }
        }
        if let Err((written, why)) = self.write_bytes(lines) {
            let lost = lines[written..].split(|byte| *byte == b'\n').count() - 1;
            let before = self.failed.take().map(|(count, _)| count);
            if before.is_none() {
                self.tell_operator(format_args!("cannot be written, and lines are lost: {why}"));
            }
            self.failed = Some((before.unwrap_or(0) + lost, why));
        }
    }

    /// Returns how many bytes were written before it failed, and why it did.
    fn write_bytes(&mut self, mut bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            let outcome = match &mut self.file {
                Some(file) => file.write(bytes),
                None => io::stderr().write(bytes),
            };
            match outcome {
                Ok(0) => return Err((whole - bytes.len(), io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    self.torn = bytes[written - 1] != b'\n';
                    bytes = &bytes[written..];
                }
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err((whole - bytes.len(), why)),
            }
        }
        Ok(())
    }

    fn reopen(&mut self) {
        let LogTarget::File(path) = &self.target else {
            return;
        };
        match files::append(path) {
            Ok(file) => {
                self.file = Some(file);
                self.torn = false;
            }
            Err(why) => {
                let report = format!("the log {} did not open again: {why}\n", path.display());
                self.write(report.as_bytes());
                self.tell_operator(format_args!(
                    "did not open again, so the old file is written on: {why}"
                ));
            }
        }
    }

    /// Reports on stderr what is wrong with the file, which the operator may not be reading. It does so only if stderr
    /// takes bytes at the moment: a stopped terminal must not stop the log.
    fn tell_operator(&self, what: fmt::Arguments<'_>) {
        let LogTarget::File(path) = &self.target else {
            return;
        };
        let mut stderr = io::stderr();
        let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
        let takes = poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
        if takes {
            let line = format!("loopgate: the log {} {what}\n", path.display());
            let _ = stderr.write_all(line.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn start_file(path: &Path, bytes_max: usize) -> (LogPipe, LogThread) {
        start(LogTarget::File(path.into()), bytes_max).unwrap()
    }

    #[test]
    fn lines_are_appended_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        fs::write(&path, "before\n").unwrap();
        let (mut pipe, thread) = start_file(&path, WAITING_BYTES_MAX);
        let mut expected = String::from("before\n");
        for number in 0..500 {
            let line = format!("line {number}\n");
            pipe.write_all(line.as_bytes()).unwrap();
            expected.push_str(&line);
        }
        thread.finish();
        assert_eq!(fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn reopening_parts_the_lines_exactly() {
        let folder = tempfile::tempdir().unwrap();
        let (path, rotated) = (folder.path().join("app.log"), folder.path().join("app.1"));
        let (mut pipe, thread) = start_file(&path, WAITING_BYTES_MAX);
        pipe.write_all(b"old 1\n").unwrap();
        fs::rename(&path, &rotated).unwrap();
        pipe.write_all(b"old 2\n").unwrap();
        thread.reopen();
        pipe.write_all(b"new\n").unwrap();
        thread.finish();
        assert_eq!(fs::read_to_string(&rotated).unwrap(), "old 1\nold 2\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
    }

    #[test]
    fn a_path_that_does_not_open_again_leaves_the_old_file_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let (path, rotated) = (folder.path().join("app.log"), folder.path().join("app.1"));
        let (mut pipe, thread) = start_file(&path, WAITING_BYTES_MAX);
        fs::rename(&path, &rotated).unwrap();
        fs::create_dir(&path).unwrap();
        thread.reopen();
        pipe.write_all(b"still here\n").unwrap();
        thread.finish();
        let log = fs::read_to_string(&rotated).unwrap();
        assert!(log.contains("did not open again"), "{log}");
        assert!(log.ends_with("still here\n"), "{log}");
    }

    #[test]
    fn a_blocked_target_costs_lines_and_says_how_many() {
        const SENT: usize = 1000;
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = Command::new("mkfifo").arg(&fifo).status();
        if !made.is_ok_and(|status| status.success()) {
            println!("skipped: no mkfifo here");
            return;
        }
        // For reading and writing, because a read end alone would wait for a writer.
        let reader = File::options().read(true).write(true).open(&fifo).unwrap();
        let (mut pipe, thread) = start_file(&fifo, 16 * 1024);
        // More than a pipe holds, so the thread is stuck or its queue is full long before the end.
        let line = format!("{}\n", "x".repeat(1000));
        for _ in 0..SENT {
            pipe.write_all(line.as_bytes()).unwrap();
        }
        let (mut arrived, mut dropped) = (0, 0);
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap();
            match line.strip_suffix(" log lines dropped: the queue was full") {
                Some(count) => dropped += count.parse::<usize>().unwrap(),
                None => arrived += 1,
            }
            if arrived + dropped == SENT {
                break;
            }
        }
        assert!(dropped > 0);
        thread.finish();
    }

    #[test]
    fn a_full_disk_neither_ends_the_thread_nor_hides_the_loss() {
        let full = Path::new("/dev/full");
        if !full.exists() {
            println!("skipped: no /dev/full here");
            return;
        }
        let mut output = Output {
            target: LogTarget::File(full.into()),
            file: Some(files::append(full).unwrap()),
            failed: None,
            torn: false,
        };
        output.write(b"one\ntwo\n");
        output.write(b"three\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        output.file = Some(files::append(&path).unwrap());
        output.write(b"four\n");
        let log = fs::read_to_string(&path).unwrap();
        assert!(log.starts_with("3 log lines dropped: "), "{log}");
        assert!(log.ends_with("\nfour\n"), "{log}");

        let (mut pipe, thread) = start_file(full, WAITING_BYTES_MAX);
        pipe.write_all(b"lost\n").unwrap();
        thread.finish();
    }
}
