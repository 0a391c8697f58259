//! The state of a server, for code outside of it.

use sha2::{Digest as _, Sha256};

use super::Server;
use crate::app::Balance;
use crate::ledger::{Ledger, Limit};
use crate::net::{Held, Tally};
#[cfg(feature = "simulation")]
use crate::reactor::Token;
use crate::token::Fingerprint;
#[cfg(feature = "simulation")]
use crate::token::Keys;

impl Server {
    /// What the server holds for clients at this moment.
    #[must_use]
    pub fn held(&self) -> Held {
        self.reactor.program.held()
    }

    /// Sources on the loop: connections, listeners, children, and the server's own.
    #[must_use]
    pub fn sources(&self) -> usize {
        self.reactor.sources()
    }

    /// The kind of the source with that token.
    #[cfg(feature = "simulation")]
    pub(crate) fn kind_of(&self, token: u64) -> String {
        match self.reactor.kind_of(Token::from_u64(token)) {
            "" => "a source that has left".into(),
            kind => format!("the {kind}"),
        }
    }

    /// Signs with other keys from now on, as after SIGHUP.
    #[cfg(feature = "simulation")]
    pub(crate) fn use_keys(&mut self, keys: Keys) {
        self.reactor.program.app.change_keys(keys);
    }

    /// The balance of each remote subscriber's events.
    pub fn balances(&mut self) -> impl Iterator<Item = Balance> {
        self.reactor.program.app.hub.balances()
    }

    /// The fingerprints of the sessions in the table, expired or not, in no order.
    pub fn session_hashes(&self) -> impl Iterator<Item = Fingerprint> {
        self.reactor.program.app.sessions.hashes()
    }

    /// The fingerprints of expired sessions that the store failed to remove; the store may no longer have a
    /// session that its user logged out of meanwhile.
    pub fn unremoved_sessions(&self) -> impl Iterator<Item = Fingerprint> {
        self.reactor.program.app.unremoved()
    }

    /// What the server has done so far.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.reactor.program.clients.tally
    }

    /// The record of what the loop did.
    pub fn ledger(&mut self) -> &mut Ledger {
        self.reactor.ledger()
    }

    /// SHA-256 of the server's state: turns, sources, sessions, the newest event, the balance of each remote
    /// subscriber, what is held for clients, what the server has done and refused. It includes neither secrets nor
    /// anything that is made from them: a server with other keys has the same digest.
    pub fn digest(&mut self) -> [u8; 32] {
        let mut lines = vec![
            format!("{:?}", self.held()),
            format!("{:?}", self.tally()),
            format!("sources {:?}", self.reactor.kinds()),
            format!("newest {}", self.reactor.program.app.hub.newest()),
            format!("throttled {:?}", self.reactor.program.app.throttle.len()),
        ];
        let ledger = self.ledger();
        let turns = ledger.turns_total();
        let refusals = Limit::ALL.map(|limit| ledger.refusals(limit));
        lines.push(format!("turns {turns}, refusals {refusals:?}"));
        let mut sorted: Vec<String> = self
            .balances()
            .map(|balance| format!("{balance:?}"))
            .collect();
        let sessions = self.reactor.program.app.sessions.iter();
        sorted.extend(sessions.map(|session| format!("{session:?}")));
        sorted.sort_unstable();
        let mut hash = Sha256::new();
        for line in lines.iter().chain(&sorted) {
            hash.update(line);
            hash.update(b"\n");
        }
        hash.finalize().into()
    }
}
