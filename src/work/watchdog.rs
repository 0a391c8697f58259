//! The thread `loopgate-watch`: reports a turn that does not end, and what is running in it, while it lasts.
//!
//! The ledger reports a handler that blocked after it has returned; this reports one that does not return. The thread
//! only reads what the loop stores anyway, and wakes once a second.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::ledger::Pulse;

/// A turn that takes longer is reported in the log, after twice this time at the latest.
pub const STUCK_AFTER: Duration = Duration::from_secs(1);

/// Watches a loop until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts to watch. `say` is called on the thread, once for a turn that is stuck, with its number and the name of
    /// what is running.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(
        pulse: Arc<Pulse>,
        mut say: impl FnMut(u64, &str) + Send + 'static,
    ) -> io::Result<Self> {
        let (end, ended) = mpsc::channel();
        let watch = move || {
            let (mut seen, mut said) = (None, None);
            while ended.recv_timeout(STUCK_AFTER) == Err(RecvTimeoutError::Timeout) {
                let turn = pulse.turn_under_way();
                if let Some(number) = turn
                    && turn == seen
                    && turn != said
                {
                    say(number, &pulse.running());
                    said = turn;
                }
                seen = turn;
            }
        };
        let thread = thread::Builder::new().name("loopgate-watch".into());
        Ok(Self {
            thread: Some(thread.spawn(watch)?),
            end: Some(end),
        })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.end = None; // the thread notices this at once
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    #[test]
    fn a_turn_that_does_not_end_is_said_once_with_what_is_running() {
        let mut ledger = Ledger::default();
        let (send, said) = mpsc::channel();
        let watchdog = Watchdog::start(ledger.pulse(), move |turn, running| {
            send.send((turn, running.to_owned())).unwrap();
        });
        let label = ledger.label("GET /blocks");
        ledger.begin_turn(0, 1, None, 0);
        ledger.end_turn(2); // and the loop sleeps, which is not reported
        ledger.begin_turn(2, 3, None, 1);
        ledger.does(label);
        assert_eq!(said.recv(), Ok((2, "GET /blocks".to_owned())));
        ledger.end_turn(4);
        ledger.begin_turn(4, 5, None, 1);
        ledger.does(Ledger::default().label(""));
        assert_eq!(said.recv(), Ok((3, "the loop itself".to_owned())));
        drop(watchdog);
        assert!(
            said.recv().is_err(),
            "the thread has ended, and said each once"
        );
    }
}
