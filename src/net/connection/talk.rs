//! The state of a WebSocket beyond that of every stream.

use std::collections::VecDeque;
use std::time::Duration;

use crate::app::{Conversation, Reply};
use crate::ledger::Label;
use crate::reactor::Moment;
use crate::websocket::{self, Incoming};

/// How long a peer may take to answer a ping.
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// Most unanswered messages of one socket; above that it is not read.
const OWED_MAX: usize = 64;

/// The state of a WebSocket beyond that of every stream.
pub(super) struct Talk {
    pub(super) incoming: Incoming,
    pub(super) conversation: Box<dyn Conversation>,
    /// Since when a ping has not been answered.
    pub(super) pinged: Option<Moment>,
    /// Answers that are still to be sent, in the order of the messages: an answer that is ready waits for those
    /// before it.
    owed: VecDeque<Owed>,
    /// The name of its route in the ledger.
    pub(super) label: Label,
}

/// An answer to a message.
enum Owed {
    /// A worker has to do something first. A conversation submits work only to the store, which does one thing after
    /// the other, so each result belongs to the first message that waits.
    Later,
    /// The answer is ready; `None` if there is nothing to send.
    Ready(Option<String>),
}

impl Owed {
    fn of(reply: &Reply) -> Self {
        Self::Ready(match reply {
            Reply::Now(response) => {
                let text = String::from_utf8_lossy(response.body.as_bytes());
                Some(text.trim_end().to_owned())
            }
            _ => None,
        })
    }
}

impl Talk {
    pub(super) fn new(
        conversation: Box<dyn Conversation>,
        message_bytes_max: usize,
        label: Label,
    ) -> Self {
        Self {
            incoming: Incoming::new(message_bytes_max),
            conversation,
            pinged: None,
            owed: VecDeque::new(),
            label,
        }
    }

    /// Owes an answer to a message: that reply, or if there is none yet, the one that a worker will give.
    pub(super) fn owes(&mut self, reply: Option<Reply>) {
        let answer = reply.map_or(Owed::Later, |reply| Owed::of(&reply));
        self.owed.push_back(answer);
    }

    /// A worker is done with the first message that waits.
    pub(super) fn has_ready(&mut self, reply: &Reply) {
        let first = self
            .owed
            .iter_mut()
            .find(|owed| matches!(owed, Owed::Later));
        if let Some(first) = first {
            *first = Owed::of(reply);
        }
    }

    pub(super) fn ping(&mut self, now: Moment, out: &mut Vec<u8>) {
        websocket::encode_ping(b"", out);
        self.pinged = Some(now);
    }

    /// Bytes that are held of an incomplete message.
    pub(super) fn held(&self) -> usize {
        self.incoming.held()
    }

    /// When the time for the peer's answer to a ping is over. While the peer is not read, its answer cannot be
    /// seen.
    pub(super) fn pong_due(&self) -> Moment {
        match self.pinged {
            Some(at) if self.takes_messages() => at + PONG_TIMEOUT,
            _ => Moment::NEVER,
        }
    }

    pub(super) fn takes_messages(&self) -> bool {
        self.owed.len() < OWED_MAX
    }

    /// Writes the answers that do not wait for an earlier one.
    pub(super) fn answer(&mut self, now: Moment, out: &mut Vec<u8>) {
        let was_read = self.takes_messages();
        while let Some(Owed::Ready(text)) = self.owed.front_mut() {
            if let Some(text) = text {
                websocket::encode_text(text, out);
            }
            self.owed.pop_front();
        }
        if !was_read && self.takes_messages() {
            // The peer is read again from now on, and its pong may be among the bytes that have waited.
            self.pinged = self.pinged.map(|_| now);
        }
    }
}
