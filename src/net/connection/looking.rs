//! A request that is answered when all sources have been looked at.

use super::protocol::Protocol;
use crate::app::Look;
use crate::net::call::Call;
use crate::net::exchange::Exchange;
use crate::net::looking::{LOOKS_MAX, Looking};

impl Protocol {
    /// Waits until all sources have been looked at.
    pub(super) fn look(&mut self, then: Look, exchange: Exchange, call: &mut Call<'_, '_>) {
        if call.service.looks.len() == LOOKS_MAX {
            let detail = "as many as may are looking at all sources already; try again";
            return self.answer_busy(detail, &exchange, call);
        }
        call.service.looks.push_back(Looking {
            asker: call.turn.token(),
            from: 0,
            seen: Vec::new(),
            then,
        });
        self.waits(exchange, call);
    }
}
