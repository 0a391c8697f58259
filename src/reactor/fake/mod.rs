//! A world that a test or a story controls: a clock that jumps, entropy from a seed, a network in memory.
//!
//! Nothing here sleeps. When no source is ready, a wait moves the clock to the deadline; without a
//! deadline it returns at once, and the test sees that the loop is idle.
//!
//! Read next: `network`, which lies between the server and its peers, and `ends`, what each side sees of it.

mod chance;
mod ends;
mod network;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

pub use chance::Chance;
pub use ends::{FakeAcceptor, FakePeer, FakeSelector, FakeStream};
pub use network::{Backend, Cause, Network, Wait, Weather, WireId};

use super::clock::{Clock, Moment};
use super::seams::{Entropy, Seams};

/// A clock that moves only when it is told to. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct FakeClock {
    ns: Rc<Cell<u64>>,
    /// By how many milliseconds the wall clock has been set forwards or back.
    wall_off_ms: Rc<Cell<i64>>,
    look_ns: u64,
}

/// Wall-clock time at which every fake clock begins: 2026-01-01T00:00:00Z, in milliseconds.
pub const FAKE_EPOCH_MS: u64 = 1_767_225_600_000;

impl FakeClock {
    /// A clock that also moves by so many nanoseconds whenever it is read, since reading a real clock takes time.
    #[must_use]
    pub fn moved_by_looks(look_ns: u64) -> Self {
        Self {
            look_ns,
            ..Self::default()
        }
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.ns.set(self.ns.get() + by.as_nanos() as u64);
    }

    /// Sets the wall clock forwards or back; the monotonic clock does not change.
    pub fn jump(&self, by_ms: i64) {
        self.wall_off_ms.set(self.wall_off_ms.get() + by_ms);
    }

    /// The wall clock in seconds.
    #[must_use]
    pub fn unix_s(&self) -> i64 {
        (self.unix_ms() / 1000).cast_signed()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Moment {
        self.ns.set(self.ns.get() + self.look_ns);
        Moment::from_ns(self.ns.get())
    }

    fn unix_ms(&self) -> u64 {
        let ms = FAKE_EPOCH_MS + self.ns.get() / 1_000_000;
        ms.saturating_add_signed(self.wall_off_ms.get())
    }
}

/// The same numbers for the same seed (xorshift64, Marsaglia 2003). Not fit for secrets.
#[derive(Clone, Debug)]
pub struct FakeEntropy(u64);

impl FakeEntropy {
    /// Numbers from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Xorshift never leaves the state zero.
        Self(seed.max(1))
    }
}

impl Entropy for FakeEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = (self.0 >> 32) as u8;
        }
    }
}

/// The seams of a fake world, whose waits move `clock`, and the handle with which a test controls its network.
#[must_use]
pub fn fake_seams(clock: &FakeClock) -> (Seams, Network) {
    let network = Network::new(clock.clone(), Chance::new(0));
    let seams = Seams {
        clock: Box::new(clock.clone()),
        entropy: Box::new(FakeEntropy::new(1)),
        selector: Box::new(network.selector()),
    };
    (seams, network)
}
