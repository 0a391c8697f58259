//! The invariants: some are checked after every step, more when everything has come to rest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::asking::POLL_WAIT_S;
use super::clients::{Asked, Client, Mode, PIPELINED_MAX, What};
use super::truth::{Must, SLACK_S, Standing};
use super::world::{CLIENTS_MAX, World};
use crate::reactor::fake::WireId;
use crate::token::Fingerprint;
use crate::work::{SessionRow, UserRow};

/// Rounds after which a world in which nothing new happens is at rest.
const ROUNDS_MAX: usize = 20_000;
/// Most polls that wait one after the other: those of all clients, if each is admitted when another one gives up.
const POLLS_MAX: usize = PIPELINED_MAX * CLIENTS_MAX;
/// The listener and maintenance.
const OWN_SOURCES: usize = 2;
/// Turns in which the answer to a late client may find no room on the network.
const LATE_TURNS_MAX: u32 = 8;
/// Nanoseconds by which a deadline may be missed.
const SLACK_NS: u64 = 100_000_000;
/// Nanoseconds after which maintenance retries what the disk refused.
const CHORES_AGAIN_NS: u64 = 62_000_000_000;

impl World {
    /// Checks the invariants of every step.
    pub(super) fn look_around(&mut self) -> Result<(), String> {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        let held = server.held();
        let on_wire = self.network.held();
        if held.connections != on_wire {
            return Err(format!(
                "the server counts {} connections and has {on_wire}",
                held.connections
            ));
        }
        for balance in server.balances() {
            if balance.published != balance.delivered + balance.dropped + balance.queued {
                return Err(format!("a feed is out of balance: {balance}"));
            }
        }
        Ok(())
    }

