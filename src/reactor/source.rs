//! What runs on the loop: sources, and the program that they share.
//!
//! A source is called when there is something for it, does what it can without blocking, and
//! *answers* what it wants next. It never reaches into the loop: what it may ask of it, it asks of
//! the [`Turn`] that it is handed.

use std::io;

use super::attention::Attention;
use super::clock::Moment;
use super::description::{Description, Kind};
use super::next::{Next, Reason};
use super::seams::{Readiness, Selector};
use super::slots::Token;
use super::turn::Turn;
use super::view::View;

/// One thing worth waiting for: a descriptor, or only a deadline, and the state that goes with it.
pub trait Source<P: Program> {
    /// What this is.
    fn kind(&self) -> Kind;

    /// Registers its descriptor, if it has one, under its name.
    ///
    /// # Errors
    /// When the OS has no room; the source is then freed without having been called.
    fn register(&mut self, _selector: &mut dyn Selector, _token: Token) -> io::Result<()> {
        Ok(())
    }

    /// Takes the registration back, before the source is freed.
    fn deregister(&mut self, _selector: &mut dyn Selector) {}

    /// When it wants to be woken first, whatever its descriptor does. Asked once, when it is put
    /// on the loop.
    fn first_deadline(&mut self, _program: &P, _now: Moment) -> Moment {
        Moment::NEVER
    }

    /// The descriptor became ready, or the source asked to be asked again ([`Readiness::NONE`]).
    fn ready(
        &mut self,
        readiness: Readiness,
        program: &mut P,
        turn: &mut Turn<'_, P::Message>,
    ) -> Next;

    /// What it says of itself.
    fn describe(&self) -> Description {
        Description::default()
    }

    /// Its deadline has come.
    fn due(&mut self, _program: &mut P, _turn: &mut Turn<'_, P::Message>) -> Next {
        Next::Wait
    }

    /// Somebody on the loop told it something.
    fn message(
        &mut self,
        _message: P::Message,
        _program: &mut P,
        _turn: &mut Turn<'_, P::Message>,
    ) -> Next {
        Next::Wait
    }

    /// Writes what its outbox holds, once. Called in the flush phase of a turn in which it asked
    /// for that with [`Turn::flush`].
    fn flush(&mut self, _program: &mut P, _turn: &mut Turn<'_, P::Message>) -> Next {
        Next::Wait
    }

    /// New sources, which are for the loop; asked for after a call in which it said that it
    /// [has some](Turn::has_newcomers).
    fn newcomers(&mut self) -> Vec<Box<dyn Source<P>>> {
        Vec::new()
    }

    /// It has ended and is about to be freed: the last chance to give back what it borrowed.
    fn ended(&mut self, _reason: Reason, _program: &mut P) {}
}

/// What all sources of a loop share, and what they may tell each other.
pub trait Program: Sized + 'static {
    /// What one source can be told by another.
    type Message;
    /// What comes back from worker threads.
    type Completion: Send + 'static;

    /// A worker finished something. Completions phase.
    fn complete(&mut self, _completion: Self::Completion, _turn: &mut Turn<'_, Self::Message>) {}

    /// Looks at the loop, and says how much of its turning it wants to look at from now on. Called only while it pays
    /// [attention](Turn::pay_attention).
    fn observe(&mut self, _view: &mut View<'_, Self::Message>) -> Attention {
        Attention::None
    }

    /// Hands out what was emitted in this turn. Events phase.
    fn deliver_events(&mut self, _turn: &mut Turn<'_, Self::Message>) -> Delivered {
        Delivered::default()
    }
}

/// What came of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Events that were handed out.
    pub count: usize,
    /// There are more, for the next turn: the loop will not sleep.
    pub more: bool,
}

/// The smallest program: sources that share nothing and tell each other nothing.
impl Program for () {
    type Message = ();
    type Completion = ();
}
