//! Which events a subscriber wants, and which it may see.

use std::fmt;
use std::ops::Deref;

use super::{NewEvent, is_name, is_prefix_of_names, is_public};
use crate::planted::{Bug, planted};

/// Which events a subscriber wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `*`: all of them.
    All,
    /// `user.*`: events whose name begins with `user.`.
    Prefix(String),
    /// `user.logged_in`: events with that name.
    Exact(String),
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

impl Pattern {
    /// Parses a pattern: `*`, a prefix with `.*` behind it, or a name. `None` for anything else, which no
    /// [name](is_name) of an event could ever match.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        match text.strip_suffix('*') {
            Some(prefix) => (prefix.ends_with('.') && is_prefix_of_names(prefix))
                .then(|| Self::Prefix(prefix.to_owned())),
            None => is_name(text).then(|| Self::Exact(text.to_owned())),
        }
    }

    /// Whether an event of that name matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) if planted(Bug::LoosePrefix) => {
                name.starts_with(prefix.trim_end_matches('.'))
            }
            Self::Prefix(prefix) => name.len() > prefix.len() && name.starts_with(prefix),
            Self::Exact(exact) => name == exact,
        }
    }
}

/// The users whose events a subscriber may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All events: for administrators, and for processes that the operator started.
    Everything,
    /// Events of this user, and the server's own announcements.
    User(i64),
}

impl Audience {
    /// Whether an event of that name, which concerns that user, may be seen.
    #[must_use]
    pub fn sees(self, name: &str, user_id: Option<i64>) -> bool {
        match self {
            Self::Everything => true,
            Self::User(id) => user_id == Some(id) || is_public(name),
        }
    }
}

/// The patterns of a subscriber: it wants events that match one of them.
///
/// Nearly all subscribers want all events, and there may be tens of thousands: `*` alone takes no memory of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patterns(Option<Box<[Pattern]>>);

impl Patterns {
    /// `*` alone.
    pub const ALL: Self = Self(None);

    /// Adds one, last.
    pub fn push(&mut self, pattern: Pattern) {
        let more = [&**self, &[pattern]].concat();
        *self = more.into();
    }

    /// Keeps only those of which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&Pattern) -> bool) {
        let mut patterns = self.to_vec();
        patterns.retain(keep);
        *self = patterns.into();
    }

    /// Whether an event of that name is wanted.
    #[must_use]
    pub fn match_name(&self, name: &str) -> bool {
        self.iter().any(|pattern| pattern.matches(name))
    }
}

impl Deref for Patterns {
    type Target = [Pattern];

    fn deref(&self) -> &[Pattern] {
        self.0.as_deref().unwrap_or(&[Pattern::All])
    }
}

impl From<Vec<Pattern>> for Patterns {
    fn from(patterns: Vec<Pattern>) -> Self {
        match patterns[..] {
            [Pattern::All] => Self::ALL,
            _ => Self(Some(patterns.into())),
        }
    }
}

/// Which of the events that it may see a subscriber wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The users whose events it may see.
    pub audience: Audience,
    /// It wants events that match one of these.
    pub patterns: Patterns,
}

impl Interest {
    /// All events.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            audience: Audience::Everything,
            patterns: Patterns::ALL,
        }
    }

    /// Whether an event of that name, which concerns that user, is wanted and may be seen.
    #[must_use]
    pub fn covers(&self, name: &str, user_id: Option<i64>) -> bool {
        self.audience.sees(name, user_id) && self.patterns.match_name(name)
    }

    pub(crate) fn covers_event(&self, fact: &NewEvent) -> bool {
        self.covers(&fact.name, fact.user_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::NAME_BYTES_MAX;

    #[test]
    fn patterns_match_whole_names_whole_prefixes_or_all() {
        for (pattern, name, matches) in [
            ("user.logged_in", "user.logged_in", true),
            ("user.logged_in", "user.logged_in2", false),
            ("user.*", "user.logged_in", true),
            ("user.*", "username", false),
            ("user.*", "user.", false),
            ("*", "anything", true),
        ] {
            let parsed = Pattern::parse(pattern).expect("a pattern");
            assert_eq!(parsed.matches(name), matches, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_pattern_that_no_name_can_match_is_none() {
        let longest = "x".repeat(NAME_BYTES_MAX);
        let longest_prefix = "x".repeat(NAME_BYTES_MAX - 2) + ".*";
        for (text, parsed) in [
            ("*", true),
            ("user.*", true),
            ("button_clicked", true),
            ("", false),
            (".*", true),
            ("..", true),
            ("a:b/c-d_e.*", true),
            (&longest, true),
            (&longest_prefix, true),
            ("user*", false),
            ("**", false),
            ("*.user", false),
            ("user.*.x", false),
            ("user.*.*", false),
            ("\u{e9}", false),
            ("\u{e9}.*", false),
            ("a b", false),
            (" a", false),
            ("a\n", false),
            ("a,b", false),
            ("a\0.*", false),
            (&format!("{longest}x"), false),
            (&format!("x{longest_prefix}"), false),
        ] {
            let pattern = Pattern::parse(text);
            assert_eq!(pattern.is_some(), parsed, "{text}");
            if let Some(pattern) = pattern {
                assert_eq!(pattern.to_string(), text, "it is shown as it was written");
                let name = text.replace('*', "x");
                assert!(is_name(&name) && pattern.matches(&name), "{name}");
            }
        }
    }

    #[test]
    fn a_user_sees_their_own_events_and_the_servers_announcements() {
        let (alice, admin) = (Audience::User(2), Audience::Everything);
        for (name, user_id, seen_by_alice) in [
            ("user.logged_in", Some(2), true),
            ("user.logged_in", Some(3), false),
            ("button_clicked", None, false),
            ("error", None, false),
            ("server.draining", None, true),
        ] {
            assert_eq!(
                alice.sees(name, user_id),
                seen_by_alice,
                "{name} {user_id:?}"
            );
            assert!(admin.sees(name, user_id));
        }
    }
}
