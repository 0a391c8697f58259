//! The source that sends each connection that watches the loop what has happened in it.

use super::message::Message;
use super::service::Service;
use crate::app::monitor::BATCH_EVERY;
use crate::reactor::{Kind, Moment, Next, Readiness, Source, Turn};

/// Tells those who watch what has happened, soon after it did. It has a deadline only while there is something to tell.
#[derive(Debug, Default)]
pub struct Herald {
    /// When it did so last.
    last: Moment,
}

impl Source<Service> for Herald {
    fn kind(&self) -> Kind {
        Kind::observer("herald")
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
