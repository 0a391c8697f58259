//! Facts of the application in one sequence: what happened, and which user it concerns. Floor 0.
//!
//! An event is never "a socket became ready"; that is readiness. The store assigns the id when it commits
//! the event's transaction, so a failed commit leaves no gap.

mod interest;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use interest::{Audience, Interest, Pattern, Patterns};

/// Longest name of an event, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Whether an event of this name concerns all users: the server's own announcements.
#[must_use]
pub fn is_public(name: &str) -> bool {
    name.starts_with("server.")
}

/// Whether only the server itself may publish this: a `user.logged_in` from a client would be a forgery.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    ["user.", "session.", "server."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || matches!(name, "error" | "gap")
}

/// Whether an event may have this name: 1 to [`NAME_BYTES_MAX`] ASCII letters, digits, and
/// `.`, `_`, `-`, `:`, `/`. So a name is always one line, and never a pattern with a `*`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_name_byte)
}

/// Whether this may be the beginning of an event's name.
#[must_use]
pub fn is_prefix_of_names(prefix: &str) -> bool {
    prefix.len() < NAME_BYTES_MAX && prefix.bytes().all(is_name_byte)
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-:/".contains(&byte)
}

/// Something that happened, not yet confirmed: it has no id before its transaction commits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// The time, in milliseconds since 1970 (UTC).
    pub unix_ms: u64,
    /// The name, such as `user.logged_in`.
    pub name: Cow<'static, str>,
    /// The sender: `login`, `logout`, a producer's name.
    pub sender: Cow<'static, str>,
    /// The user that it concerns; that user's subscribers see it. `None` concerns only administrators, unless
    /// the name [is public](is_public).
    pub user_id: Option<i64>,
    /// Any further data.
    pub data: Value,
}

/// A confirmed event: durable, numbered, and about to be delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one from event to event, across restarts.
    pub id: u64,
    /// What happened.
    pub fact: NewEvent,
}

impl Event {
    /// The event as JSON, `{"id","time","name","sender","data"}`, without a line end.
    ///
    /// # Panics
    /// Never: strings, numbers and JSON values can always be written as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'e> {
            id: u64,
            time: Timestamp,
            name: &'e str,
            sender: &'e str,
            data: &'e Value,
        }
        let wire = Line {
            id: self.id,
            time: rfc3339(self.fact.unix_ms),
            name: &self.fact.name,
            sender: &self.fact.sender,
            data: &self.fact.data,
        };
        serde_json::to_string(&wire).expect("strings, numbers and JSON values always serialize")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

/// A point in time as RFC 3339 in UTC with milliseconds: `2026-11-22T05:48:00.123Z`. It is written without
/// allocating, since every answer about a session contains two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Timestamp([u8; 24]);

/// 9999-12-31T23:59:59.999Z: years have four digits.
const UNIX_MS_MAX: u64 = 253_402_300_799_999;

/// `unix_ms`, in milliseconds since 1970; a time after the year 9999 is shown as its last moment.
#[must_use]
pub fn rfc3339(unix_ms: u64) -> Timestamp {
    let unix_ms = unix_ms.min(UNIX_MS_MAX);
    let (days, ms_of_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    // Days to civil date by the 400-year cycle of the Gregorian calendar, years beginning in March
    // so that the leap day comes last (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |range: std::ops::Range<usize>, mut number: u64| {
        for place in text[range].iter_mut().rev() {
            *place = b'0' + (number % 10) as u8;
            number /= 10;
        }
    };
    put(0..4, year);
    put(5..7, month);
    put(8..10, day);
    put(11..13, ms_of_day / 3_600_000);
    put(14..16, ms_of_day / 60_000 % 60);
    put(17..19, ms_of_day / 1_000 % 60);
    put(20..23, ms_of_day % 1_000);
    Timestamp(text)
}

impl Timestamp {
    /// As text.
    ///
    /// # Panics
    /// Never: it consists of digits and punctuation.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("digits and punctuation")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (unix_ms, written) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_767_225_599_000, "2025-12-31T23:59:59.000Z"),
            (1_795_326_480_123, "2026-11-22T05:48:00.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (UNIX_MS_MAX, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(unix_ms).as_str(), written);
        }
    }

    #[test]
    fn an_event_is_one_line_of_json() {
        let fact = NewEvent {
            unix_ms: 1_795_326_480_123,
            name: "user.logged_in".into(),
            sender: "login".into(),
            user_id: Some(1),
            data: serde_json::json!({"user_id": "1", "note": "a\nb"}),
        };
        assert_eq!(
            Event { id: 42, fact }.to_string(),
            r#"{"id":42,"time":"2026-11-22T05:48:00.123Z","name":"user.logged_in","sender":"login","data":{"note":"a\nb","user_id":"1"}}"#
        );
    }
}
