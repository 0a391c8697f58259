//! The system's seams, with a recorder that stores their answers.

use std::io::{self, IoSlice, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Entry, Found, Newcomer, Trouble};
use super::tape::Tape;
use crate::reactor::{
    Acceptor, Clock, Entropy, Moment, OsAcceptor, OsClock, OsEntropy, OsSelector, OsStream, Peer,
    Ready, Received, Selector, Stream, Token, Wake,
};
use crate::work::password::{Argon2id, Asked, Checked, Hasher};
use crate::work::stepped::{Step, SteppedCrew};
use crate::work::{
    Commit, Engine, Finding, Findings, Page, Query, Snapshot, Store, StoreError, Transaction,
};

/// Records what the clocks show.
pub struct RecordedClock {
    pub(super) inner: OsClock,
    pub(super) tape: Tape,
}

impl Clock for RecordedClock {
    fn now(&self) -> Moment {
        let now = self.inner.now();
        self.tape.now(now.as_ns());
        now
    }

    fn unix_ms(&self) -> u64 {
        let unix_ms = self.inner.unix_ms();
        self.tape.add(&Entry::Unix(unix_ms));
        unix_ms
    }
}

/// Records the random bytes.
pub struct RecordedEntropy(pub(super) Tape);

impl Entropy for RecordedEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        OsEntropy.fill(bytes);
        self.0.add(&Entry::Random(bytes.to_vec()));
    }
}

/// Records which sources were ready, and lets workers begin and end only while the loop waits.
pub struct RecordedSelector {
    inner: OsSelector,
    pub(super) crew: SteppedCrew,
    pub(super) tape: Tape,
}

impl RecordedSelector {
    pub(super) fn new(tape: Tape) -> io::Result<Self> {
        let inner = OsSelector::new()?;
        let waker = inner.waker();
        let crew = SteppedCrew::new(move || waker.wake());
        Ok(Self { inner, crew, tape })
    }

    fn step_workers(&self) {
        self.crew.step(|step| {
            self.tape.add(&match step {
                Step::Took(place) => Entry::Took(place),
                Step::Delivered(place, found) => {
                    let found = found.into_iter().map(Found::from);
                    Entry::Delivered(place, found.collect())
                }
            });
        });
    }
}

impl Selector for RecordedSelector {
    fn reports_apart(&self) -> bool {
        self.inner.reports_apart()
    }

    fn select(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        self.tape
            .did(timeout.map_or(u64::MAX, |timeout| timeout.as_nanos() as u64));
        self.step_workers();
        self.inner.select(timeout, ready)?;
        self.step_workers();
        let ready = ready
            .iter()
            .map(|ready| (ready.token.as_u64(), ready.readiness.bits()));
        self.tape.ready(ready.collect());
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.inner.waker()
    }
}

/// Records what passes through a stream.
pub struct RecordedStream {
    inner: OsStream,
    number: usize,
    tape: Tape,
}

impl RecordedStream {
    /// A stream with requests, or with something else.
    pub(super) fn new(inner: OsStream, requests: bool, tape: &Tape) -> Self {
        Self {
            inner,
            number: tape.stream(requests),
            tape: tape.clone(),
        }
    }

    fn wrote(&self, result: &io::Result<usize>) {
        let result = result.as_ref().copied().map_err(Trouble::from);
        self.tape.add(&Entry::Wrote(self.number, result));
    }

    /// Records an answer about itself of an encrypted stream; for any other stream it never changes.
    fn said(&self, says: bool) -> bool {
        if self.inner.is_secure() {
            self.tape.add(&Entry::Said(self.number, says));
        }
        says
    }
}

impl Drop for RecordedStream {
    fn drop(&mut self) {
        self.tape.stream_ended(self.number);
    }
}

impl Read for RecordedStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.receive(bytes).into()
    }
}

impl Write for RecordedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tape.did(bytes.len() as u64);
        let result = self.inner.write(bytes);
        self.wrote(&result);
        result
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        for slice in slices {
            self.tape.did(slice.len() as u64);
        }
        let result = self.inner.write_vectored(slices);
        self.wrote(&result);
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.inner.flush();
        let said = result.as_ref().copied().map_err(Trouble::from);
        self.tape.add(&Entry::Flushed(self.number, said));
        result
    }
}

