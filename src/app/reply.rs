//! What a handler answers: now, later, or as a stream.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

use super::{Confirmed, Context, FeedId, Interest};
use crate::http::{Prepared, Response, Status};
use crate::planted::{Bug, planted};
use crate::reactor::{Moment, SourceInfo, Token};
use crate::token::Fingerprint;
use crate::websocket::{self, Message};
use crate::work::{Findings, Page, Query, StoreError, Transaction};

/// A handler's answer.
#[derive(Debug)]
#[must_use]
pub enum Reply {
    /// Here it is.
    Now(Response),
    /// An answer that is always the same, encoded beforehand.
    Prepared(Rc<Prepared>),
    /// Something that blocks has to happen first, on a worker thread.
    Later(Later),
    /// The head now, the body piece by piece.
    Stream(Stream),
    /// The head now, then events as they are confirmed, as server-sent events.
    Events(Box<Follow>),
    /// An answer as soon as there are events, or when the time has passed.
    Wait(Box<Wait>),
    /// From here on both sides send messages.
    WebSocket(Box<Upgrade>),
    /// An answer after all sources have been described, in slices.
    Snapshot(TakeSnapshot),
    /// From here on the client receives what the loop does: after this greeting, or after one made from the ledger.
    Watch(Option<Arc<[u8]>>),
    /// This source is ended, and this is the answer.
    End(Token, Response),
}

/// Makes the answer once all sources have been described.
pub struct TakeSnapshot(pub Continuation<Vec<SourceInfo>>);

impl fmt::Debug for TakeSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TakeSnapshot")
    }
}

/// Events for one remote subscriber.
#[derive(Debug)]
pub struct Follow {
    /// Status and header fields of the answer; its body, if any, is sent before the first event.
    pub head: Response,
    /// What it wants and may see.
    pub interest: Interest,
    /// The last event that it has; without one, it gets what is confirmed from now on.
    pub since: Option<u64>,
    /// The user, and the session that allows it to see them and with which it ends.
    pub caller: (i64, Fingerprint),
}

/// A request that waits for events.
#[derive(Debug)]
pub struct Wait {
    /// What it wants and may see.
    pub interest: Interest,
    /// It has been told everything up to this event.
    pub through: u64,
    /// Most events in the answer.
    pub limit: usize,
    /// When it is answered without events.
    pub until: Moment,
    /// The session that allows it to see them, and with which it ends.
    pub session: Fingerprint,
}

/// A connection that becomes a WebSocket.
pub struct Upgrade {
    /// 101 with the fields of the handshake.
    pub head: Response,
    /// Handles the messages.
    pub conversation: Box<dyn Conversation>,
    /// Longest message, in bytes.
    pub message_bytes_max: usize,
    /// The user and session of the request, if it had one: the socket ends with the session.
    pub caller: Option<(i64, Fingerprint)>,
    /// Events that are sent along with what the conversation sends.
    pub events: Option<(Interest, Option<u64>)>,
}

/// Handles the messages of one WebSocket.
pub trait Conversation {
    /// The peer sent a message. It must not block.
    fn heard(&mut self, message: Message, socket: &mut Socket<'_>);
}

/// One function serves all sockets of a path.
impl<F: Fn(Message, &mut Socket<'_>) + ?Sized> Conversation for Rc<F> {
    fn heard(&mut self, message: Message, socket: &mut Socket<'_>) {
        self(message, socket);
    }
}

/// A WebSocket while one of its messages is handled. What is sent leaves at the end of the turn, in
/// one write.
pub struct Socket<'s> {
    /// The application, as handlers see it.
    pub cx: Context<'s>,
    pub(crate) id: Token,
    pub(crate) user_id: Option<i64>,
    pub(crate) feed: Option<FeedId>,
    pub(crate) out: &'s mut Vec<u8>,
    pub(crate) replies: Vec<Reply>,
    pub(crate) close: Option<(u16, String)>,
}