    /// Checks that a client that sends a head byte by byte is refused in time, no matter what happens in between.
    pub(super) fn keep_deadlines(&mut self, began_ns: u64) -> Result<(), String> {
        let limit = self.config.limits.head_timeout.as_nanos() as u64 + SLACK_NS;
        for client in &mut self.clients {
            if !client.drips || client.over {
                continue;
            }
            let wire = client.wire;
            match client.dripping_since_ns {
                None => {
                    let begun = self.network.has_begun(wire);
                    client.dripping_since_ns = begun.then_some(self.now_ns);
                }
                Some(since_ns) => {
                    let answered = self.network.is_ending(wire)
                        || self.network.outgoing(wire) > 0
                        || !client.inbox.is_empty()
                        || client.asked.is_empty();
                    let late = !answered && began_ns > since_ns + limit;
                    client.late_turns = if late { client.late_turns + 1 } else { 0 };
                    if client.late_turns > LATE_TURNS_MAX {
                        let late_ms = (began_ns - since_ns) / 1_000_000;
                        return Err(format!(
                            "client {wire} sends its head for {late_ms} ms, and is not cut"
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Turns the loop, and lets clients and workers do their work, until nothing changes any more.
    fn rest(&mut self) -> Result<(), String> {
        let mut still = 0;
        for _ in 0..ROUNDS_MAX {
            let moved = self.round()?;
            self.look_around()?;
            still = if moved { 0 } else { still + 1 };
            if still == 3 {
                return Ok(());
            }
        }
        Err("the loop never comes to rest".into())
    }

    /// All bytes arrive, clients take all that they were sent, a worker takes a step, and the loop turns. Returns
    /// whether anything changed.
    pub(super) fn round(&mut self) -> Result<bool, String> {
        let mut moved = false;
        for at in 0..self.clients.len() {
            if self.clients[at].over {
                continue;
            }
            let wire = self.clients[at].wire;
            moved |= self.network.arrive(wire, usize::MAX) > 0;
            moved |= self.client_takes(at, usize::MAX)? > 0;
        }
        moved |= self.worker_steps()?;
        self.turn(Duration::ZERO)?;
        let wait = self.network.last_wait();
        Ok(moved || wait.woken || !wait.ready.is_empty() || wait.timeout == Some(Duration::ZERO))
    }

    /// The network is calm, the disk works, all clients read; then everything must be as it was confirmed.
    pub(super) fn come_to_rest(&mut self) -> Result<(), String> {
        self.story
            .say(|| "everything works again, and is waited for".into());
        self.heal();
        for at in 0..self.clients.len() {
            // A client that never finishes a request would keep the others waiting.
            if self.clients[at].drips && !self.clients[at].over {
                self.client_leaves(at);
            }
        }
        self.rest()?;
        // A paused listener continues, polls give up.
        let waits = |asked: &Asked| matches!(asked.what, What::Poll { waits: true, .. });
        for _ in 0..POLLS_MAX {
            self.advance(Duration::from_secs(POLL_WAIT_S + 1));
            self.rest()?;
            let mut inside = self.clients.iter();
            // A client that finds no room may be admitted later, since others give up.
            let polls = |client: &Client| {
                client.asked.iter().any(waits) && self.network.is_accepted(client.wire)
            };
            if !inside.any(polls) {
                break;
            }
        }
        let connections = self
            .server
            .as_ref()
            .map_or(0, |server| server.held().connections);
        let is_full = connections >= self.config.limits.connections_max;
        for client in &self.clients {
            // A client that finds no room waits until another one leaves.
            let waits = is_full && !self.network.is_accepted(client.wire);
            if let Some(asked) = client.asked.front()
                && !waits
            {
                return Err(format!(
                    "client {}, who asked {}, is never answered",
                    client.wire, asked.what
                ));
            }
        }
        self.rested_step = self.step;
        self.check_all()
    }

    fn check_all(&mut self) -> Result<(), String> {
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        let held = server.held();
        if held.pending != 0 {
            return Err(format!("{} jobs are never done", held.pending));
        }
        self.attempts.rest(self.now());
        self.places.rest(self.step);
        self.check_sessions()?;
        self.check_expired()?;
        self.causes.check()?;
        for user in &mut self.everywhere {
            *user = 0;
        }
        self.widen_logouts();
        let (newest, wall) = (self.events.newest(), self.wall());
        for client in &self.clients {
            let Mode::Events(following) = &client.mode else {
                continue;
            };
            if client.over {
                continue;
            }
            let of_client = |why: String| format!("client {}: {why}", client.wire);
            // From the second in which its session expires it receives only that event.
            if !self.sessions[following.session].may_have_expired(self.lasting, wall) {
                let told = following.follower.check(newest, &self.events);
                told.map_err(of_client)?;
            }
            self.check_gaps(&following.follower).map_err(of_client)?;
            if let Some(said) = following.said.front() {
                return Err(of_client(format!("{said:?} is never answered")));
            }
            let known = &self.sessions[following.session];
            let retires_s = self.retires_s(known.key_id).unwrap_or(i64::MAX);
            // If the clock was set, the second in which the key retires comes at another time.
            if !self.clock_was_set && retires_s.saturating_add(2 * SLACK_S) < wall.min_s {
                return Err(of_client("its key has retired, its stream goes on".into()));
            }
            let life = self.history.life(&known.sid);
            if life.is_some_and(|life| life.ended.is_some()) {
                return Err(of_client(
                    "its session has ended, its stream has not".into(),
                ));
            }
        }
        self.events.check()
    }

    /// A logout everywhere that still waits to be accepted also ends the sessions that were confirmed to other
    /// clients meanwhile.
    fn widen_logouts(&mut self) {
        for asked in self.clients.iter_mut().flat_map(|client| &mut client.asked) {
            let What::Logout {
                session,
                everywhere: Some(ends),
            } = &mut asked.what
            else {
                continue;
            };
            let user = self.sessions[*session].user;
            for (at, known) in self.sessions.iter_mut().enumerate() {
                if known.user == user && !ends.contains(&at) {
                    known.endings += 1;
                    ends.push(at);
                }
            }
        }
    }

    /// When nothing is under way, checks that memory and disk agree with each other and with what clients were told.
    pub(super) fn check_sessions(&mut self) -> Result<(), String> {
        let disk = self.disk.look().map_err(|why| why.to_string())?;
        let by_sid: BTreeMap<String, &SessionRow> = disk
            .sessions
            .iter()
            .map(|row| (URL_SAFE_NO_PAD.encode(row.sid), row))
            .collect();
        self.history
            .check(|sid| by_sid.get(sid).copied(), disk.sessions.len())?;
        self.check_users(&disk.users)?;
        let on_disk: BTreeSet<Fingerprint> = disk.sessions.iter().map(|row| row.hash).collect();
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        let in_memory: BTreeSet<Fingerprint> = server.session_hashes().collect();
        let unremoved: BTreeSet<Fingerprint> = server.unremoved_sessions().collect();
        let is_missing = |hash| !in_memory.contains(hash) && !unremoved.contains(hash);
        if !in_memory.is_subset(&on_disk) || on_disk.iter().any(is_missing) {
            return Err(format!(
                "{} sessions are in memory and {} on disk; {} of them are the same",
                in_memory.len(),
                on_disk.len(),
                in_memory.intersection(&on_disk).count()
            ));
        }
        let wall = self.wall();
        for known in &mut self.sessions {
            let row = by_sid.get(&known.sid);
            let exists = row.is_some();
            if let Some(row) = row {
                known.check_row(row.hash, row.key_id, row.issued_s, row.last_used_s)?;
            }
            let must = known.must(self.lasting, u64::MAX, wall, None, None);
            if must == Must::Hold && !exists {
                return Err(format!("session {} should hold, and is gone", known.sid));
            }
            if matches!(known.standing, Standing::Ended { .. }) && exists {
                return Err(format!("session {} has ended, and is there", known.sid));
            }
            known.turns_out(exists, self.step, self.highest_s);
        }
        Ok(())
    }

    /// Checks that only users who have logged in have changed, and only by a new hash of the same password.
    fn check_users(&self, rows: &[UserRow]) -> Result<(), String> {
        for (row, user) in rows.iter().zip(&self.users) {
            let was_here = self
                .sessions
                .iter()
                .any(|known| self.users[known.user].name == user.name);
            let rehashed = row.password.contains("m=9,") && row.password.starts_with("$argon2id$");
            let kept = row.password.contains("m=8,");
            let well = row.id == user.id && row.name == user.name && row.role == user.role;
            if !well || !(rehashed || kept && user.name == "carol" && !was_here) {
                return Err(format!("user {} is on the disk as {row:?}", user.name));
            }
        }
        if rows.len() != self.users.len() {
            return Err(format!("{} users are on the disk", rows.len()));
        }
        Ok(())
    }

    /// If the clock was not set, checks that times of last use are written.
    fn check_maintenance(&mut self) -> Result<(), String> {
        if self.clock_was_set || self.server.is_none() {
            return Ok(());
        }
        let rows = self.disk.look().map_err(|why| why.to_string())?.sessions;
        for known in &self.sessions {
            let row = rows.iter().find(|row| row.hash == known.hash);
            if let Some(row) = row.filter(|row| !known.was_written(row.last_used_s)) {
                let sid = &known.sid;
                return Err(format!(
                    "the last use of session {sid} was not written: {row:?}"
                ));
            }
        }
        Ok(())
    }

    /// If the clock was not set, and the disk has worked for a while, checks that expired sessions are gone.
    fn check_expired(&self) -> Result<(), String> {
        let works = self.trouble_step == 0 || self.now_ns > self.trouble_ns + CHORES_AGAIN_NS;
        if self.clock_was_set || !works {
            return Ok(());
        }
        let wall = self.wall();
        for known in &self.sessions {
            let life = self.history.life(&known.sid);
            let is_there = life.is_some_and(|life| life.ended.is_none());
            let must = known.must(self.lasting, u64::MAX, wall, None, None);
            if is_there && must == Must::BeGone {
                return Err(format!("session {} has expired, and is there", known.sid));
            }
        }
        Ok(())
    }

    /// All clients leave; checks that the server holds nothing for them any more.
    pub(super) fn end(&mut self) -> Result<(), String> {
        self.come_to_rest()?;
        for known in &mut self.sessions {
            known.note_use();
        }
        let is_idle = |client: &&Client| {
            let http = matches!(client.mode, Mode::Http);
            http && !client.over && self.network.is_accepted(client.wire)
        };
        let idle = self.clients.iter().filter(is_idle);
        let idle: Vec<WireId> = idle.map(|client| client.wire).collect();
        self.advance(self.config.limits.idle_timeout + Duration::from_secs(1));
        self.rest()?;
        if let Some(wire) = idle.iter().find(|wire| !self.network.is_over(**wire)) {
            return Err(format!(
                "client {wire} says nothing for ever, and is not closed"
            ));
        }
        self.check_expired()?;
        self.check_maintenance()?;
        self.story.say(|| "all clients leave".into());
        for at in 0..self.clients.len() {
            if !self.clients[at].over {
                self.client_leaves(at);
            }
        }
        self.rest()?;
        self.advance(Duration::from_secs(5)); // for lingering connections
        self.rest()?;
        let Some(server) = &mut self.server else {
            return Ok(());
        };
        let held = server.held();
        if !held.is_nothing() {
            return Err(format!("all clients have left, and this is held: {held:?}"));
        }
        if server.sources() != OWN_SOURCES {
            return Err(format!(
                "all clients have left, and {} sources remain",
                server.sources()
            ));
        }
        Ok(())
    }
}
