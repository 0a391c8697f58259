//! Parses times in answers and events, independently of the server's code.

/// Seconds in a day.
const DAY_S: i64 = 86_400;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Seconds since 1970 of an IMF-fixdate (RFC 9110, section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn of_date(text: &str) -> Option<i64> {
    let (day_name, rest) = text.strip_suffix(" GMT")?.split_once(", ")?;
    let mut words = rest.split(' ');
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let time = of_time(words.next()?)?;
    if words.next().is_some() {
        return None;
    }
    let (month, _) = (1..).zip(MONTHS).find(|(_, name)| *name == month)?;
    let days = days(digits(year, 4)?, month, digits(day, 2)?);
    let named = DAYS[days.rem_euclid(7) as usize];
    (named == day_name).then_some(days * DAY_S + time)
}

/// Milliseconds since 1970 of `2026-11-22T05:48:00.123Z` (RFC 3339).
pub(super) fn of_timestamp(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, ms) = time.split_once('.')?;
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let days = days(digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    Some((days * DAY_S + of_time(time)?) * 1000 + digits(ms, 3)?)
}

/// Seconds of a day.
fn of_time(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some(digits(hour, 2)? * 3600 + digits(minute, 2)? * 60 + digits(second, 2)?)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let all = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok())?
}

/// Days since 1970, year by year: stories are not far from it.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let years: i64 = (1970..year)
        .map(|year| 365 + i64::from(is_leap(year)))
        .sum();
    let lengths = [
        31,
        28 + i64::from(is_leap(year)),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let before = usize::try_from(month - 1).unwrap_or(0);
    let months: i64 = lengths.iter().take(before).sum();
    years + months + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_they_are_written() {
        assert_eq!(of_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(of_date("Mon, 06 Nov 1994 08:49:37 GMT"), None);
        assert_eq!(of_date("Sun, 6 Nov 1994 08:49:37 GMT"), None);
        assert_eq!(
            of_timestamp("1994-11-06T08:49:37.250Z"),
            Some(784_111_777_250)
        );
        assert_eq!(
            of_timestamp("2024-03-01T00:00:00.000Z"),
            Some(1_709_251_200_000)
        );
        assert_eq!(of_timestamp("2024-03-01T00:00:00Z"), None);
    }
}
