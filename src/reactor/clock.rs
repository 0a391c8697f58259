//! The only file that reads a clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in monotonic time: nanoseconds since the clock began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(u64);

impl Moment {
    /// Later than every other moment: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `ns` nanoseconds after the clock began.
    #[must_use]
    pub fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the clock began.
    #[must_use]
    pub fn as_ns(self) -> u64 {
        self.0
    }

    /// Nanoseconds from `earlier` until now; 0 where that is the later one. What [`Sub`] says, without
    /// the division that a [`Duration`] begins with.
    #[must_use]
    pub fn ns_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds since the clock began.
    #[must_use]
    pub fn as_secs(self) -> u64 {
        self.0 / 1_000_000_000
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    /// Saturates at [`Moment::NEVER`].
    fn add(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl Sub for Moment {
    type Output = Duration;

    /// Zero where `earlier` is the later one.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.ns_since(earlier))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            f.write_str("never")
        } else {
            write!(f, "{:?}", Duration::from_nanos(self.0))
        }
    }
}

/// The seam through which time enters.
pub trait Clock {
    /// Monotonic time: deadlines and durations.
    fn now(&self) -> Moment;

    /// Wall-clock time in milliseconds since 1970 (UTC): what people and signatures are told. It
    /// may jump in both directions.
    fn unix_ms(&self) -> u64;
}

/// The system's clocks.
#[derive(Debug)]
pub struct OsClock {
    began: Instant,
}

impl Default for OsClock {
    fn default() -> Self {
        Self {
            began: Instant::now(),
        }
    }
}

impl Clock for OsClock {
    fn now(&self) -> Moment {
        Moment(self.began.elapsed().as_nanos() as u64)
    }

    fn unix_ms(&self) -> u64 {
        // A clock set before 1970 is a machine without one; the epoch is as good a guess as any.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64)
    }
}
