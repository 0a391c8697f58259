//! The session table: in memory, keyed by the fingerprint of the signature.
//!
//! It alone decides which users are logged in. It keeps no signature and does no disk I/O; a use costs one look-up
//! and one store to memory. At a million sessions each takes less than 200 bytes:
//!
//! * `entries` holds the sessions, in slots that are reused;
//! * two `Index`es lead to a slot, from a fingerprint and from a user (to the newest session;
//!   the others follow it in a linked list);
//! * `Due` knows which session may be the next to expire. Its times are lazy: a use does not
//!   move them, and an entry that comes up early is armed again;
//! * `touched` lists the sessions whose last use the store does not know yet.
//!
//! Times are seconds since 1970, and the caller gives `now_s`. If it goes back, the last use stays
//! where it was.

mod due;
mod index;

use crate::config::Limits;
use crate::planted::{Bug, planted};
use crate::token::Fingerprint;
use crate::work::SessionRow;
use due::Due;
use index::{Index, NIL};

/// One login that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub user_id: i64,
    /// Its public id, in lists and events; unlike the signature it is no secret.
    pub sid: [u8; 16],
    /// The key that made its signature. When the key has retired, the session is no longer accepted, and is
    /// removed when it expires.
    pub key_id: u32,
    /// The time of the login.
    pub issued_s: i64,
    /// The time of the last use.
    pub last_used_s: i64,
}

impl From<SessionRow> for Session {
    fn from(row: SessionRow) -> Self {
        let SessionRow {
            user_id,
            sid,
            key_id,
            issued_s,
            last_used_s,
            ..
        } = row;
        Self {
            user_id,
            sid,
            key_id,
            issued_s,
            last_used_s,
        }
    }
}

impl Session {
    /// The session as the store keeps it.
    #[must_use]
    pub fn row(&self, hash: Fingerprint) -> SessionRow {
        let Self {
            user_id,
            sid,
            key_id,
            issued_s,
            last_used_s,
        } = *self;
        SessionRow {
            hash,
            sid,
            user_id,
            key_id,
            issued_s,
            last_used_s,
        }
    }
}

struct SessionSlot {
    hash: Fingerprint,
    session: Session,
    /// The user's next newer session.
    newer: u32,
    /// The user's next older session; in a free slot, the next free one.
    older: u32,
    /// Where this slot stands in `touched`.
    touched_at: u32,
}

/// All sessions.
pub struct Sessions {
    idle_s: i64,
    absolute_s: i64,
    /// A free slot keeps the bytes of its last session, but nothing leads to it.
    entries: Vec<SessionSlot>,
    free: u32,
    len: usize,
    by_hash: Index,
    by_user: Index,
    due: Due,
    /// Has room for every slot, so that `check` never allocates.
    touched: Vec<u32>,
}

