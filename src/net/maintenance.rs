//! Maintenance, which runs without a request: a source without a descriptor.
//!
//! It sleeps until something is due, so a server with nothing to do does nothing.

use super::service::Service;
use crate::net::message::Message;
use crate::reactor::{Kind, Moment, Next, Program, Readiness, Source, Turn};

/// Removes expired sessions, writes times of last use, and ends a drain that takes too long.
#[derive(Debug)]
pub struct Maintenance {
    /// When the server stops, whether drained or not.
    stop_at: Moment,
    /// When requests that still wait for a worker are given up, because another process is to take over.
    give_up_at: Moment,
}

impl Default for Maintenance {
    /// Nothing is due until the service says so.
    fn default() -> Self {
        Self {
            stop_at: Moment::NEVER,
            give_up_at: Moment::NEVER,
        }
    }
}

impl Maintenance {
    /// Sleeps until maintenance is due next.
    fn rest(&self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        let due_s = service.app.next_maintenance_s();
        service.maintenance = Some((turn.token(), due_s));
        let due = turn.moment_of(due_s).min(self.stop_at);
        turn.set_deadline(due.min(self.give_up_at));
        Next::Wait
    }
}

impl Source<Service> for Maintenance {
    fn kind(&self) -> Kind {
        Kind::of("maintenance")
    }

    fn first_deadline(&mut self, _service: &Service, now: Moment) -> Moment {
        now
    }

    fn ready(
        &mut self,
        _readiness: Readiness,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        self.rest(service, turn)
    }

    fn due(&mut self, service: &mut Service, turn: &mut Turn<'_, Message>) -> Next {
        if turn.now() >= self.stop_at {
            log::warn!(
                "draining took too long, and is cut short: open connections: {}",
                service.clients.open
            );
            turn.stop();
        }
        if turn.now() >= self.give_up_at {
            self.give_up_at = Moment::NEVER;
            service.give_up_jobs(turn);
        }
        let mut cx = Service::context(&mut service.app, turn);
        for reply in cx.maintain() {
            service.do_in_background(reply, turn);
        }
        self.rest(service, turn)
    }

    fn message(
        &mut self,
        message: <Service as Program>::Message,
        service: &mut Service,
        turn: &mut Turn<'_, Message>,
    ) -> Next {
        if matches!(message, Message::Drain) {
            self.stop_at = turn.now() + service.app.config.limits.drain_timeout;
            self.give_up_at = service.lifecycle.cut_at();
            service.app.hurry_maintenance();
        }
        self.rest(service, turn)
    }
}
