//! The messages between sources. A message is never delivered inside the call that sent it.

use super::slots::Token;

/// A message and its receivers.
pub(super) enum Mail<M> {
    /// One source.
    To(Token, M),
    /// Every source; each gets its own copy.
    All(fn() -> M),
}

/// Messages that wait for a phase that delivers them.
pub(super) struct Mailbox<M> {
    waiting: Vec<Mail<M>>,
    /// Emptied and kept, so that a turn's mail costs no allocation.
    delivering: Vec<Mail<M>>,
}

impl<M> Default for Mailbox<M> {
    fn default() -> Self {
        Self {
            waiting: Vec::new(),
            delivering: Vec::new(),
        }
    }
}

impl<M> Mailbox<M> {
    pub(super) fn post(&mut self, mail: Mail<M>) {
        self.waiting.push(mail);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes what waits now. Messages that are posted during the delivery wait for the next phase.
    pub(super) fn take(&mut self) -> Vec<Mail<M>> {
        std::mem::replace(&mut self.waiting, std::mem::take(&mut self.delivering))
    }

    /// Gives the emptied list back.
    pub(super) fn give_back(&mut self, emptied: Vec<Mail<M>>) {
        debug_assert!(emptied.is_empty(), "mail was lost");
        self.delivering = emptied;
    }
}
