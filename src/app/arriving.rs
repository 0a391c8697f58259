//! Sessions whose login is not committed yet, and the sessions that end with it so that a user stays within the limit.
//!
//! A session enters the table when it has been committed. Concurrent logins of one user would not see each other
//! there, and each would end the same oldest session. So logins are counted here from the moment in which their
//! transaction is made. Commits return in the order in which they were submitted, so a login may end the session
//! of an earlier login that is not committed yet. It then also ends the sessions that the earlier login is to end:
//! the disk may refuse the earlier login, and without this those older sessions would stay.

use std::collections::HashMap;

use super::sessions::Sessions;
use crate::token::Fingerprint;

/// Most sessions that one login ends. A user is more than one session over the limit only if it was lowered.
const ENDED_MAX: usize = 256;

/// A session's key in the table, and its public id.
pub(super) type Named = (Fingerprint, [u8; 16]);

/// Logins under way, by user. A user without any has no entry.
#[derive(Debug, Default)]
pub struct Arriving {
    of_users: HashMap<i64, OfUser>,
}

#[derive(Debug, Default)]
struct OfUser {
    /// In the order of their transactions.
    logins: Vec<Login>,
}

#[derive(Debug)]
struct Login {
    session: Named,
    /// Sessions that end with its commit, the oldest first.
    ends: Vec<Named>,
}

impl OfUser {
    fn is_ending(&self, hash: &Fingerprint) -> bool {
        let mut ends = self.logins.iter().flat_map(|login| &login.ends);
        ends.any(|(ending, _)| ending == hash)
    }

    /// The sessions that this session's login is to end, if that login is under way.
    fn ends_of(&self, hash: &Fingerprint) -> &[Named] {
        let mut logins = self.logins.iter();
        let login = logins.find(|login| login.session.0 == *hash);
        login.map_or(&[], |login| &login.ends)
    }
}

impl Arriving {
    /// Call this when a login's transaction is about to be submitted. Returns the sessions of the user that end with
    /// it, the oldest first, so that `max` are left; a `max` of 0 means no limit.
    ///
    /// Sessions that have expired do not count: they end by themselves.
    pub(super) fn begin(
        &mut self,
        user_id: i64,
        session: Named,
        (sessions, now_s, max): (&Sessions, i64, usize),
    ) -> Vec<Named> {
        let of_user = self.of_users.entry(user_id).or_default();
        let excess: Vec<Named> = if max == 0 {
            Vec::new()
        } else {
            let in_table = sessions
                .of_user(user_id)
                .filter(|(_, session)| sessions.expires_s(session) > now_s)
                .map(|(hash, session)| (*hash, session.sid));
            let under_way = of_user.logins.iter().rev().map(|login| login.session);
            under_way
                .chain(in_table)
                .filter(|(hash, _)| !of_user.is_ending(hash))
                .skip(max - 1)
                .take(ENDED_MAX)
                .collect()
        };
        let mut ends = Vec::with_capacity(excess.len());
        for named in excess.into_iter().rev() {
            ends.extend_from_slice(of_user.ends_of(&named.0));
            ends.push(named);
        }
        // Each of many concurrent logins could end all logins before it. Ending the newest of them is enough, since
        // their own logins end the others.
        ends.drain(..ends.len().saturating_sub(ENDED_MAX));
        of_user.logins.push(Login {
            session,
            ends: ends.clone(),
        });
        ends
    }

    /// The transaction is over: it was committed, or it failed.
    pub(super) fn end(&mut self, user_id: i64, session: &Fingerprint) {
        let Some(of_user) = self.of_users.get_mut(&user_id) else {
            return;
        };
        of_user.logins.retain(|login| login.session.0 != *session);
        if of_user.logins.is_empty() {
            self.of_users.remove(&user_id);
        }
    }

    /// Logins under way, of all users.
    #[must_use]
    pub fn len(&self) -> usize {
        self.of_users.values().map(|of| of.logins.len()).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of_users.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::sessions::Session;
    use crate::config::Limits;

    const USER: i64 = 7;

    fn named(number: u8) -> Named {
        ([number; 32], [number; 16])
    }

    fn session(number: u8, last_used_s: i64) -> Session {
        Session {
            user_id: USER,
            sid: [number; 16],
            key_id: 1,
            issued_s: last_used_s,
            last_used_s,
        }
    }

    /// A table with these sessions, in the order of their logins. Sessions below 10 have expired at 1,000,000 s.
    fn table(numbers: &[u8]) -> Sessions {
        let mut sessions = Sessions::new(&Limits::default());
        for number in numbers {
            let used_s = if *number < 10 { 0 } else { 1_000_000 };
            sessions.insert([*number; 32], session(*number, used_s));
        }
        sessions
    }

    fn numbers(ended: &[Named]) -> Vec<u8> {
        ended.iter().map(|(hash, _)| hash[0]).collect()
    }

    #[test]
    fn the_oldest_sessions_end_when_there_are_too_many() {
        for (in_table, max, ended) in [
            (&[][..], 1, &[][..]),
            (&[11], 1, &[11]),
            (&[11], 2, &[]),
            (&[11, 12, 13], 3, &[11]),
            (&[11, 12, 13, 14, 15], 3, &[11, 12, 13]),
            (&[11, 12, 13], 0, &[]),
            // expired ones are not counted
            (&[1, 2, 13], 2, &[]),
            (&[1, 12, 13], 2, &[12]),
        ] {
            let mut arriving = Arriving::default();
            let found = arriving.begin(USER, named(99), (&table(in_table), 1_000_000, max));
            assert_eq!(numbers(&found), ended, "{in_table:?}, at most {max}");
        }
    }

    #[test]
    fn logins_at_once_end_one_session_each_and_each_others_if_need_be() {
        let (sessions, mut arriving) = (table(&[11, 12]), Arriving::default());
        let mut begin = |number| {
            let ended = arriving.begin(USER, named(number), (&sessions, 1_000_000, 2));
            (number, ended)
        };
        let under_way = [begin(21), begin(22), begin(23), begin(24)];
        let ended: Vec<_> = under_way.iter().map(|(_, ended)| numbers(ended)).collect();
        assert_eq!(ended, [&[11][..], &[12], &[11, 21], &[12, 22]]);
        assert_eq!(arriving.len(), 4);
        for (number, _) in under_way {
            arriving.end(USER, &[number; 32]);
        }
        assert!(arriving.is_empty());
    }

    #[test]
    fn a_login_that_ends_one_under_way_ends_what_that_one_would_have_ended() {
        let (sessions, mut arriving) = (table(&[11]), Arriving::default());
        let mut begin = |number| arriving.begin(USER, named(number), (&sessions, 1_000_000, 1));
        assert_eq!(numbers(&begin(21)), [11]);
        // If the disk refuses 21, 11 would stay beside 22.
        assert_eq!(numbers(&begin(22)), [11, 21]);
        assert_eq!(numbers(&begin(23)), [11, 21, 22]);
    }

    #[test]
    fn what_a_failed_login_would_have_ended_is_the_next_ones() {
        let (sessions, mut arriving) = (table(&[11, 12]), Arriving::default());
        arriving.begin(USER, named(21), (&sessions, 1_000_000, 2));
        arriving.end(USER, &[21; 32]);
        let ended = arriving.begin(USER, named(22), (&sessions, 1_000_000, 2));
        assert_eq!(numbers(&ended), [11]);
    }
}
