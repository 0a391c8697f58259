//! The only file that reads a clock.

use std::fmt;
use std::num::NonZero;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in monotonic time: nanoseconds since the clock began.
///
/// Stored as one more than that, which is never zero: so an `Option` of a moment takes no more memory than a
/// moment, in each of ten thousand connections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(NonZero<u64>);

const _: () = assert!(size_of::<Option<Moment>>() == 8);

impl Default for Moment {
    fn default() -> Self {
        Self::from_ns(0)
    }
}

impl Moment {
    /// Later than every other moment: a deadline that never comes.
    pub const NEVER: Self = Self(NonZero::<u64>::MAX);

    /// The moment `ns` nanoseconds after the clock began.
    #[must_use]
    pub const fn from_ns(ns: u64) -> Self {
        Self(NonZero::<u64>::MIN.saturating_add(ns))
    }

    /// Nanoseconds since the clock began.
    #[must_use]
    pub const fn as_ns(self) -> u64 {
        self.0.get() - 1
    }

    /// Nanoseconds from `earlier` until this moment; 0 if `earlier` is later. The same as [`Sub`], without
    /// the division that making a [`Duration`] takes.
    #[must_use]
    pub fn ns_since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }

    /// Whole seconds since the clock began.
    #[must_use]
    pub fn as_secs(self) -> u64 {
        self.as_ns() / 1_000_000_000
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

    /// Zero if `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.ns_since(earlier))
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            f.write_str("never")
        } else {
            write!(f, "{:?}", Duration::from_nanos(self.as_ns()))
        }
    }
}

/// The seam through which time enters.
pub trait Clock {
    /// Monotonic time: deadlines and durations.
    fn now(&self) -> Moment;

    /// Wall-clock time in milliseconds since 1970 (UTC), for people and signatures. It may jump in
    /// both directions.
    fn unix_ms(&self) -> u64;
}

/// The system's clocks. Clones show the same time.
#[derive(Clone, Debug)]
pub struct OsClock {
    began_ns: u64,
}

impl Default for OsClock {
    fn default() -> Self {
        Self {
            began_ns: monotonic_ns(),
        }
    }
}

/// Nanoseconds since some moment. It is called about twice a dispatch, and so leaves out the checks of
/// `std::time::Instant`. The time for which the machine sleeps is not counted: no client's deadline passes meanwhile.
#[cfg(not(target_vendor = "apple"))]
#[inline]
#[expect(clippy::cast_sign_loss, reason = "it began with the machine")]
fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The same on Apple's systems, whose `CLOCK_MONOTONIC` counts while the machine sleeps; `Instant` does not.
#[cfg(target_vendor = "apple")]
#[inline]
fn monotonic_ns() -> u64 {
    static FIRST: std::sync::LazyLock<std::time::Instant> =
        std::sync::LazyLock::new(std::time::Instant::now);
    FIRST.elapsed().as_nanos() as u64
}

impl Clock for OsClock {
    #[inline]
    fn now(&self) -> Moment {
        Moment::from_ns(monotonic_ns() - self.began_ns)
    }

    fn unix_ms(&self) -> u64 {
        // A machine whose clock is before 1970 has no clock; the epoch is as good a guess as any.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64)
    }
}
