//! The contents of a recording: a line that says what the file is, a head, then entries, in `blocks`.
//!
//! An entry is one answer that the server got through a seam, in the order in which it got them. Bytes from clients
//! are entries of their own, since they may be written later than the read that took them: bytes that may hold a
//! secret wait until it is known where the secret is. Entries are in postcard's format.

use std::io;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::reactor::{Peer, Received};
use crate::work::password::{Checked, Verdict};
use crate::work::{Finding, Page, Snapshot, StoreError};

/// The beginning of the first line of every recording; the number of its format follows.
pub(super) const MAGIC_OF_ALL: &[u8] = b"loopgate recording ";
/// The first line of recordings that this version makes and plays. Format 1 had no blocks; in format 2 the durations
/// of sessions and the limits on stored events were not among the limits.
pub(super) const MAGIC: &[u8] = b"loopgate recording 3\n";

/// The state of a server when its recording began: a line of JSON.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    /// The program's version; another version would act differently.
    pub(super) version: String,
    /// Passwords and signatures were replaced.
    pub(super) masked: bool,
    pub(super) config: Config,
    /// The number of sockets that it listened on.
    pub(super) listeners: usize,
    /// The keys that it signs with, as in the key file.
    pub(super) keys: String,
    pub(super) store: Snapshot,
}

/// One answer of the world, or something that belongs to one.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// The clock, in nanoseconds after its last reading.
    Now(u64),
    /// The wall clock.
    Unix(u64),
    /// Randomness.
    Random(Vec<u8>),
    /// A wait is over: the ready sources, by token and readiness; and a digest of all that the server did to the
    /// world before, which shows the turn in which a replay diverged.
    Ready { ready: Vec<(u64, u8)>, digest: u32 },
    /// A worker took what waited, during a wait.
    Took(usize),
    /// A worker delivered, with these findings.
    Delivered(usize, Vec<Found>),
    /// The result of `accept`. The new stream has the next number.
    Accepted(Result<Newcomer, Trouble>),
    /// So many bytes were read from that stream.
    Read(usize, Result<usize, Trouble>),
    /// That stream took so many bytes.
    Wrote(usize, Result<usize, Trouble>),
    /// That stream wrote what it held back.
    Flushed(usize, Result<(), Trouble>),
    /// The selector took a registration.
    Registered(Result<(), Trouble>),
    /// What that encrypted stream answered about itself.
    Said(usize, bool),
    /// Bytes that were or will be read from that stream; in order, they are all of its input.
    Bytes(usize, Vec<u8>),
    /// A session from before the recording is known under another fingerprint in it.
    Session { was: [u8; 32], is: [u8; 32] },
    /// The state of the server after so many turns.
    State { turns: u64, digest: [u8; 32] },
    /// Whether the server times requests, for its access log.
    TimesRequests(bool),
    /// The recording was ended, and why.
    End(String),
}

/// A peer that connected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Newcomer {
    /// Its address; `None` through a unix socket.
    address: Option<SocketAddr>,
    pub(super) secure: bool,
}

impl Newcomer {
    pub(super) fn new(peer: Peer, secure: bool) -> Self {
        let address = match peer {
            Peer::Ip(address) => Some(address),
            Peer::Unix => None,
        };
        Self { address, secure }
    }

    pub(super) fn peer(&self) -> Peer {
        self.address.map_or(Peer::Unix, Peer::Ip)
    }
}

/// The error of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Trouble {
    /// The system's number for it.
    Os(i32),
    /// One of [`KINDS`], by its index.
    Kind(u8),
    /// The peer did not speak TLS.
    NotEncrypted,
    /// TLS failed.
    TlsFailed,
}

/// Errors that do not come from the system, but from rustls or this crate.
const KINDS: [io::ErrorKind; 6] = [
    io::ErrorKind::Other,
    io::ErrorKind::WouldBlock,
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::WriteZero,
    io::ErrorKind::Unsupported,
    io::ErrorKind::Interrupted,
];

impl From<&io::Error> for Trouble {
    fn from(error: &io::Error) -> Self {
        if let Some(number) = error.raw_os_error() {
            return Self::Os(number);
        }
        let place = KINDS.iter().position(|kind| *kind == error.kind());
        Self::Kind(place.unwrap_or(0) as u8)
    }
}

impl Trouble {
    /// What a read came to, as it is written down.
    pub(super) fn of(received: &Received) -> Result<usize, Self> {
        let kind = match received {
            Received::Bytes(count) => return Ok(*count),
            Received::End => return Ok(0),
            Received::NotEncrypted => return Err(Self::NotEncrypted),
            Received::TlsFailed => return Err(Self::TlsFailed),
            Received::Broken(error) => return Err(error.into()),
            Received::Nothing => io::ErrorKind::WouldBlock,
            Received::Interrupted => io::ErrorKind::Interrupted,
        };
        Err(Self::from(&io::Error::from(kind)))
    }

    /// The same, as it was.
    pub(super) fn received(said: Result<usize, Self>) -> Received {
        match said {
            Err(Self::NotEncrypted) => Received::NotEncrypted,
            Err(Self::TlsFailed) => Received::TlsFailed,
            said => said.map_err(io::Error::from).into(),
        }
    }
}

impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Os(number) => Self::from_raw_os_error(number),
            Trouble::Kind(place) => {
                let kind = KINDS.get(usize::from(place));
                (*kind.unwrap_or(&io::ErrorKind::Other)).into()
            }
            Trouble::NotEncrypted | Trouble::TlsFailed => io::ErrorKind::Other.into(),
        }
    }
}

/// A [`Finding`] without secrets, to be stored.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Found {
    /// 0 for a wrong password, 1 for the right one, 2 for the right one with a weak hash.
    Checked(u8),
    Committed(Result<(), StoreError>),
    /// The page as JSON, which an event's data is anyway.
    Read(Result<String, StoreError>),
}

/// Replaces every password's hash in a recording.
pub(super) const NO_HASH: &str = "masked";

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        match finding {
            Finding::Checked(checked) => Self::Checked(match checked.verdict {
                Verdict::Wrong => 0,
                Verdict::Right => 1,
                Verdict::RightButWeak => 2,
            }),
            Finding::Committed(outcome) => Self::Committed(outcome),
            Finding::Read(page) => Self::Read(page.map(|page| {
                serde_json::to_string(&page).expect("strings, numbers and JSON always serialize")
            })),
        }
    }
}

impl From<Found> for Finding {
    fn from(found: Found) -> Self {
        match found {
            Found::Checked(number) => Self::Checked(Checked {
                verdict: match number {
                    1 => Verdict::Right,
                    2 => Verdict::RightButWeak,
                    _ => Verdict::Wrong,
                },
                rehashed: (number == 2).then(|| NO_HASH.into()),
            }),
            Found::Committed(outcome) => Self::Committed(outcome),
            Found::Read(page) => Self::Read(page.and_then(|json| {
                serde_json::from_str::<Page>(&json)
                    .map_err(|why| StoreError::Sqlite(why.to_string()))
            })),
        }
    }
}

/// Mixes `word` into `digest` (FNV-1a, by words), to compare what two servers have done.
pub(super) fn mix(digest: &mut u64, word: u64) {
    *digest = (*digest ^ word).wrapping_mul(0x0100_0000_01b3);
}
