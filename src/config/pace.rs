//! How a loop goes from phase to phase: at once, slowly, or step by step at a gate.

use std::time::Duration;

/// Longest time that a loop may sleep before each phase: a turn takes six times that.
pub const SLOW_TURN_MAX: Duration = Duration::from_secs(10);

/// How a loop goes from phase to phase. Anything but [`Pace::Free`] is for classrooms, since all clients have to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it can.
    #[default]
    Free,
    /// It sleeps for so long before each phase.
    Slow(Duration),
    /// It halts before each phase, until the monitor's page lets it continue.
    Gate,
}

impl Pace {
    /// Its name in the monitor.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Slow(_) => "slow",
            Self::Gate => "gate",
        }
    }

    /// Reports a contradiction, in a sentence for the user.
    pub(super) fn check(self, has_monitor: bool) -> Result<(), String> {
        let option = match self {
            Self::Free => return Ok(()),
            Self::Slow(each) if each.is_zero() || each > SLOW_TURN_MAX => {
                let max_s = SLOW_TURN_MAX.as_secs();
                return Err(format!(
                    "slow-turn must be longer than nothing and at most {max_s} s"
                ));
            }
            Self::Slow(_) => "slow-turn",
            Self::Gate => "gate",
        };
        if has_monitor {
            return Ok(());
        }
        Err(format!(
            "{option} needs a page to watch the loop on: add --monitor 127.0.0.1:9090"
        ))
    }
}
