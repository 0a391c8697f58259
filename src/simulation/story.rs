//! Describes in words what happened; writes nothing unless the story is shown.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use super::clients::What;
use super::world::World;
use crate::reactor::Token;
use crate::reactor::fake::Cause;
use crate::server::describe;

/// Writes a story line by line, or nothing.
pub(super) struct Story {
    out: Option<Box<dyn Write>>,
    /// Turns without events since the last line, and how long the loop slept in them.
    quiet: (u64, Duration),
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Story").finish_non_exhaustive()
    }
}

impl Story {
    pub(super) fn to(out: Option<Box<dyn Write>>) -> Self {
        Self {
            out,
            quiet: (0, Duration::ZERO),
        }
    }

    pub(super) fn is_told(&self) -> bool {
        self.out.is_some()
    }

    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(out) = &mut self.out {
            // A reader that has stopped reading misses the rest.
            if let (turns @ 1.., slept) = std::mem::take(&mut self.quiet) {
                let turns = if turns == 1 {
                    "a turn".into()
                } else {
                    format!("{turns} turns")
                };
                let _ = writeln!(out, "{turns} with nothing to do, {slept:?} asleep");
            }
            let _ = writeln!(out, "{}", line());
        }
    }

    /// A turn in which nothing happened.
    fn nothing_happened(&mut self, slept: Duration) {
        self.quiet.0 += 1;
        self.quiet.1 += slept;
    }
}

impl World {
    /// Writes the users and the habits of this story.
    pub(super) fn tell_beginning(&mut self, seed: u64) {
        let names: Vec<&str> = self.users.iter().map(|user| user.name).collect();
        let (config, habits) = (&self.config, &self.habits);
        let limits = &config.limits;
        let (idle, absolute) = (limits.session_idle, limits.session_absolute);
        let max = limits.sessions_per_user_max;
        let sessions = if max == 0 {
            String::new()
        } else {
            format!(", {max} sessions of each user")
        };
        self.story.say(|| {
            format!(
                "The story of seed {seed}. {} may log in, with their names as passwords; a session ends \
                 after {idle:?} without use, or {absolute:?}. There are {} workers and room for {} \
                 connections{sessions} and {} events. {habits}",
                names.join(", "),
                config.workers,
                limits.connections_max,
                limits.events_kept_max
            )
        });
    }

    /// Writes which sources were ready, and what the loop did for them and for others.
    pub(super) fn tell_turn(&mut self) {
        let wait = self.network.last_wait();
        let Some(server) = &mut self.server else {
            return;
        };
        let ledger = server.ledger();
        let Some(turn) = ledger.turns().next_back().copied() else {
            return;
        };
        let network = &self.network;
        let who = |token: Token| match network.of_token(token) {
            Some(wire) => format!("client {wire}"),
            None => "the door".to_owned(),
        };
        let ready: Vec<String> = wait
            .ready
            .iter()
            .map(|(token, readiness, cause)| match cause {
                Cause::Edge => format!("{} {}", who(*token), describe::in_words(*readiness)),
                Cause::Spurious => format!("{} is said to be ready, and is not", who(*token)),
                Cause::Stale => "a source that has left is said to be ready".to_owned(),
            })
            .collect();
        let otherwise = if wait.woken {
            "a worker has woken the loop".to_owned()
        } else {
            format!("no source is ready after {:?}", wait.slept)
        };
        let told = describe::turn(ledger, &turn, &ready, &otherwise, |token| {
            let wire = network.of_token(Token::from_u64(token));
            wire.map(|wire| format!("client {wire}"))
        });
        match told {
            None => self.story.nothing_happened(wait.slept),
            Some(told) => self.story.say(|| told),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Health => f.write_str("whether all is well"),
            Self::Ready => f.write_str("whether to send more requests"),
            Self::Echo(number) => write!(f, "to hear {number}"),
            Self::Later(number) => write!(f, "to hear {number}, from a worker"),
            Self::Stream(number, times) => write!(f, "to hear {number}, {times} times over"),
            Self::Panic => f.write_str("for a handler that panics"),
            Self::PanicLater => f.write_str("for a job that panics"),
            Self::Login { name, right: true } => write!(f, "to log in as {name}"),
            Self::Login { name, .. } => write!(f, "to log in as {name}, by a wrong password"),
            Self::List(session) => write!(f, "for all sessions like session {session}"),
            Self::Refused { session, status } => {
                write!(
                    f,
                    "for something that is refused by {status}, with session {session:?}"
                )
            }
            Self::Odd(odd) => write!(f, "{} {}, which is {}", odd.method, odd.target, odd.status),
            Self::Session(session) => write!(f, "about session {session}"),
            Self::Verify(session) => write!(f, "whether session {session} holds"),
            Self::Logout {
                session,
                everywhere: None,
            } => write!(f, "to end session {session}"),
            Self::Logout { session, .. } => {
                write!(f, "to end all sessions of the user of session {session}")
            }
            Self::Revoke { by, session, .. } => {
                write!(f, "to end session {session}, by session {by}")
            }
            Self::Publish {
                session, number, ..
            } => {
                write!(f, "to publish {number}, with session {session}")
            }
            Self::Poll { session, since, .. } => {
                write!(f, "for events after {since:?}, with session {session}")
            }
            Self::Follow {
                session, websocket, ..
            } => {
                let how = if *websocket {
                    "a WebSocket"
                } else {
                    "a stream"
                };
                write!(f, "for {how} of events, with session {session}")
            }
            Self::Garbage(status) => write!(f, "what is no request, and deserves {status}"),
            Self::Drip => f.write_str("something, byte by byte, and never comes to the end"),
        }
    }
}