impl Socket<'_> {
    /// Sends a message.
    pub fn send(&mut self, message: impl Into<Message>) {
        websocket::encode_message(&message.into(), self.out);
    }

    /// Closes with a code (RFC 6455, section 7.4) and a reason of at most 123 bytes, after what was
    /// sent before.
    pub fn close(&mut self, code: u16, reason: &str) {
        self.close = Some((code, reason.to_owned()));
    }

    /// A number that no other socket has or had.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id.as_u64()
    }

    /// The user and session of the handshake, if it had one. The socket is closed when the session ends.
    #[must_use]
    pub fn user_id(&self) -> Option<i64> {
        self.user_id
    }

    /// Which events this socket's peer wants, if it receives events.
    pub(super) fn interest(&mut self) -> Option<&mut Interest> {
        let feed = self.cx.app.hub.feed(self.feed?)?;
        Some(feed.interest_mut())
    }

    /// Does what `reply` says; the body of its answer is sent as a text message, after those of all replies
    /// before it. Blocking work in it must be a commit, since commits return in a known order.
    pub(super) fn reply(&mut self, reply: Reply) {
        self.replies.push(reply);
    }
}

impl std::fmt::Debug for Socket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Socket({})", self.id)
    }
}

/// Blocking work by where it is done, and the continuation that takes its result back on the loop. The continuation is
/// called even if the client has gone meanwhile, since memory has to follow what was committed.
pub enum Later {
    /// On one of the hash threads.
    Job(Job, Continuation<Result<Output, JobError>>),
    /// On the storage thread, in one transaction.
    Commit(Transaction, Continuation<Result<Confirmed, StoreError>>),
    /// On the storage thread: events are read.
    Read(Query, Continuation<Result<Page, StoreError>>),
}

/// What a hash thread does.
pub struct Job {
    /// The work.
    pub run: Box<dyn FnOnce(&mut Findings) -> Output + Send>,
    /// The number of the client that the job is for: clients are served in turn, and the client with most jobs
    /// waiting gives way first. Jobs without a number are for the server and its handlers, which count as one.
    pub client: Option<u128>,
}

/// What a job returned, its type known to its continuation alone.
pub type Output = Box<dyn Any + Send>;

/// A function that is called once, on the loop, with what a worker made of its work.
pub type Continuation<T> = Box<dyn FnOnce(T, &mut Context<'_>) -> Reply>;

/// Why a job has no result.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum JobError {
    /// As many jobs as allowed were waiting, and this client had most of them; this job never began.
    #[error("too many jobs are waiting")]
    Busy,
    /// It panicked.
    #[error("the job panicked")]
    Panicked,
}

/// A body that is made piece by piece, each piece when the client has taken the one before.
pub struct Stream {
    /// Status and header fields; its body is ignored.
    pub head: Response,
    /// The pieces. `next` is called on the loop and must not block.
    pub pieces: Box<dyn Iterator<Item = Vec<u8>>>,
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later").finish_non_exhaustive()
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl Reply {
    /// `value` as JSON.
    pub fn json(status: impl Into<Status>, value: &impl Serialize) -> Self {
        Self::Now(Response::json(status.into(), value))
    }

    /// Plain text.
    pub fn text(status: impl Into<Status>, text: impl Into<Cow<'static, str>>) -> Self {
        Self::Now(Response::text(status.into(), text))
    }

    /// No body.
    pub fn empty(status: impl Into<Status>) -> Self {
        Self::Now(Response::new(status.into()))
    }

    /// An error as `application/problem+json` (RFC 9457); `code` is stable, for programs, and
    /// `detail` tells people what is wrong and what to do.
    pub fn problem(status: impl Into<Status>, code: &str, detail: &str) -> Self {
        Self::Now(Response::problem(status.into(), code, detail))
    }

    /// Runs `job` on a worker thread, and then `then` on the loop with its result.
    ///
    /// # Panics
    /// Never: the output is always of the type that the continuation was made for.
    pub fn later<T: Send + 'static>(
        job: impl FnOnce() -> T + Send + 'static,
        then: impl FnOnce(Result<T, JobError>, &mut Context<'_>) -> Reply + 'static,
    ) -> Self {
        Self::later_for(None, |_: &mut Findings| job(), then)
    }

    /// The same for a client with a number, and for work that may report findings.
    pub(super) fn later_for<T: Send + 'static>(
        client: Option<u128>,
        job: impl FnOnce(&mut Findings) -> T + Send + 'static,
        then: impl FnOnce(Result<T, JobError>, &mut Context<'_>) -> Reply + 'static,
    ) -> Self {
        let job = Job {
            run: Box::new(move |found| Box::new(job(found))),
            client,
        };
        let then = move |output: Result<Output, JobError>, cx: &mut Context<'_>| {
            let typed = output.map(|any| {
                *any.downcast()
                    .expect("a job's output has the type its continuation was made for")
            });
            then(typed, cx)
        };
        Self::Later(Later::Job(job, Box::new(then)))
    }

