//! Seams that say what a recording says.

use std::cell::RefCell;
use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use super::entry::{Entry, Trouble, mix};
use crate::config::HashCost;
use crate::reactor::{
    Acceptor, Clock, Entropy, Moment, Peer, Readiness, Ready, Seams, Selector, Stream, Token, Wake,
};
use crate::work::fake::{FakeCrew, Step};
use crate::work::findings::{self, Finding};
use crate::work::password::{Checked, Hasher, Verdict};
use crate::work::{Disk, Page, StoreError};

/// The seams of a server that is played from a recording.
#[derive(Debug)]
pub struct Played;

impl Seams for Played {
    type Clock = PlayedClock;
    type Entropy = PlayedEntropy;
    type Selector = PlayedSelector;
    type Stream = PlayedStream;
    type Acceptor = PlayedAcceptor;
}

/// A recording, and how far it has been played. Clones are the same one.
#[derive(Clone)]
pub(super) struct Player(Rc<RefCell<Inner>>);

struct Inner {
    entries: std::iter::Peekable<std::vec::IntoIter<Entry>>,
    /// What came in on each stream, and how much of it has been read.
    inputs: Vec<(Vec<u8>, usize)>,
    streams: usize,
    now_ns: u64,
    digest: u64,
    crew: FakeCrew,
    stopped: Option<Stop>,
    last_wait: LastWait,
}

/// What the last wait brought.
#[derive(Clone, Default)]
pub(super) struct LastWait {
    /// Who was ready.
    pub(super) ready: Vec<(u64, Readiness)>,
    /// Workers that delivered.
    pub(super) delivered: Vec<String>,
}

/// Why nothing more is played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// There is no more.
    Over,
    /// The server asked for something else than what was recorded.
    Diverged(String),
}

impl Player {
    /// `inputs` is what came in on each stream, by its number.
    pub(super) fn new(entries: Vec<Entry>, inputs: Vec<Vec<u8>>, crew: FakeCrew) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            entries: entries.into_iter().peekable(),
            inputs: inputs.into_iter().map(|input| (input, 0)).collect(),
            streams: 0,
            now_ns: 0,
            digest: 0,
            crew,
            stopped: None,
            last_wait: LastWait::default(),
        })))
    }

    pub(super) fn stopped(&self) -> Option<Stop> {
        self.0.borrow().stopped.clone()
    }

    pub(super) fn last_wait(&self) -> LastWait {
        self.0.borrow().last_wait.clone()
    }

    /// The state that was recorded after this turn, if one was.
    pub(super) fn take_state(&self) -> Option<(u64, [u8; 32])> {
        let state = self
            .0
            .borrow_mut()
            .entries
            .next_if(|next| matches!(next, Entry::State { .. }));
        match state {
            Some(Entry::State { turns, digest }) => Some((turns, digest)),
            _ => None,
        }
    }

    /// Whether the server timed requests.
    pub(super) fn take_times_requests(&self) -> Option<bool> {
        self.next("whether requests are timed", |_, entry| match entry {
            Entry::TimesRequests(timed) => Ok(timed),
            other => Err(other),
        })
    }

    /// Why the recording was ended, if that comes next.
    pub(super) fn take_end(&self) -> Option<String> {
        let end = self
            .0
            .borrow_mut()
            .entries
            .next_if(|next| matches!(next, Entry::End(_)));
        match end {
            Some(Entry::End(why)) => Some(why),
            _ => None,
        }
    }

    pub(super) fn is_at_the_end(&self) -> bool {
        self.0.borrow_mut().entries.peek().is_none()
    }

    /// A stream begins.
    pub(super) fn stream(&self, secure: bool) -> PlayedStream {
        let mut inner = self.0.borrow_mut();
        inner.streams += 1;
        PlayedStream {
            player: self.clone(),
            number: inner.streams - 1,
            secure,
        }
    }

    fn did(&self, word: u64) {
        mix(&mut self.0.borrow_mut().digest, word);
    }

    /// The next entry, if it is what the server asks for; otherwise nothing is played any more.
    fn next<T>(
        &self,
        asked: &str,
        fits: impl FnOnce(&mut Inner, Entry) -> Result<T, Entry>,
    ) -> Option<T> {
        let inner = &mut *self.0.borrow_mut();
        if inner.stopped.is_some() {
            return None;
        }
        let Some(entry) = inner.entries.next() else {
            inner.stopped = Some(Stop::Over);
            return None;
        };
        match fits(inner, entry) {
            Ok(answer) => Some(answer),
            Err(entry) => {
                let entry = format!("{entry:.100?}");
                let why = format!("the server asks for {asked}, and the recording has {entry}");
                inner.stopped.get_or_insert(Stop::Diverged(why));
                None
            }
        }
    }

    fn registered(&self, token: Token) -> io::Result<()> {
        self.did(token.as_u64());
        let said = self.next("a registration", |_, entry| match entry {
            Entry::Registered(said) => Ok(said),
            other => Err(other),
        });
        said.unwrap_or(Ok(())).map_err(io::Error::from)
    }

    /// Which workers take or deliver during a wait, and who is ready after it.
    fn wait(&self) -> Option<Vec<(u64, u8)>> {
        self.0.borrow_mut().last_wait = LastWait::default();
        loop {
            let crew = self.0.borrow().crew.clone();
            let step = self.next("a wait", |inner, entry| match entry {
                Entry::Took(_) | Entry::Delivered(..) => Ok(entry),
                Entry::Ready { digest, .. } if digest == inner.digest as u32 => Ok(entry),
                Entry::Ready { .. } => {
                    let why = "in this turn the server did something else than what was recorded";
                    inner.stopped = Some(Stop::Diverged(why.into()));
                    Err(entry)
                }
                other => Err(other),
            })?;
            let as_recorded = match step {
                Entry::Ready { ready, .. } => return Some(ready),
                Entry::Took(place) => crew.has(place) && crew.step(place) == Some(Step::Took),
                Entry::Delivered(place, found) if crew.has(place) => {
                    let delivered = &mut self.0.borrow_mut().last_wait.delivered;
                    delivered.push(crew.name(place));
                    findings::give(found.into_iter().map(Finding::from).collect());
                    crew.step(place) == Some(Step::Finished)
                }
                _ => false,
            };
            if !as_recorded {
                let why = "a worker has something else to do than what was recorded";
                self.0.borrow_mut().stopped = Some(Stop::Diverged(why.into()));
                return None;
            }
        }
    }
}

