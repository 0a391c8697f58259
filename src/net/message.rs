//! The messages between the sources of a server, and the results that other threads send back.

use std::io;
use std::sync::Arc;

use super::children::forked::Forked;
use crate::app::{JobError, Output, Reply};
use crate::reactor::Token;
use crate::work::{Outcome, Worked};

/// A message from one source to another.
#[derive(Debug)]
pub enum Message {
    /// To a connection: the answer to the request that waits, and the user that sent it, if only what followed found out.
    Answer(Reply, Option<i64>),
    /// To a connection: the continuation that should have answered the waiting request has panicked.
    Panicked,
    /// To a child: the worker that was to fork has done so, or has failed.
    Spawned(io::Result<Forked>),
    /// To a child: a child process has ended, perhaps its own.
    ChildEnded,
    /// To a stream: its session has ended.
    SessionEnded,
    /// To a stream: its session may end earlier than it knows, or has ended.
    CheckSession,
    /// To maintenance, or the broadcaster: something is due earlier than its deadline says.
    Rearm,
    /// To all: the server is shutting down.
    Drain,
    /// To all: the subscribers of events have received the announcement of the shutdown.
    EndAnnounced,
    /// To a connection: the operator ends it.
    End,
    /// To a connection that watches: what has happened.
    Batch(Arc<[u8]>),
}

/// The results that other threads send back.
pub enum Completion {
    /// A job ended.
    Job(Token, Result<Output, JobError>, Option<Worked>),
    /// The storage thread is done, or has failed.
    Stored(Token, Outcome, Option<Worked>),
    /// A child process was started for a source, or its start failed.
    Spawned(Token, io::Result<Forked>),
    /// The program, or an embedder's thread, wants the server to shut down.
    Drain,
    /// Another process is ready to take over.
    HandOver,
    /// Something has happened in the loop that clients of this server watch.
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
