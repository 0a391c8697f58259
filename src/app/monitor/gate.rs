//! The gate between two phases of a loop that is slowed down: the loop stops there until the thread that serves the
//! monitor in the meantime lets it through.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::super::{Reply, Request};
use super::batch::server_sent;
use crate::config::Pace;
use crate::http::{Response, Status};
use crate::ledger::Phase;
use crate::reactor::Moment;

/// How often a stopped loop checks whether the process is to end: signals only reach the loop itself.
const LOOKS_UP_EVERY: Duration = Duration::from_millis(100);

/// How far the loop may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Leave {
    /// Not at all.
    #[default]
    None,
    /// Through this gate.
    Phase,
    /// To the same phase of the next turn.
    Turn,
    /// To that phase of that turn.
    Until(u64, Phase),
    /// Without stopping.
    Run,
}

/// Shared by the loop and the thread that shows it.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    moved: Condvar,
    /// The process is to end: the loop no longer stops.
    ended: Arc<AtomicBool>,
    /// How long the loop stops at each phase; without it, until it is let through.
    every: Option<Duration>,
}

#[derive(Debug, Default)]
struct State {
    leave: Leave,
    stands: bool,
    /// What a new observer receives first.
    greeting: Arc<[u8]>,
    /// The sources, as JSON.
    sources: String,
}

/// What a page asks for.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Command {
    Phase,
    Turn,
    Run,
    Halt,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stride {
    step: Command,
}

