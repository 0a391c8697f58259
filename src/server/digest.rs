//! The state of a server in 32 bytes: two servers that have done the same have the same.

use sha2::{Digest as _, Sha256};

use super::Server;
use crate::reactor::Seams;

impl<S: Seams> Server<S> {
    /// SHA-256 of what the server knows and holds: turns, sources, sessions, the newest event, what became of each
    /// remote subscriber's, what is held for clients, what it has done and refused. Secrets are not in it, nor what is
    /// made from them: a server whose keys are others has the same.
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
        let refusals = crate::ledger::Limit::ALL.map(|limit| ledger.refusals(limit));
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
