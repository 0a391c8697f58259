//! Seams that answer as a recording says.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Entry, Trouble};
use super::player::Player;
use crate::reactor::{
    Acceptor, Clock, Entropy, Moment, Peer, Ready, Received, Selector, Stream, Token, Wake,
};
use crate::work::password::{Asked, Checked, Hasher, Verdict};
use crate::work::{
    Commit, Engine, Finding, Findings, Page, Query, Snapshot, Store, StoreError, Transaction,
};

/// Shows the recorded time.
pub struct PlayedClock(pub(super) Player);

impl Clock for PlayedClock {
    fn now(&self) -> Moment {
        let since = self.0.next("the time", |entry| match entry {
            Entry::Now(since) => Ok(since),
            other => Err(other),
        });
        Moment::from_ns(self.0.pass(since.unwrap_or(0)))
    }

    fn unix_ms(&self) -> u64 {
        let unix_ms = self.0.next("the time of day", |entry| match entry {
            Entry::Unix(unix_ms) => Ok(unix_ms),
            other => Err(other),
        });
        unix_ms.unwrap_or(0)
    }
}

/// Gives the recorded random bytes.
pub struct PlayedEntropy(pub(super) Player);

impl Entropy for PlayedEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        let length = bytes.len();
        let random = self.0.next("randomness", |entry| match entry {
            Entry::Random(random) if random.len() == length => Ok(random),
            other => Err(other),
        });
        if let Some(random) = random {
            bytes.copy_from_slice(&random);
        }
    }
}

/// Reports the recorded readiness.
pub struct PlayedSelector(pub(super) Player);

/// A waker without effect: a replay never sleeps.
#[derive(Clone, Copy, Debug)]
struct NoWaker;

impl Wake for NoWaker {
    fn wake(&self) {}
}

impl Selector for PlayedSelector {
    // Like the system on which it was recorded.
    fn reports_apart(&self) -> bool {
        true
    }

    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.0
            .did(timeout.map_or(u64::MAX, |timeout| timeout.as_nanos() as u64));
        let Some(all) = self.0.wait() else {
            return Err(io::Error::other("the recording is over"));
        };
        ready.extend(all.into_iter().map(|(token, readiness)| Ready {
            token: Token::from_u64(token),
            readiness,
        }));
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(NoWaker)
    }
}

/// A recorded stream.
pub struct PlayedStream {
    player: Player,
    number: usize,
    secure: bool,
}

impl PlayedStream {
    pub(super) fn new(player: &Player, secure: bool) -> Self {
        Self {
            player: player.clone(),
            number: player.begin_stream(),
            secure,
        }
    }

    fn wrote(&self, room: usize) -> io::Result<usize> {
        let number = self.number;
        let asked = format!("stream {number} to take {room} bytes");
        let said = self.player.next(&asked, |entry| match entry {
            Entry::Wrote(stream, said) if stream == number && said.is_ok_and(|n| n <= room) => {
                Ok(said)
            }
            Entry::Wrote(stream, Err(trouble)) if stream == number => Ok(Err(trouble)),
            other => Err(other),
        });
        answer(said)
    }

    fn said(&self) -> bool {
        let number = self.number;
        self.secure
            && self
                .player
                .next("the state of a stream", |entry| match entry {
                    Entry::Said(stream, says) if stream == number => Ok(says),
                    other => Err(other),
                })
                .unwrap_or(false)
    }
}

/// The recorded result; a stream whose recording is over has no more results.
fn answer<T>(said: Option<Result<T, Trouble>>) -> io::Result<T> {
    match said {
        Some(said) => said.map_err(io::Error::from),
        None => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for PlayedStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.receive(bytes).into()
    }
}

impl Write for PlayedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.player.did(bytes.len() as u64);
        self.wrote(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        for slice in slices {
            self.player.did(slice.len() as u64);
        }
        self.wrote(slices.iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        let number = self.number;
        let said = self.player.next("a flush", |entry| match entry {
            Entry::Flushed(stream, said) if stream == number => Ok(said),
            other => Err(other),
        });
        answer(said)
    }
}

impl Stream for PlayedStream {
    fn register(&mut self, _: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.player.registered(token)
    }

    fn deregister(&mut self, _: &mut dyn Selector) {}

    fn shutdown(&mut self, how: Shutdown) {
        self.player.did(how as u64);
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Received {
        self.player.did(bytes.len() as u64);
        match self.player.read(self.number, bytes) {
            Some(said) => Trouble::received(said),
            None => Received::Nothing,
        }
    }

    fn is_secure(&self) -> bool {
        self.secure
    }

    fn is_handshaking(&self) -> bool {
        self.said()
    }

    fn has_more(&self) -> bool {
        self.said()
    }
}

/// Accepts the recorded connections.
pub struct PlayedAcceptor(pub(super) Player);

impl Acceptor for PlayedAcceptor {
    type Stream = PlayedStream;

    fn accept(&mut self) -> io::Result<(PlayedStream, Peer)> {
        let said = self.0.next("an accepted connection", |entry| match entry {
            Entry::Accepted(said) => Ok(said),
            other => Err(other),
        });
        let newcomer = answer(said)?;
        Ok((PlayedStream::new(&self.0, newcomer.secure), newcomer.peer()))
    }

    fn register(&mut self, _: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.0.registered(token)
    }

    fn deregister(&mut self, _: &mut dyn Selector) {}
}

/// Gives the recorded verdicts on passwords.
pub(super) struct PlayedHasher;

impl Hasher for PlayedHasher {
    fn check(&self, _: Asked<'_>, found: &mut Findings) -> Checked {
        match found.pop_front() {
            Some(Finding::Checked(checked)) => checked,
            _ => Checked {
                verdict: Verdict::Wrong,
                rehashed: None,
            },
        }
    }
}

/// Fails as the recorded store did, and returns the recorded pages. Commits are kept in memory.
pub(super) struct PlayedEngine(pub(super) Store);

impl Engine for PlayedEngine {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.0.load()
    }

    fn commit(
        &mut self,
        group: Vec<Transaction>,
        found: &mut Findings,
    ) -> Result<Vec<Result<Commit, StoreError>>, StoreError> {
        match found.pop_front() {
            Some(Finding::Committed(Err(why))) => Err(why),
            _ => self.0.commit(group, found),
        }
    }

    fn read(&mut self, query: &Query, found: &mut Findings) -> Result<Page, StoreError> {
        match found.pop_front() {
            Some(Finding::Read(recorded)) => recorded,
            _ => self.0.read(query, found),
        }
    }
}

opaque!(
    PlayedClock,
    PlayedEntropy,
    PlayedSelector,
    PlayedStream,
    PlayedAcceptor
);