impl Gate {
    /// A gate for a loop of that pace.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        let every = match pace {
            Pace::Slow(every) => Some(every),
            Pace::Free | Pace::Gate => None,
        };
        Self {
            every,
            ..Self::default()
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be set when the process is to end.
    #[must_use]
    pub fn ended(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.ended)
    }

    /// Lets the loop through from now on, without stopping it.
    pub fn open(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.moved.notify_all();
    }

    /// Whether the loop has to stop before that phase of that turn.
    #[must_use]
    pub fn holds(&self, turn: u64, before: Phase) -> bool {
        if self.ended.load(Ordering::Relaxed) {
            return false;
        }
        match self.state().leave {
            _ if self.every.is_some() => true,
            Leave::Run => false,
            Leave::Until(until, phase) => {
                turn > until || (turn == until && before as usize >= phase as usize)
            }
            Leave::None | Leave::Phase | Leave::Turn => true,
        }
    }

    /// Updates what observers see while the loop is stopped, or when something has happened.
    pub fn show(&self, greeting: Arc<[u8]>, sources: Option<String>) {
        let mut state = self.state();
        state.greeting = greeting;
        if let Some(sources) = sources {
            state.sources = sources;
        }
    }

    /// Stops the loop until it is let through. Returns whether it is to run freely from now on.
    pub fn stand(&self, turn: u64, before: Phase) -> bool {
        let mut state = self.state();
        if let Some(every) = self.every {
            let is_over = |_: &mut State| !self.ended.load(Ordering::Relaxed);
            // The full time, since observers want to see the time pass.
            let _ = self.moved.wait_timeout_while(state, every, is_over);
            return false;
        }
        state.stands = true;
        // It has come as far as it was to. Any other leave was given just now, by an observer that saw it arrive here.
        if let Leave::Until(..) = state.leave {
            state.leave = Leave::None;
        }
        while state.leave == Leave::None && !self.ended.load(Ordering::Relaxed) {
            let waited = self.moved.wait_timeout(state, LOOKS_UP_EVERY);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.stands = false;
        match state.leave {
            Leave::Turn => state.leave = Leave::Until(turn + 1, before),
            Leave::Phase => state.leave = Leave::None,
            _ => {}
        }
        state.leave == Leave::Run
    }

    /// `GET /live`, which another thread answers: the present state.
    pub fn live(&self) -> Reply {
        Reply::Watch(Some(Arc::clone(&self.state().greeting)))
    }

    /// `GET /ps`: the sources, as they were when the loop last stopped.
    pub fn sources(&self) -> Reply {
        let response = Response::text(Status::OK, self.state().sources.clone());
        Reply::Now(
            response
                .with_header("Content-Type", "application/json")
                .no_store(),
        )
    }

    /// `POST /gate`: lets the loop continue, or halts it.
    ///
    /// # Errors
    /// 409 if the loop sleeps and is not halted; 415 and 400 if the body is not a step.
    pub fn step(&self, request: &Request<'_>) -> Result<Reply, Reply> {
        let problem = |status, code, detail| Err(Reply::problem(status, code, detail));
        if self.every.is_some() {
            let detail = "this loop goes on by itself; start the server with --gate to let it go step by step";
            return problem(Status::CONFLICT, "no_gate", detail);
        }
        if request.content_type().as_deref() != Some("application/json") {
            let detail = "send the step as JSON, with Content-Type: application/json";
            return problem(
                Status::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                detail,
            );
        }
        let Ok(Stride { step }) = serde_json::from_slice(request.body()) else {
            let detail = r#"a step is {"step":"phase"}, or "turn", "run" or "halt""#;
            return problem(Status::BAD_REQUEST, "malformed_step", detail);
        };
        Ok(super::json(&json!({ "state": self.take(step) })))
    }

    /// Takes a step; returns what the loop does then.
    fn take(&self, step: Command) -> &'static str {
        let mut state = self.state();
        state.leave = match step {
            Command::Phase => Leave::Phase,
            Command::Turn => Leave::Turn,
            Command::Run => Leave::Run,
            // A loop that was let through just now, and has not noticed yet, stays.
            Command::Halt => Leave::None,
        };
        self.moved.notify_all();
        match step {
            Command::Halt if state.stands => "halted",
            _ => "running",
        }
    }

    /// The message that the loop is stopped.
    #[must_use]
    pub fn halted(&self, turn: u64, before: Phase, now: Moment) -> Vec<u8> {
        let halted = json!({
            "turn": turn,
            "before": before.name(),
            "now_ns": now.as_ns(),
            "for_ms": self.every.map(|every| every.as_millis() as u64),
        });
        server_sent("halted", &halted)
    }

    /// The message that the loop goes to sleep after that turn.
    #[must_use]
    pub fn sleeps(turn: u64) -> Vec<u8> {
        server_sent("sleeps", &json!({ "turn": turn }))
    }

    /// The message that the loop runs.
    #[must_use]
    pub fn resumed(turn: u64) -> Vec<u8> {
        server_sent("resumed", &json!({ "turn": turn }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;

    /// A loop that goes through its phases until the gate is opened; it sends each phase at which it stops.
    fn turns(gate: &Arc<Gate>) -> (mpsc::Receiver<(u64, Phase)>, thread::JoinHandle<()>) {
        let (stands, stood) = mpsc::channel();
        let gate = Arc::clone(gate);
        let turns = thread::spawn(move || {
            for turn in 1.. {
                for before in &Phase::ALL[1..] {
                    if gate.ended.load(Ordering::Relaxed) {
                        return;
                    }
                    if gate.holds(turn, *before) {
                        let _ = stands.send((turn, *before));
                        gate.stand(turn, *before);
                    }
                }
            }
        });
        (stood, turns)
    }

    fn let_go(gate: &Gate, leave: Leave) {
        // It has stopped, or is about to.
        while !gate.state().stands {
            thread::yield_now();
        }
        gate.state().leave = leave;
        gate.moved.notify_all();
    }

    #[test]
    fn a_loop_that_was_let_go_and_has_not_noticed_can_be_halted() {
        let gate = Gate::new(Pace::Gate);
        assert_eq!(gate.take(Command::Halt), "running", "until its next phase");
        gate.state().stands = true;
        for step in [Command::Run, Command::Turn, Command::Phase] {
            assert_eq!(gate.take(step), "running");
            assert_eq!(gate.take(Command::Halt), "halted");
            assert_eq!(gate.state().leave, Leave::None);
        }
    }

    #[test]
    fn a_loop_goes_as_far_as_it_may() {
        let gate = Arc::new(Gate::new(Pace::Gate));
        let (stood, turns) = turns(&gate);
        for (leave, at) in [
            (Leave::Phase, (1, Phase::Readiness)),
            (Leave::Phase, (1, Phase::Completions)),
            (Leave::Turn, (1, Phase::Timers)),
            (Leave::Phase, (2, Phase::Timers)),
            (Leave::Turn, (2, Phase::Events)),
            (Leave::Run, (3, Phase::Events)),
        ] {
            assert_eq!(stood.recv(), Ok(at));
            let_go(&gate, leave);
        }
        while gate.state().stands {
            thread::yield_now(); // it has not noticed yet
        }
        gate.state().leave = Leave::None;
        let (turn, _) = stood.recv().expect("it halts again");
        assert!(turn >= 3);
        gate.open();
        turns.join().expect("it ends");
    }
}
