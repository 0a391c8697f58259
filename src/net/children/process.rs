//! A running process: its three pipes, its output, and how it is ended.

use std::io::{self, Read};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Signal, test_kill_process_group};

use super::forked::{Forked, group, kill_group};
use super::lines::{Line, Lines};
use super::roster::Roster;
use crate::app::Feed;
use crate::net::buffers::Buffers;
use crate::net::message::Message;
use crate::net::outbox::{Flushed, Outbox};
use crate::reactor::{Moment, OsStream, Readiness, SHORT_MEANS_DRAINED, Turn};

/// Longest line of a process in the log, in bytes.
const LOGGED_BYTES_MAX: usize = 1024;
/// Lines of one process in the log, in one second.
const LOGGED_A_SECOND: u32 = 100;
/// How often the server checks whether the descendants of an ended process have ended, too: no signal tells it.
const OUTLIVED_ASK: Duration = Duration::from_millis(50);
/// Bytes that are still read from a process that has ended: its own children may continue to write.
const LEFT_BYTES_MAX: usize = 1024 * 1024;

/// What a process wrote.
pub(super) enum Heard {
    Line(String),
    /// The beginning of a line that is too long.
    TooLong(String),
}

/// A process and its pipes.
#[derive(Debug)]
pub(super) struct Process {
    forked: Forked,
    pub(super) started: Moment,
    stdin: Option<OsStream>,
    writable: bool,
    stdout: Option<Output>,
    stderr: Option<Output>,
    log: LineLog,
    state: ProcessState,
    /// The exit status of the process itself; its descendants may still run.
    status: Option<ExitStatus>,
    /// Its descendants have ended, too, or are not waited for any longer.
    group_ended: bool,
}

/// How far the end of a process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ProcessState {
    Runs,
    StdinClosed { since: Moment },
    Terminated { since: Moment },
    Killed,
}

/// The output of a process.
#[derive(Debug)]
struct Output {
    pipe: OsStream,
    lines: Lines,
    readable: bool,
    /// Bytes that may be read after the process has ended.
    left: usize,
}

/// A process's lines in the log: bounded in length and number.
#[derive(Debug)]
pub(super) struct LineLog {
    id: u32,
    second: Moment,
    count: u32,
}

impl LineLog {
    pub(super) fn line(&mut self, level: log::Level, name: &str, line: &str, now: Moment) {
        if now - self.second >= Duration::from_secs(1) {
            if let Some(unsaid) = self.count.checked_sub(LOGGED_A_SECOND + 1) {
                let id = self.id;
                log::warn!(target: "loopgate::child", "{name}[{id}] wrote {} lines more", unsaid + 1);
            }
            self.second = now;
            self.count = 0;
        }
        self.count += 1;
        if self.count <= LOGGED_A_SECOND {
            let fits =
                (0..=line.len().min(LOGGED_BYTES_MAX)).rfind(|end| line.is_char_boundary(*end));
            let line = &line[..fits.unwrap_or(0)];
            log::log!(target: "loopgate::child", level, "{name}[{}]: {}", self.id, line.escape_debug());
        }
    }
}

impl Output {
    fn new(pipe: OsStream, bytes_max: usize) -> Self {
        Self {
            pipe,
            lines: Lines::new(bytes_max),
            readable: true,
            left: LEFT_BYTES_MAX,
        }
    }

