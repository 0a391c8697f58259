//! A recording, and how far it has been played: gives each entry to the seam that asks for it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use super::entry::{Entry, Trouble, mix};
use crate::reactor::{Readiness, Token};
use crate::work::Finding;
use crate::work::fake::{FakeCrew, Step};

/// A recording, and how far it has been played. Clones share the state.
#[derive(Clone)]
pub(super) struct Player(Rc<RefCell<Inner>>);

struct Inner {
    entries: std::iter::Peekable<std::vec::IntoIter<Entry>>,
    /// The input of each stream, and how much of it has been read.
    inputs: Vec<(Vec<u8>, usize)>,
    streams: usize,
    now_ns: u64,
    digest: u64,
    crew: FakeCrew,
    stopped: Option<Stop>,
    last_wait: LastWait,
}

/// The result of the last wait.
#[derive(Clone, Default)]
pub(super) struct LastWait {
    /// The sources that were ready.
    pub(super) ready: Vec<(u64, Readiness)>,
    /// Workers that delivered.
    pub(super) delivered: Vec<String>,
}

/// Why playing has stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The recording is over.
    Over,
    /// The server asked for something other than what was recorded.
    Diverged(String),
}

impl Player {
    /// `inputs` has the input of each stream, by its number.
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

    /// The recorded state after this turn, if there is one.
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
        self.next("whether requests are timed", |entry| match entry {
            Entry::TimesRequests(timed) => Ok(timed),
            other => Err(other),
        })
    }

    /// Why the recording was ended, if that is the next entry.
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

    /// A stream begins; returns its number.
    pub(super) fn begin_stream(&self) -> usize {
        let mut inner = self.0.borrow_mut();
        inner.streams += 1;
        inner.streams - 1
    }

    /// Moves the time on by so much; returns the time.
    pub(super) fn pass(&self, ns: u64) -> u64 {
        let mut inner = self.0.borrow_mut();
        inner.now_ns = inner.now_ns.saturating_add(ns);
        inner.now_ns
    }

    /// Copies the next bytes that were read from that stream; or gives the system's error, if there was one.
    pub(super) fn read(&self, number: usize, bytes: &mut [u8]) -> Option<Result<usize, Trouble>> {
        let count = self.next("a read", |entry| match entry {
            Entry::Read(stream, Err(trouble)) if stream == number => Ok(Err(trouble)),
            Entry::Read(stream, Ok(count)) if stream == number && count <= bytes.len() => {
                Ok(Ok(count))
            }
            other => Err(other),
        })?;
        let Ok(count) = count else { return Some(count) };
        let inner = &mut *self.0.borrow_mut();
        if inner.inputs.len() <= number {
            inner.inputs.resize_with(number + 1, Default::default);
        }
        let (input, at) = &mut inner.inputs[number];
        match input.get(*at..*at + count) {
            Some(part) => bytes[..count].copy_from_slice(part),
            // The server was killed before these bytes were stored.
            None => inner.stopped = Some(Stop::Over),
        }
        *at += count;
        Some(Ok(count))
    }

    /// Takes note of something that the server did to the world.
    pub(super) fn did(&self, word: u64) {
        mix(&mut self.0.borrow_mut().digest, word);
    }

    /// The next entry, if it is what the server asks for; otherwise playing stops.
    pub(super) fn next<T>(
        &self,
        asked: &str,
        fits: impl FnOnce(Entry) -> Result<T, Entry>,
    ) -> Option<T> {
        let inner = &mut *self.0.borrow_mut();
        if inner.stopped.is_some() {
            return None;
        }
        let Some(entry) = inner.entries.next() else {
            inner.stopped = Some(Stop::Over);
            return None;
        };
        match fits(entry) {
            Ok(answer) => Some(answer),
            Err(entry) => {
                let entry = format!("{entry:.100?}");
                let why = format!("the server asks for {asked}, and the recording has {entry}");
                inner.stopped.get_or_insert(Stop::Diverged(why));
                None
            }
        }
    }

    /// The recorded result of a registration.
    pub(super) fn registered(&self, token: Token) -> io::Result<()> {
        self.did(token.as_u64());
        let said = self.next("a registration", |entry| match entry {
            Entry::Registered(said) => Ok(said),
            other => Err(other),
        });
        said.unwrap_or(Ok(())).map_err(io::Error::from)
    }

    /// Runs the workers that take or deliver during a wait; returns the sources that are ready after it.
    pub(super) fn wait(&self) -> Option<Vec<(u64, Readiness)>> {
        let (crew, did) = {
            let mut inner = self.0.borrow_mut();
            inner.last_wait = LastWait::default();
            (inner.crew.clone(), inner.digest as u32)
        };
        loop {
            let step = self.next("a wait", Ok)?;
            let as_recorded = match step {
                Entry::Ready { digest, .. } if digest != did => {
                    return self.diverged("the server did something else than what was recorded");
                }
                Entry::Ready { ready, .. } => {
                    let named = |(token, bits)| (token, Readiness::from_bits(bits));
                    let ready: Vec<_> = ready.into_iter().map(named).collect();
                    self.0.borrow_mut().last_wait.ready.clone_from(&ready);
                    return Some(ready);
                }
                Entry::Took(place) => crew.has(place) && crew.step(place) == Some(Step::Took),
                Entry::Delivered(place, found) if crew.has(place) => {
                    let name = crew.name(place);
                    self.0.borrow_mut().last_wait.delivered.push(name);
                    let found = found.into_iter().map(Finding::from).collect();
                    crew.step_finding(place, found) == Some(Step::Finished)
                }
                other => {
                    let why = format!("the server waits, and the recording has {other:.100?}");
                    return self.diverged(&why);
                }
            };
            if !as_recorded {
                return self.diverged("a worker has something else to do than what was recorded");
            }
        }
    }

    fn diverged<T>(&self, why: &str) -> Option<T> {
        self.0.borrow_mut().stopped = Some(Stop::Diverged(why.into()));
        None
    }
}
