//! A source that accepts.
//!
//! One report of readiness may stand for many waiting peers, so the listener accepts until no peer
//! waits or its budget is spent. When descriptors run out, `accept` fails at once and for ever: trying
//! again would spin, and waiting for the next edge would stall until one more peer connects. So the
//! listener pauses, and tries again when a source was freed or its timer fires.

use std::io;
use std::time::Duration;

use super::description::{Description, Kind};
use super::next::{Next, Reason};
use super::seams::{Acceptor, Peer, Readiness, Selector};
use super::slots::Token;
use super::source::{Program, Source};
use super::turn::Turn;

/// Peers accepted in one turn at most.
const ACCEPTS_PER_TURN: usize = 64;
/// Most errors in one turn that mean either that a peer has gone or that the socket does not listen, on systems
/// where that [happens](Acceptor::lost_peer_is_invalid).
const INVALID_PER_TURN_MAX: u32 = 16;
/// How long a listener pauses if no source is freed meanwhile.
const PAUSE: Duration = Duration::from_millis(500);

/// What a listener does with new connections. A function from a stream and a peer to a source
/// accepts them all.
pub trait Accept<P: Program, T> {
    /// The listener's kind.
    fn kind(&self) -> Kind {
        Kind::of("listener")
    }

    /// Whether there is room for one more connection; the listener pauses while there is none.
    fn has_room(&self, _program: &P) -> bool {
        true
    }

    /// A peer connected: returns the source that serves it.
    fn accepted(&mut self, stream: T, peer: Peer, program: &mut P) -> Box<dyn Source<P>>;

    /// Whether `message` asks the listener to close, so that no more peers are accepted.
    fn closes(&self, _message: &P::Message) -> bool {
        false
    }
}

impl<P: Program, T, F, S> Accept<P, T> for F
where
    F: FnMut(T, Peer) -> S,
    S: Source<P> + 'static,
{
    fn accepted(&mut self, stream: T, peer: Peer, _program: &mut P) -> Box<dyn Source<P>> {
        Box::new(self(stream, peer))
    }
}

/// Accepts connections from `acceptor`, and hands them to `accept`.
pub struct Listener<P: Program, A, C> {
    acceptor: A,
    accept: C,
    newcomers: Vec<Box<dyn Source<P>>>,
    /// It has paused, and the queue has not been empty since: a shortage is logged once, not at every try.
    short: bool,
}

impl<P: Program, A, C> std::fmt::Debug for Listener<P, A, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener")
            .field("short", &self.short)
            .finish_non_exhaustive()
    }
}

impl<P: Program, A: Acceptor, C> Listener<P, A, C> {
    /// A listener that starts as soon as it is on a loop.
    pub fn new(acceptor: A, accept: C) -> Self {
        Self {
            acceptor,
            accept,
            newcomers: Vec::new(),
            short: false,
        }
    }

    fn pause(&mut self, why: &dyn std::fmt::Display, turn: &mut Turn<'_, P::Message>) -> Next {
        if !std::mem::replace(&mut self.short, true) {
            log::warn!("not accepting for a while: {why}");
        }
        turn.ledger().accept_paused();
        turn.set_deadline(turn.now() + PAUSE);
        turn.ask_again_after_reap();
        Next::Wait
    }
}

impl<P: Program, A: Acceptor, C: Accept<P, A::Stream>> Source<P> for Listener<P, A, C> {
    fn kind(&self) -> Kind {
        self.accept.kind()
    }

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.acceptor.register(selector, token)
    }

    fn deregister(&mut self, selector: &mut dyn Selector) {
        self.acceptor.deregister(selector);
    }

    fn ready(
        &mut self,
        _readiness: Readiness,
        program: &mut P,
        turn: &mut Turn<'_, P::Message>,
    ) -> Next {
        let mut invalid_left = if self.acceptor.lost_peer_is_invalid() {
            INVALID_PER_TURN_MAX
        } else {
            0
        };
        for _ in 0..ACCEPTS_PER_TURN {
            if !self.accept.has_room(program) {
                return self.pause(&"as many connections as allowed are open", turn);
            }
            match self.acceptor.accept() {
                Ok((stream, peer)) => {
                    let newcomer = self.accept.accepted(stream, peer, program);
                    self.newcomers.push(newcomer);
                    turn.has_newcomers();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.short = false;
                    return Next::Wait;
                }
                // The peer gave up before it was accepted (accept(2): treat like EAGAIN, and retry).
                Err(error) if concerns_one_peer(error.kind()) => {}
                // A socket that does not listen fails like this for ever, so it is tolerated only a few times.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && invalid_left > 0 => {
                    invalid_left -= 1;
                }
                Err(error) => return self.pause(&error, turn),
            }
        }
        Next::Again
    }

    fn newcomers(&mut self) -> Vec<Box<dyn Source<P>>> {
        std::mem::take(&mut self.newcomers)
    }

    fn describe(&self) -> Description {
        let state = if self.short { "paused" } else { "listening" };
        Description {
            state,
            ..Description::default()
        }
    }

    fn due(&mut self, program: &mut P, turn: &mut Turn<'_, P::Message>) -> Next {
        self.ready(Readiness::NONE, program, turn)
    }

    fn message(
        &mut self,
        message: P::Message,
        program: &mut P,
        turn: &mut Turn<'_, P::Message>,
    ) -> Next {
        if !self.accept.closes(&message) {
            return Next::Wait;
        }
        // The system has already completed connections that are not accepted yet; closing the listener
        // would reset them.
        while self.ready(Readiness::NONE, program, turn) == Next::Again {}
        Next::Close(Reason("draining"))
    }
}

fn concerns_one_peer(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, TimedOut,
    };
    matches!(
        kind,
        ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | TimedOut
    )
}