    /// Reads once; returns whether the process may write more.
    fn read(&mut self, buffer: &mut [u8], over: bool, mut line: impl FnMut(Line)) -> bool {
        match self.pipe.read(buffer) {
            Ok(0) => {}
            Ok(count) => {
                self.lines.feed(&buffer[..count], &mut line);
                self.readable = count == buffer.len() || !SHORT_MEANS_DRAINED;
                if !over {
                    return true;
                }
                self.left = self.left.saturating_sub(count);
                if self.readable && self.left > 0 {
                    return true;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !over => {
                self.readable = false;
                return true;
            }
            Err(_) => {}
        }
        self.lines.finish(&mut line);
        false
    }
}

/// Reads one of the outputs once, if it has something; drops the output at its end.
fn read(output: &mut Option<Output>, over: bool, buffer: &mut [u8], mut heard: impl FnMut(Heard)) {
    let Some(open) = output.as_mut().filter(|output| output.readable || over) else {
        return;
    };
    let goes_on = open.read(buffer, over, |line| {
        heard(match line {
            Line::Text(text) => Heard::Line(text),
            Line::TooLong(begin) => Heard::TooLong(begin),
        });
    });
    if !goes_on {
        *output = None;
    }
}

impl Process {
    /// Registers the pipes of a process that was started just now.
    pub(super) fn new(
        mut forked: Forked,
        line_bytes_max: usize,
        turn: &mut Turn<'_, Message>,
    ) -> io::Result<Self> {
        let child = &mut forked.child;
        let id = child.id();
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let mut stdin = OsStream::of_stdin(stdin)?;
        let mut stdout = Output::new(OsStream::of_output(stdout)?, line_bytes_max);
        let mut stderr = Output::new(OsStream::of_output(stderr)?, LOGGED_BYTES_MAX);
        for pipe in [&mut stdin, &mut stdout.pipe, &mut stderr.pipe] {
            turn.register(pipe)?;
        }
        Ok(Self {
            forked,
            started: turn.now(),
            stdin: Some(stdin),
            writable: true,
            stdout: Some(stdout),
            stderr: Some(stderr),
            log: LineLog {
                id,
                second: turn.now(),
                count: 0,
            },
            state: ProcessState::Runs,
            status: None,
            group_ended: false,
        })
    }

    fn pipes(&mut self) -> impl Iterator<Item = &mut OsStream> {
        let outputs = [&mut self.stdout, &mut self.stderr];
        let outputs = outputs.into_iter().flatten().map(|output| &mut output.pipe);
        self.stdin.iter_mut().chain(outputs)
    }

    /// The process's id, which is its group's too.
    pub(super) fn id(&self) -> u32 {
        self.forked.child.id()
    }

    /// One of the pipes is ready; the loop does not say which.
    pub(super) fn ready(&mut self, readiness: Readiness) {
        if readiness.contains(Readiness::READABLE) || readiness.contains(Readiness::ENDED) {
            for output in [&mut self.stdout, &mut self.stderr].into_iter().flatten() {
                output.readable = true;
            }
        }
        if readiness != Readiness::NONE {
            self.writable = true;
        }
    }

    /// Writes what the process has not been given; returns whether it may still read.
    pub(super) fn write(&mut self, feed: &mut Feed, buffers: &mut Buffers) -> bool {
        let Some(stdin) = &mut self.stdin else {
            return false;
        };
        if !self.writable || feed.is_empty() {
            return true;
        }
        match Outbox::default().flush_with(feed, stdin, buffers) {
            Ok(Flushed::All) => true,
            Ok(Flushed::Blocked(_)) => {
                self.writable = false;
                true
            }
            Err(_) => false, // the process has closed its stdin, or ended
        }
    }

    pub(super) fn read_stdout(
        &mut self,
        buffer: &mut [u8],
        mut heard: impl FnMut(Heard, &mut LineLog),
    ) {
        let (over, log) = (self.has_ended(), &mut self.log);
        read(&mut self.stdout, over, buffer, |what| heard(what, log));
    }

    pub(super) fn read_stderr(&mut self, buffer: &mut [u8], name: &str, now: Moment) {
        let (over, log) = (self.has_ended(), &mut self.log);
        read(&mut self.stderr, over, buffer, |what| {
            let (Heard::Line(line) | Heard::TooLong(line)) = what;
            log.line(log::Level::Warn, name, &line, now);
        });
    }

    /// Whether there may be something to read without a new edge.
    pub(super) fn has_more(&self) -> bool {
        let over = self.has_ended();
        [&self.stdout, &self.stderr]
            .into_iter()
            .flatten()
            .any(|output| output.readable || over)
    }

    /// Begins to end the process, first by closing its stdin.
    pub(super) fn end(&mut self, why: &str, now: Moment) {
        if self.state == ProcessState::Runs {
            log::debug!(target: "loopgate::child", "process {} is to end: {why}", self.id());
            self.stdin = None;
            self.state = ProcessState::StdinClosed { since: now };
        }
    }

    /// Takes the next step towards its end when the time for the last one has passed: SIGTERM, then SIGKILL.
    pub(super) fn hurry(&mut self, now: Moment, grace: Duration) {
        match self.state {
            _ if self.has_ended() => {}
            // It ended by itself: its descendants are to end with it, and are given time for that.
            ProcessState::Runs if self.is_outlived() => self.terminate(now),
            ProcessState::StdinClosed { since } if now >= since + grace => self.terminate(now),
            ProcessState::Terminated { since } if now >= since + grace => {
                let id = self.id();
                let who = if self.is_outlived() {
                    "what it started"
                } else {
                    "it"
                };
                log::warn!(target: "loopgate::child", "process {id}: {who} ignores SIGTERM and is killed");
                self.signal(Signal::KILL);
                self.state = ProcessState::Killed;
                self.group_ended = true;
            }
            _ => {}
        }
    }

    fn terminate(&mut self, now: Moment) {
        self.signal(Signal::TERM);
        self.state = ProcessState::Terminated { since: now };
    }

    /// When [`hurry`](Self::hurry) has to be called next.
    pub(super) fn deadline(&self, now: Moment, grace: Duration, streams_until: Moment) -> Moment {
        let due = match self.state {
            _ if self.has_ended() => Moment::NEVER,
            ProcessState::Runs => streams_until,
            ProcessState::StdinClosed { since } | ProcessState::Terminated { since } => {
                since + grace
            }
            ProcessState::Killed => Moment::NEVER,
        };
        if self.is_outlived() {
            due.min(now + OUTLIVED_ASK)
        } else {
            due
        }
    }

    fn signal(&self, signal: Signal) {
        kill_group(self.id(), signal);
    }

    /// Reaps it, if it has ended, and checks whether its descendants have ended as well.
    pub(super) fn look_whether_it_ended(&mut self, roster: &mut Roster) {
        if self.status.is_none() {
            self.status = self.forked.reap(roster.take(self.id()));
        }
        if self.status.is_some() && !self.group_ended {
            self.stdin = None;
            self.group_ended = !has_members(self.id());
        }
    }

    /// Whether it and all of its process group have ended.
    pub(super) fn has_ended(&self) -> bool {
        self.status.is_some() && self.group_ended
    }

    /// Whether it has ended, but one of its descendants has not.
    pub(super) fn is_outlived(&self) -> bool {
        self.status.is_some() && !self.group_ended
    }

    /// Its exit status, in words.
    pub(super) fn end_in_words(&self) -> String {
        self.status.map_or_else(
            || "runs".to_owned(),
            |status| format!("ended with {status}"),
        )
    }

    /// Deregisters and closes its pipes.
    pub(super) fn close(&mut self, turn: &mut Turn<'_, Message>) {
        for pipe in self.pipes() {
            turn.deregister(pipe);
        }
        (self.stdin, self.stdout, self.stderr) = (None, None, None);
    }
}

/// Whether a process group still has a member.
fn has_members(id: u32) -> bool {
    group(id).is_some_and(|group| test_kill_process_group(group).is_ok())
}
