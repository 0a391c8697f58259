//! The themes of stories. Most bugs that stories with a bit of everything miss need much of a few things: failed logins
//! and long pauses, a full outbox, more events than are kept. A theme is a row of a table: the most frequent requests,
//! the behaviour of clients, and limits under which they matter. It adds nothing that other stories do not have.

use super::habits::Topic::{
    self, Follow, Guess, List, Login, Logout, Poll, Publish, Revoke, Session,
};

/// The theme of a story.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts about a story that hold or not, each by itself"
)]
pub(super) struct Theme {
    /// In a sentence, for `--show` and reports.
    pub(super) about: &'static str,
    /// The additional weight of these topics, in parts of the sum of all weights.
    pub(super) asks: &'static [(Topic, usize)],
    /// Clients that have logged in when the story begins: one of these.
    pub(super) logged_in: &'static [usize],
    /// Bytes arrive soon, workers are quick, and now and then everything comes to rest.
    pub(super) swift: bool,
    /// Some clients take nothing.
    pub(super) deaf: bool,
    /// Clients come and go.
    pub(super) restless: bool,
    /// Workers take their time.
    pub(super) slow_workers: bool,
    /// Nearly all logins are of one user.
    pub(super) one_user: bool,
    /// Keys are rotated.
    pub(super) rotates: bool,
    /// Now and then, nothing happens for minutes.
    pub(super) patient: bool,
    /// The patterns of subscribers.
    pub(super) patterns: &'static [&'static str],
    /// Milliseconds for which nothing happens, now and then.
    pub(super) pauses_ms: &'static [u64],
    /// Bytes that fit between the server and a client.
    pub(super) rooms: &'static [usize],
    /// Seconds for which a session lasts without use, and at most.
    pub(super) idle_s: &'static [u64],
    pub(super) absolute_s: &'static [u64],
    /// Sessions that a user may have; 0 for any number.
    pub(super) sessions_max: &'static [usize],
    /// Events that are kept.
    pub(super) events_kept: &'static [usize],
}

/// A story with a bit of everything.
pub(super) const ANY: Theme = Theme {
    about: "",
    asks: &[],
    logged_in: &[0, 0, 0, 4],
    swift: false,
    deaf: false,
    restless: false,
    slow_workers: false,
    one_user: false,
    rotates: false,
    patient: false,
    patterns: &["*", "user.*", "tick", "session.*", "server.*"],
    pauses_ms: &[1, 20, 300, 1000, 1000, 3000, 11_000, 40_000],
    rooms: &[64, 500, 5000, 200_000],
    idle_s: &[20, 300, 1800],
    absolute_s: &[90, 3600, 86_400],
    sessions_max: &[0, 0, 0, 1, 3],
    events_kept: &[100_000, 100_000, 24, 12],
};

/// Sessions last long, so that subscribers are still there at the end.
const LASTING: Theme = Theme {
    logged_in: &[5],
    idle_s: &[1800],
    absolute_s: &[86_400],
    ..ANY
};

pub(super) const THEMES: [Theme; 7] = [
    Theme {
        about: "Passwords are guessed, with long pauses.",
        asks: &[(Guess, 600), (Login, 60)],
        swift: true,
        one_user: true,
        patient: true,
        logged_in: &[0],
        ..ANY
    },
    Theme {
        about: "Much is published, and subscribers take little.",
        asks: &[(Publish, 500), (Follow, 150)],
        deaf: true,
        patterns: &["*"],
        rooms: &[64],
        ..LASTING
    },
    Theme {
        about: "Few events are kept, and readers come back to what is gone.",
        asks: &[(Publish, 300), (Poll, 300), (Follow, 100)],
        events_kept: &[9, 12],
        ..LASTING
    },
    Theme {
        about: "One user has many sessions, which expire in another order than they began.",
        asks: &[
            (Login, 200),
            (Session, 300),
            (Logout, 60),
            (Revoke, 60),
            (List, 30),
        ],
        logged_in: &[8],
        swift: true,
        one_user: true,
        pauses_ms: &[3000, 11_000, 20_000, 40_000],
        idle_s: &[120],
        absolute_s: &[3600],
        sessions_max: &[0, 0, 4, 8],
        ..ANY
    },
    Theme {
        about: "Keys are rotated, and sessions are listed.",
        asks: &[(List, 300), (Login, 150), (Session, 50)],
        swift: true,
        one_user: true,
        rotates: true,
        ..LASTING
    },
    Theme {
        about: "What is published has nearly the name that subscribers want.",
        asks: &[(Publish, 300), (Follow, 250), (Poll, 100)],
        patterns: &["user.*"],
        ..LASTING
    },
    Theme {
        about: "Readers give up while events are committed.",
        asks: &[(Publish, 300), (Poll, 400), (Follow, 150)],
        pauses_ms: &[1000, 2000, 3000],
        patterns: &["*", "server.*"],
        ..LASTING
    },
];