impl Sessions {
    /// An empty table. The durations of sessions are rounded up to whole seconds.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let whole_s = |time: std::time::Duration| {
            let fraction = u64::from(time.subsec_nanos() > 0);
            let s = time.as_secs().saturating_add(fraction);
            i64::try_from(s).unwrap_or(i64::MAX)
        };
        Self {
            idle_s: whole_s(limits.session_idle),
            absolute_s: whole_s(limits.session_absolute),
            entries: Vec::new(),
            free: NIL,
            len: 0,
            by_hash: Index::new(),
            by_user: Index::new(),
            due: Due::new(),
            touched: Vec::new(),
        }
    }

    /// Makes room for `more` sessions at once, as before loading them from the store.
    pub fn reserve(&mut self, more: usize) {
        self.entries.reserve_exact(more);
        self.reserve_touched();
        self.due.reserve(more);
        self.by_hash.reserve(more);
        self.by_user.reserve(more);
    }

    /// Adds a session; returns the session that had the same fingerprint, if there was one.
    pub fn insert(&mut self, hash: Fingerprint, session: Session) -> Option<Session> {
        let former = self.remove(&hash);
        let slot = self.occupy(SessionSlot {
            hash,
            session,
            newer: NIL,
            older: NIL,
            touched_at: NIL,
        });
        self.by_hash.insert(hash_tag(&hash), slot);
        self.link(slot, session.user_id);
        self.due.insert(slot, self.expires_s(&session));
        self.len += 1;
        former
    }

    /// The session of a signature, if it has not expired at `now_s`, whether or not
    /// [`expire`](Self::expire) has run since.
    #[must_use]
    pub fn get(&self, hash: &Fingerprint, now_s: i64) -> Option<&Session> {
        let slot = self.find(hash)?;
        let session = &self.entries[slot as usize].session;
        (now_s < self.expires_s(session)).then_some(session)
    }

    /// Whether the session is in the table, expired or not.
    #[must_use]
    pub fn contains(&self, hash: &Fingerprint) -> bool {
        self.find(hash).is_some()
    }

    /// As [`get`](Self::get), and the session has been used at `now_s`. Allocates nothing.
    pub fn check(&mut self, hash: &Fingerprint, now_s: i64) -> Option<&Session> {
        let slot = self.find(hash)?;
        let expires_s = self.expires_s(&self.entries[slot as usize].session);
        if now_s >= expires_s && !planted(Bug::NeverExpires) {
            return None;
        }
        let entry = &mut self.entries[slot as usize];
        if entry.session.last_used_s < now_s {
            entry.session.last_used_s = now_s;
            if entry.touched_at == NIL {
                entry.touched_at = self.touched.len() as u32;
                self.touched.push(slot);
            }
        }
        Some(&entry.session)
    }

    /// The second in which this session is no longer valid, unless it is used before.
    #[must_use]
    pub fn expires_s(&self, session: &Session) -> i64 {
        let idle_s = session.last_used_s.saturating_add(self.idle_s);
        let absolute_s = session.issued_s.saturating_add(self.absolute_s);
        if planted(Bug::EndlessByUse) {
            return idle_s;
        }
        idle_s.min(absolute_s)
    }

    /// The sessions' keys in the table, expired or not, in no order.
    pub fn hashes(&self) -> impl Iterator<Item = Fingerprint> {
        self.entries().map(|entry| entry.hash)
    }

    /// The sessions in the table, expired or not, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.entries().map(|entry| &entry.session)
    }

    fn entries(&self) -> impl Iterator<Item = &SessionSlot> {
        let leads_to = |slot: usize, hash| self.find(hash) == Some(slot as u32);
        let entries = self.entries.iter().enumerate();
        entries
            .filter(move |(slot, entry)| leads_to(*slot, &entry.hash))
            .map(|(_, entry)| entry)
    }

    /// Ends a session, expired or not.
    pub fn remove(&mut self, hash: &Fingerprint) -> Option<Session> {
        let slot = self.find(hash)?;
        Some(self.take(slot).1)
    }

    /// Ends all sessions of a user, expired or not, the newest first.
    pub fn remove_user(&mut self, user_id: i64) -> Vec<(Fingerprint, Session)> {
        std::iter::from_fn(|| {
            let newest = self.newest_of(user_id)?;
            Some(self.take(newest))
        })
        .collect()
    }

    /// The sessions of a user, the newest first; expired ones too until they are taken out.
    pub fn of_user(&self, user_id: i64) -> impl Iterator<Item = (&Fingerprint, &Session)> {
        let entry = |slot: u32| self.entries.get(slot as usize); // none at NIL
        let newest = self.newest_of(user_id).and_then(entry);
        std::iter::successors(newest, move |newer| entry(newer.older))
            .map(|entry| (&entry.hash, &entry.session))
    }

    /// The session of this user with this id; another user's session is not found.
    #[must_use]
    pub fn find_of_user(&self, user_id: i64, sid: &[u8; 16]) -> Option<(&Fingerprint, &Session)> {
        if planted(Bug::StrangersId) {
            let mut entries = self.entries();
            let found = entries.find(|entry| entry.session.sid == *sid);
            return found.map(|entry| (&entry.hash, &entry.session));
        }
        self.of_user(user_id)
            .find(|(_, session)| session.sid == *sid)
    }

    /// When [`expire`](Self::expire) may have something to do: never too late, perhaps too early.
    #[must_use]
    pub fn next_expiry_s(&self) -> Option<i64> {
        self.due.first().map(|(due_s, _)| due_s)
    }

    /// Takes out sessions that have expired at `now_s`.
    ///
    /// It looks at `budget` sessions at most, and some of them may have been used since they were
    /// armed: more are due as long as [`next_expiry_s`](Self::next_expiry_s) is not after `now_s`.
    pub fn expire(&mut self, now_s: i64, budget: usize) -> Vec<(Fingerprint, Session)> {
        let mut expired = Vec::new();
        for _ in 0..budget {
            let Some((_, slot)) = self.due.first().filter(|(due_s, _)| *due_s <= now_s) else {
                break;
            };
            let expires_s = self.expires_s(&self.entries[slot as usize].session);
            if expires_s <= now_s {
                expired.push(self.take(slot));
            } else {
                self.due.set(slot, expires_s);
            }
        }
        expired
    }

    /// At most `budget` sessions whose last use the store does not know yet, each with that time,
    /// in no order. They count as known from now on.
    pub fn take_touched(&mut self, budget: usize) -> Vec<(Fingerprint, i64)> {
        let rest = self.touched.len().saturating_sub(budget);
        let entries = &mut self.entries;
        self.touched
            .drain(rest..)
            .map(|slot| {
                let entry = &mut entries[slot as usize];
                entry.touched_at = NIL;
                (entry.hash, entry.session.last_used_s)
            })
            .collect()
    }

    /// The store could not write the last use of these sessions: they will be returned again. Those that have
    /// ended are skipped.
    pub fn put_touched_back(&mut self, hashes: &[Fingerprint]) {
        for hash in hashes {
            let Some(slot) = self.find(hash) else {
                continue;
            };
            let entry = &mut self.entries[slot as usize];
            if entry.touched_at == NIL {
                entry.touched_at = self.touched.len() as u32;
                self.touched.push(slot);
            }
        }
    }

    /// Whether [`take_touched`](Self::take_touched) would return something.
    #[must_use]
    pub fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// Sessions in the table, including expired ones that are still to be removed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn find(&self, hash: &Fingerprint) -> Option<u32> {
        self.by_hash.find(hash_tag(hash), |slot| {
            self.entries[slot as usize].hash == *hash
        })
    }

    fn newest_of(&self, user_id: i64) -> Option<u32> {
        self.by_user.find(user_tag(user_id), |slot| {
            self.entries[slot as usize].session.user_id == user_id
        })
    }

    fn occupy(&mut self, entry: SessionSlot) -> u32 {
        let slot = self.free;
        if let Some(free) = self.entries.get_mut(slot as usize) {
            self.free = free.older;
            *free = entry;
            return slot;
        }
        let slot = self.entries.len() as u32;
        assert!(slot < NIL, "more sessions than slots can be numbered");
        push_tight(&mut self.entries, entry);
        self.reserve_touched();
        slot
    }

    fn reserve_touched(&mut self) {
        let more = self.entries.capacity() - self.touched.len();
        self.touched.reserve_exact(more); // does nothing if there is room already
    }

    /// Removes a session from all indexes and lists, and frees its slot.
    fn take(&mut self, slot: u32) -> (Fingerprint, Session) {
        let SessionSlot { hash, session, .. } = self.entries[slot as usize];
        self.by_hash.remove(hash_tag(&hash), slot);
        self.unlink(slot, session.user_id);
        self.due.remove(slot);
        self.forget_touch(slot);
        self.entries[slot as usize].older = self.free;
        self.free = slot;
        self.len -= 1;
        (hash, session)
    }

    /// Makes a slot the newest of its user.
    fn link(&mut self, slot: u32, user_id: i64) {
        let newest = self.by_user.find(user_tag(user_id), |other| {
            self.entries[other as usize].session.user_id == user_id
        });
        match newest {
            Some(former) => {
                self.entries[former as usize].newer = slot;
                self.entries[slot as usize].older = former;
                self.by_user.replace(user_tag(user_id), former, slot);
            }
            None => self.by_user.insert(user_tag(user_id), slot),
        }
    }

    fn unlink(&mut self, slot: u32, user_id: i64) {
        let SessionSlot { newer, older, .. } = self.entries[slot as usize];
        if older != NIL {
            self.entries[older as usize].newer = newer;
        }
        match (newer, older) {
            (NIL, NIL) => self.by_user.remove(user_tag(user_id), slot),
            (NIL, older) => self.by_user.replace(user_tag(user_id), slot, older),
            (newer, older) => self.entries[newer as usize].older = older,
        }
    }

    fn forget_touch(&mut self, slot: u32) {
        let at = self.entries[slot as usize].touched_at;
        if at != NIL {
            self.touched.swap_remove(at as usize);
            if let Some(moved) = self.touched.get(at as usize) {
                self.entries[*moved as usize].touched_at = at;
            }
        }
    }
}

/// Fingerprints are SHA-256 of tokens that this server made, so any four bytes of one are spread
/// evenly without another hash. Clients cannot choose them: a token contains a MAC, and each attempt at one
/// that collides with others costs a login. A look-up of a made-up token only reads.
fn hash_tag(hash: &Fingerprint) -> u32 {
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// User ids count from one; Fibonacci hashing spreads neighbours as far apart as can be.
fn user_tag(user_id: i64) -> u32 {
    (user_id.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

/// Grows by an eighth where `Vec` would double, since the largest vector decides how much memory a
/// session takes.
fn push_tight<T>(vec: &mut Vec<T>, value: T) {
    if vec.len() == vec.capacity() {
        vec.reserve_exact((vec.len() / 8).max(8));
    }
    vec.push(value);
}

#[cfg(test)]
mod tests;
