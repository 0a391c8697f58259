//! What runs on the loop: sources, and the program that they share.
//!
//! A source is called when there is something for it, does what it can without blocking, and
//! *answers* what it wants next. It never reaches into the loop: it makes its requests to the loop
//! through the [`Turn`] that it is given.

use std::io;

use super::attention::Attention;
use super::clock::Moment;
use super::description::{Description, Kind};
use super::next::{Next, Reason};
use super::seams::{Readiness, Selector};
use super::slots::Token;
use super::turn::Turn;
use super::view::View;

/// Something that the loop waits for: a descriptor, or only a deadline, and the state that goes with it.
pub trait Source<P: Program> {
    /// Its kind.
    fn kind(&self) -> Kind;

    /// Registers its descriptor, if it has one, under its token.
    ///
    /// # Errors
    /// When the OS has no room; the source is then freed without having been called.
    fn register(&mut self, _selector: &mut dyn Selector, _token: Token) -> io::Result<()> {
        Ok(())
    }

    /// Removes the registration, before the source is freed.
    fn deregister(&mut self, _selector: &mut dyn Selector) {}

    /// Its first deadline, even if its descriptor is not ready before. Called once, when it is added to
    /// the loop.
    fn first_deadline(&mut self, _program: &P, _now: Moment) -> Moment {
        Moment::NEVER
    }

    /// The descriptor became ready, or the source asked to be called again ([`Readiness::NONE`]).
    fn ready(
        &mut self,
        readiness: Readiness,
        program: &mut P,
        turn: &mut Turn<'_, P::Message>,
    ) -> Next;

    /// Its description of itself.
    fn describe(&self) -> Description {
        Description::default()
    }

    /// Its deadline has passed.
    fn due(&mut self, _program: &mut P, _turn: &mut Turn<'_, P::Message>) -> Next {
        Next::Wait
    }

    /// Another source, or the program, sent it a message.
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

    /// New sources to be added to the loop. Called after a call in which it said that it
    /// [has some](Turn::has_newcomers).
    fn newcomers(&mut self) -> Vec<Box<dyn Source<P>>> {
        Vec::new()
    }

    /// It has ended and is about to be freed: the last chance to release what it holds.
    fn ended(&mut self, _reason: Reason, _program: &mut P) {}
}

/// What all sources of a loop share, and the messages between them.
pub trait Program: Sized + 'static {
    /// A message from one source to another.
    type Message;
    /// A result from a worker thread.
    type Completion: Send + 'static;

    /// A worker finished something. Called in the completions phase.
    fn complete(&mut self, _completion: Self::Completion, _turn: &mut Turn<'_, Self::Message>) {}

    /// Observes the loop, and returns how closely it wants to observe it from now on. Called only while it pays
    /// [attention](Turn::pay_attention).
    fn observe(&mut self, _view: &mut View<'_, Self::Message>) -> Attention {
        Attention::None
    }

    /// Delivers the events that were emitted in this turn. Called in the events phase.
    fn deliver_events(&mut self, _turn: &mut Turn<'_, Self::Message>) -> Delivered {
        Delivered::default()
    }
}

/// The result of a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Events that were delivered.
    pub count: usize,
    /// There are more events for the next turn: the loop will not sleep.
    pub more: bool,
}

/// The smallest program: its sources share nothing and send no messages.
impl Program for () {
    type Message = ();
    type Completion = ();
}