/// Shows the time that was.
pub struct PlayedClock(pub(super) Player);

impl Clock for PlayedClock {
    fn now(&self) -> Moment {
        let since = self.0.next("the time", |_, entry| match entry {
            Entry::Now(since) => Ok(since),
            other => Err(other),
        });
        let mut inner = self.0.0.borrow_mut();
        inner.now_ns = inner.now_ns.saturating_add(since.unwrap_or(0));
        Moment::from_ns(inner.now_ns)
    }

    fn unix_ms(&self) -> u64 {
        let unix_ms = self.0.next("the time of day", |_, entry| match entry {
            Entry::Unix(unix_ms) => Ok(unix_ms),
            other => Err(other),
        });
        unix_ms.unwrap_or(0)
    }
}

/// Gives what was random then.
pub struct PlayedEntropy(pub(super) Player);

impl Entropy for PlayedEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        let length = bytes.len();
        let random = self.0.next("randomness", |_, entry| match entry {
            Entry::Random(random) if random.len() == length => Ok(random),
            other => Err(other),
        });
        if let Some(random) = random {
            bytes.copy_from_slice(&random);
        }
    }
}

/// Reports who was ready.
pub struct PlayedSelector(pub(super) Player);

/// There is nobody to wake.
#[derive(Clone, Copy, Debug)]
pub struct NoWaker;

impl Wake for NoWaker {
    fn wake(&self) {}
}

impl Selector for PlayedSelector {
    type Waker = NoWaker;

    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.0
            .did(timeout.map_or(u64::MAX, |timeout| timeout.as_nanos() as u64));
        let Some(all) = self.0.wait() else {
            return Err(io::Error::other("the recording is over"));
        };
        let all: Vec<(u64, Readiness)> = all
            .into_iter()
            .map(|(token, bits)| (token, Readiness::from_bits(bits)))
            .collect();
        ready.extend(all.iter().map(|(token, readiness)| Ready {
            token: Token::from_u64(*token),
            readiness: *readiness,
        }));
        self.0.0.borrow_mut().last_wait.ready = all;
        Ok(())
    }

    fn waker(&self) -> NoWaker {
        NoWaker
    }
}

