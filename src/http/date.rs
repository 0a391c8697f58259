//! The `Date` field (RFC 9110, section 6.6.1), rendered at most once a second.
//!
//! The caller reads the clock: one reading per turn serves every answer of that turn.

use crate::planted::{Bug, planted};
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

const NAME: &[u8; 6] = b"Date: ";
const TEXT_BYTES: usize = 29;
const LINE_BYTES: usize = NAME.len() + TEXT_BYTES + 2;

/// 9999-12-31T23:59:59Z: an IMF-fixdate has four digits for the year.
const UNIX_S_MAX: u64 = 253_402_300_799;

/// A second since the epoch, and its field line.
#[derive(Clone, Debug)]
pub struct Date {
    unix_s: u64,
    /// The whole line, so that an answer copies it once.
    line: [u8; LINE_BYTES],
}

impl Date {
    /// Renders `unix_s`, in seconds since 1970-01-01T00:00:00Z; later than the year 9999 is shown
    /// as its last second.
    #[must_use]
    pub fn new(unix_s: u64) -> Self {
        let mut line = [b' '; LINE_BYTES];
        line[..NAME.len()].copy_from_slice(NAME);
        line[LINE_BYTES - 2..].copy_from_slice(b"\r\n");
        let mut date = Self { unix_s, line };
        date.render();
        date
    }

    /// Renders again, if the second has changed.
    pub fn refresh(&mut self, unix_s: u64) {
        if self.unix_s != unix_s && !planted(Bug::StandingClock) {
            self.unix_s = unix_s;
            self.render();
        }
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.line[NAME.len()..NAME.len() + TEXT_BYTES]
    }

    /// The field with its line end.
    pub(super) fn line(&self) -> &[u8; LINE_BYTES] {
        &self.line
    }

    fn render(&mut self) {
        let since_epoch = Duration::from_secs(self.unix_s.min(UNIX_S_MAX));
        let mut text = Text {
            room: &mut self.line[NAME.len()..NAME.len() + TEXT_BYTES],
            written: 0,
        };
        let rendered = write!(
            text,
            "{}",
            httpdate::HttpDate::from(UNIX_EPOCH + since_epoch)
        );
        debug_assert!(rendered.is_ok() && text.written == TEXT_BYTES);
    }
}

struct Text<'l> {
    room: &'l mut [u8],
    written: usize,
}

impl Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.written + text.len();
        let room = self.room.get_mut(self.written..end);
        room.ok_or(std::fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.written = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_shown_as_the_rfc_writes_them() {
        for (unix_s, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (UNIX_S_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (UNIX_S_MAX + 1, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let date = Date::new(unix_s);
            assert_eq!(std::str::from_utf8(date.as_bytes()), Ok(text));
            assert_eq!(date.line(), format!("Date: {text}\r\n").as_bytes());
        }
    }

    #[test]
    fn a_refreshed_date_equals_a_new_one() {
        let mut date = Date::new(0);
        for unix_s in [0, 1, 1, 59, 60, 784_111_777, 5] {
            date.refresh(unix_s);
            assert_eq!(date.as_bytes(), Date::new(unix_s).as_bytes());
        }
    }
}
