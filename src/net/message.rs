//! What the sources of a server tell each other, and what other threads send back.

use std::io;
use std::sync::Arc;

use super::children::forked::Forked;
use crate::app::{JobError, Output, Reply};
use crate::reactor::Token;
use crate::work::{Outcome, Worked};

/// What one source tells another.
#[derive(Debug)]
pub enum Message {
    /// To a connection: the answer to the request that waits.
    Answer(Reply),
    /// To a connection: what should have answered the request that waits has panicked.
    Panicked,
    /// To a child: the worker that was to fork has done so, or could not.
    Spawned(io::Result<Forked>),
    /// To a child: some process has ended.
    ChildEnded,
    /// To a stream: the session on whose strength it is open has ended.
    SessionEnded,
    /// To a stream: its session may end earlier than it knows, or has ended.
    LookAtSession,
    /// To the chores, or the herald: something is due earlier than you think.
    Rearm,
    /// To all: the server is shutting down.
    Drain,
    /// To all: those who follow events have been told so.
    EndAnnounced,
    /// To a connection: the operator ends it.
    End,
    /// To a connection that watches: what has happened.
    Batch(Arc<[u8]>),
}

/// What comes back from other threads.
pub enum Completion {
    /// A job ended.
    Job(Token, Result<Output, JobError>, Option<Worked>),
    /// The storage thread has done something, or could not.
    Stored(Token, Outcome, Option<Worked>),
    /// A child process was started for a source, or could not be.
    Spawned(Token, io::Result<Forked>),
    /// The program, or an embedder's thread, wants the server to shut down.
    Drain,
    /// Another process is ready to go on.
    HandOver,
    /// Something has happened in the loop that those watch who are connected here.
    Batch(Arc<[u8]>),
}

impl std::fmt::Debug for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Job(..) => "Job",
            Self::Stored(..) => "Stored",
            Self::Spawned(..) => "Spawned",
            Self::Drain => "Drain",
            Self::HandOver => "HandOver",
            Self::Batch(_) => "Batch",
        })
    }
}