/// A stream as it was.
pub struct PlayedStream {
    player: Player,
    number: usize,
    secure: bool,
}

impl PlayedStream {
    fn wrote(&self, room: usize) -> io::Result<usize> {
        let number = self.number;
        let asked = format!("stream {number} to take {room} bytes");
        let said = self.player.next(&asked, |_, entry| match entry {
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
                .next("the state of a stream", |_, entry| match entry {
                    Entry::Said(stream, says) if stream == number => Ok(says),
                    other => Err(other),
                })
                .unwrap_or(false)
    }
}

/// What was recorded; a stream whose recording is over has nothing any more.
fn answer<T>(said: Option<Result<T, Trouble>>) -> io::Result<T> {
    match said {
        Some(said) => said.map_err(io::Error::from),
        None => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for PlayedStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.player.did(bytes.len() as u64);
        let number = self.number;
        let said = self.player.next("a read", |inner, entry| match entry {
            Entry::Read(stream, Err(trouble)) if stream == number => Ok(Err(trouble)),
            Entry::Read(stream, Ok(count)) if stream == number && count <= bytes.len() => {
                if inner.inputs.len() <= number {
                    inner.inputs.resize_with(number + 1, Default::default);
                }
                let (input, at) = &mut inner.inputs[number];
                match input.get(*at..*at + count) {
                    Some(part) => bytes[..count].copy_from_slice(part),
                    // The server was killed before it was written down what these were.
                    None => inner.stopped = Some(Stop::Over),
                }
                *at += count;
                Ok(Ok(count))
            }
            other => Err(other),
        });
        answer(said)
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
        let said = self.player.next("a flush", |_, entry| match entry {
            Entry::Flushed(stream, said) if stream == number => Ok(said),
            other => Err(other),
        });
        answer(said)
    }
}

impl Stream<PlayedSelector> for PlayedStream {
    fn register(&mut self, _: &mut PlayedSelector, token: Token) -> io::Result<()> {
        self.player.registered(token)
    }

    fn deregister(&mut self, _: &mut PlayedSelector) {}

    fn shutdown(&mut self, how: Shutdown) {
        self.player.did(how as u64);
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

/// Lets in who came in.
pub struct PlayedAcceptor(pub(super) Player);

impl Acceptor<PlayedSelector> for PlayedAcceptor {
    type Stream = PlayedStream;

    fn accept(&mut self) -> io::Result<(PlayedStream, Peer)> {
        let said = self
            .0
            .next("somebody who comes in", |_, entry| match entry {
                Entry::Accepted(said) => Ok(said),
                other => Err(other),
            });
        let newcomer = answer(said)?;
        Ok((self.0.stream(newcomer.secure), newcomer.peer()))
    }

    fn register(&mut self, _: &mut PlayedSelector, token: Token) -> io::Result<()> {
        self.0.registered(token)
    }

    fn deregister(&mut self, _: &mut PlayedSelector) {}
}

/// Judges passwords as they were judged.
pub(super) struct PlayedHasher;

impl Hasher for PlayedHasher {
    fn check(&self, _: &[u8], _: &str, _: HashCost, _: [u8; 16]) -> Checked {
        match findings::next() {
            Some(Finding::Checked(checked)) => checked,
            _ => Checked {
                verdict: Verdict::Wrong,
                rehashed: None,
            },
        }
    }
}

/// Fails as the disk did, and reads what was read.
pub(super) struct PlayedDisk;

impl Disk for PlayedDisk {
    fn commits(&mut self) -> Result<(), StoreError> {
        match findings::next() {
            Some(Finding::Committed(outcome)) => outcome,
            _ => Ok(()),
        }
    }

    fn read(&self, page: Result<Page, StoreError>) -> Result<Page, StoreError> {
        match findings::next() {
            Some(Finding::Read(recorded)) => recorded,
            _ => page,
        }
    }
}

macro_rules! opaque {
    ($($name:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}
opaque!(
    PlayedClock,
    PlayedEntropy,
    PlayedSelector,
    PlayedStream,
    PlayedAcceptor
);
