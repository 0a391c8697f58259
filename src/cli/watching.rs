//! The options for watching the loop.

use std::time::Duration;

use clap::Args;
use loopgate::config::{ListenAddr, Pace};

use super::time::time;

#[derive(Args, Debug)]
pub(super) struct WatchingOptions {
    /// Show who is connected, what is slow and how the loop turns, to this machine only: a loopback
    /// `ADDRESS:PORT` or `unix:/path`
    #[arg(long, env = "LOOPGATE_MONITOR", value_name = "ADDR")]
    pub(super) monitor: Option<ListenAddr>,
    /// For classrooms: sleep for so long before each phase of a turn, as in 300ms, to be watched on the monitor's page
    #[arg(long, env = "LOOPGATE_SLOW_TURN", value_name = "TIME", value_parser = time, conflicts_with = "gate")]
    slow_turn: Option<Duration>,
    /// For classrooms: halt before each phase of a turn, until the monitor's page lets the loop go on
    #[arg(long, env = "LOOPGATE_GATE", value_parser = clap::builder::BoolishValueParser::new())]
    gate: bool,
}

impl WatchingOptions {
    pub(super) fn pace(&self) -> Pace {
        match self.slow_turn {
            Some(each) => Pace::Slow(each),
            None if self.gate => Pace::Gate,
            None => Pace::Free,
        }
    }
}