    /// Commits `transaction`, then answers with what `then` says: memory has followed the transaction by then, and its
    /// events are delivered in the same turn.
    pub fn commit(
        transaction: Transaction,
        then: impl FnOnce(Result<Confirmed, StoreError>, &mut Context<'_>) -> Reply + 'static,
    ) -> Self {
        Self::Later(Later::Commit(transaction, Box::new(then)))
    }

    /// Reads a page of events from the store, then answers with what `then` returns. Every event of the
    /// page has been delivered, or will be in this turn; every later event will be delivered after `then`.
    pub fn read(
        query: Query,
        then: impl FnOnce(Result<Page, StoreError>, &mut Context<'_>) -> Reply + 'static,
    ) -> Self {
        Self::Later(Later::Read(query, Box::new(then)))
    }

    /// A body of unknown length, made piece by piece as the client takes it.
    pub fn stream(
        head: Response,
        pieces: impl IntoIterator<Item = Vec<u8>, IntoIter: 'static>,
    ) -> Self {
        Self::Stream(Stream {
            head,
            pieces: Box::new(pieces.into_iter()),
        })
    }
}

impl From<&Rc<Prepared>> for Reply {
    fn from(prepared: &Rc<Prepared>) -> Self {
        Self::Prepared(Rc::clone(prepared))
    }
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Now(response)
    }
}

impl From<Result<Reply, Reply>> for Reply {
    /// A handler may return early with `?`; to the client a refusal is an answer like any other.
    fn from(result: Result<Reply, Reply>) -> Self {
        result.unwrap_or_else(|refusal| refusal)
    }
}

impl From<JobError> for Reply {
    fn from(error: JobError) -> Self {
        Self::Now(match error {
            JobError::Busy => busy("the server has as many jobs waiting as it takes; try again"),
            JobError::Panicked => internal_error(),
        })
    }
}

impl From<StoreError> for Reply {
    /// Nothing was confirmed, so the client may try again. What exactly is wrong with the disk goes
    /// to the log.
    fn from(_: StoreError) -> Self {
        Self::Now(
            Response::problem(
                Status::SERVICE_UNAVAILABLE,
                "store_unavailable",
                "the store cannot be written at the moment; nothing was changed, try again later",
            )
            .with_header(
                "Retry-After",
                if planted(Bug::LongRetry) { "5000" } else { "5" },
            ),
        )
    }
}

/// 503: too much is waiting.
pub(super) fn busy(detail: &str) -> Response {
    Response::problem(Status::SERVICE_UNAVAILABLE, "busy", detail).with_header("Retry-After", "1")
}

/// 500, without internal details.
#[must_use]
pub fn internal_error() -> Response {
    Response::problem(
        Status::INTERNAL_SERVER_ERROR,
        "internal_error",
        "the server failed to handle this request; its log says why",
    )
}
