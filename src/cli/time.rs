//! Times on the command line.

use std::time::Duration;

use loopgate::config::TIME_MAX;

/// A time as people write it: `250ms`, `10s`, `30m`, `24h`; a bare number is seconds.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a time, as in 250ms, 10s, 30m, 24h")?;
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err(format!("unknown unit {unit:?}: use ms, s, m or h")),
    };
    number
        .checked_mul(unit_ms)
        .map(Duration::from_millis)
        .filter(|time| *time <= TIME_MAX)
        .ok_or_else(|| format!("at most {}h", TIME_MAX.as_secs() / 3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, ms) in [
            ("250ms", 250),
            ("10s", 10_000),
            ("10", 10_000),
            ("30m", 1_800_000),
            ("24h", 86_400_000),
        ] {
            assert_eq!(time(text), Ok(Duration::from_millis(ms)));
        }
        for wrong in [
            "",
            "s",
            "-1",
            "1.5s",
            "1d",
            "99999999999999999999",
            "9999999999999h",
            "87601h",
            "18446744073709551615ms",
        ] {
            assert!(time(wrong).is_err(), "{wrong:?} was accepted");
        }
    }
}