impl Stream for RecordedStream {
    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        let selector: &mut RecordedSelector = selector.own();
        let result = self.inner.register(&mut selector.inner, token);
        registered(&self.tape, token, result)
    }

    fn deregister(&mut self, selector: &mut dyn Selector) {
        let selector: &mut RecordedSelector = selector.own();
        self.inner.deregister(&mut selector.inner);
    }

    fn shutdown(&mut self, how: Shutdown) {
        self.tape.did(how as u64);
        self.inner.shutdown(how);
    }

    fn receive(&mut self, bytes: &mut [u8]) -> Received {
        self.tape.did(bytes.len() as u64);
        let received = self.inner.receive(bytes);
        let said = Trouble::of(&received);
        if let Ok(count) = said {
            self.tape.read(self.number, &bytes[..count]);
        }
        self.tape.add(&Entry::Read(self.number, said));
        received
    }

    fn is_secure(&self) -> bool {
        self.inner.is_secure()
    }

    fn is_handshaking(&self) -> bool {
        self.said(self.inner.is_handshaking())
    }

    fn take_descriptor(&mut self) -> Option<OwnedFd> {
        None // a recording ends with its process
    }

    fn has_more(&self) -> bool {
        self.said(self.inner.has_more())
    }
}

/// Records the accepted connections.
pub struct RecordedAcceptor {
    pub(super) inner: OsAcceptor,
    pub(super) tape: Tape,
}

impl Acceptor for RecordedAcceptor {
    type Stream = RecordedStream;

    fn accept(&mut self) -> io::Result<(RecordedStream, Peer)> {
        let accepted = self.inner.accept();
        let said = accepted.as_ref().map_err(Trouble::from);
        let said = said.map(|(stream, peer)| Newcomer::new(*peer, stream.is_secure()));
        self.tape.add(&Entry::Accepted(said));
        let (stream, peer) = accepted?;
        Ok((RecordedStream::new(stream, true, &self.tape), peer))
    }

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        let selector: &mut RecordedSelector = selector.own();
        let result = self.inner.register(&mut selector.inner, token);
        registered(&self.tape, token, result)
    }

    fn deregister(&mut self, selector: &mut dyn Selector) {
        let selector: &mut RecordedSelector = selector.own();
        self.inner.deregister(&mut selector.inner);
    }

    fn lost_peer_is_invalid(&self) -> bool {
        self.inner.lost_peer_is_invalid()
    }
}

fn registered(tape: &Tape, token: Token, result: io::Result<()>) -> io::Result<()> {
    tape.did(token.as_u64());
    let said = result.as_ref().copied().map_err(Trouble::from);
    tape.add(&Entry::Registered(said));
    result
}

/// Checks passwords, and records the results.
pub(super) struct RecordedHasher;

impl Hasher for RecordedHasher {
    fn check(&self, asked: Asked<'_>, found: &mut Findings) -> Checked {
        let checked = Argon2id.check(asked, found);
        found.push_back(Finding::Checked(checked.clone()));
        checked
    }
}

/// Records the results of commits and readings.
pub(super) struct RecordedEngine(pub(super) Store);

impl Engine for RecordedEngine {
    fn load(&mut self) -> Result<Snapshot, StoreError> {
        self.0.load()
    }

    fn commit(
        &mut self,
        group: Vec<Transaction>,
        found: &mut Findings,
    ) -> Result<Vec<Result<Commit, StoreError>>, StoreError> {
        let committed = self.0.commit(group, found);
        let outcome = committed.as_ref().map(|_| ()).map_err(Clone::clone);
        found.push_back(Finding::Committed(outcome));
        committed
    }

    fn read(&mut self, query: &Query, found: &mut Findings) -> Result<Page, StoreError> {
        let page = self.0.read(query, found);
        found.push_back(Finding::Read(page.clone()));
        page
    }
}

opaque!(
    RecordedClock,
    RecordedEntropy,
    RecordedSelector,
    RecordedStream,
    RecordedAcceptor
);
