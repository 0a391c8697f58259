//! A request whose answer describes all sources (`GET /ps`): it is answered when all have been described.

use super::protocol::Protocol;
use crate::app::TakeSnapshot;
use crate::net::call::Call;
use crate::net::exchange::Exchange;

impl Protocol {
    /// Waits until all sources have been described.
    pub(super) fn take_snapshot(
        &mut self,
        then: TakeSnapshot,
        exchange: Exchange,
        call: &mut Call<'_, '_>,
    ) {
        if !call.service.observers.begin_snapshot(then, call.turn) {
            let detail = "as many requests as may list all sources do so already; try again";
            return self.answer_busy(detail, &exchange, call);
        }
        self.waits(exchange, call);
    }
}
