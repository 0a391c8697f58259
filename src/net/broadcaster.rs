//! The source that sends the loop's latest records to the connections that watch it.

use super::message::Message;
use super::service::Service;
use crate::app::monitor::BATCH_EVERY;
use crate::reactor::{Kind, Moment, Next, Readiness, Source, Turn};

/// Sends observers what has happened, soon after it did. It has a deadline only while there is something to send.
#[derive(Debug, Default)]
pub struct Broadcaster {
    /// When it last did so.
    last: Moment,
}

impl Source<Service> for Broadcaster {
    fn kind(&self) -> Kind {
        Kind::observer("broadcaster")
    }

    fn ready(
        &mut self,
        _readiness: Readiness,
        _service: &mut Service,
        _turn: &mut Turn<'_, Message>,
    ) -> Next {
        Next::Wait
    }

    fn message(
        &mut self,
        message: Message,
        _service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        if matches!(message, Message::Rearm) {
            turn.set_deadline(turn.now().max(self.last + BATCH_EVERY));
        }
        Next::Wait
    }

    fn due(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        self.last = turn.now();
        service.take_vitals();
        service.observers.tell_news(&mut service.app, turn);
        Next::Wait
    }
}
