//! The limit on open descriptors of this process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than any server needs; if a higher hard limit is refused, the search for an allowed one stays below this.
const ENOUGH: u64 = 1 << 20;

/// Raises the limit on open descriptors of this process as far as the system allows; returns the limit, or `None` if
/// there is none. A client takes one descriptor.
///
/// The system may refuse its own hard limit: macOS shows `unlimited`, and allows `kern.maxfilesperproc`. Then the
/// largest allowed number is found by trying.
#[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
pub fn raise_descriptor_limit() -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let set = |current: Option<u64>| setrlimit(Resource::Nofile, Rlimit { current, maximum });
    let Err(refused) = set(maximum) else {
        return getrlimit(Resource::Nofile).current; // FreeBSD may have set less than it was asked for
    };
    let allowed = largest_allowed(current?, maximum.unwrap_or(ENOUGH).min(ENOUGH), |limit| {
        set(Some(limit)).is_ok()
    });
    log::info!(
        "the descriptor limit is {allowed}; the system refuses {}: {refused}",
        maximum.map_or("to lift it".into(), |maximum| maximum.to_string())
    );
    Some(allowed)
}

/// The largest number between `allowed` and `most` that `allows` accepts; it must reject all larger ones. The last
/// number that it accepted is the one that is returned.
fn largest_allowed(mut allowed: u64, most: u64, mut allows: impl FnMut(u64) -> bool) -> u64 {
    let mut refused = most.saturating_add(1);
    while refused.saturating_sub(allowed) > 1 {
        let middle = allowed + (refused - allowed) / 2;
        if allows(middle) {
            allowed = middle;
        } else {
            refused = middle;
        }
    }
    allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_asked_for_as_the_system_allows() {
        // The soft limit, the most to ask for, what the system allows; one row is macOS's 256 of 10,240 or more.
        for (soft, most, allows) in [
            (256, ENOUGH, 10_240),
            (256, ENOUGH, 245_760),
            (1024, 4096, 4096),
            (1024, 1024, 1024),
            (4096, 1024, 4096),
            (256, ENOUGH, 256),
        ] {
            let mut last = soft;
            let found = largest_allowed(soft, most, |limit| {
                let allowed = limit <= allows;
                last = if allowed { limit } else { last };
                allowed
            });
            assert_eq!((found, last), (allows, allows), "{soft} {most}");
        }
    }

    #[test]
    fn it_is_raised_to_the_hard_limit_where_that_is_allowed() {
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        if let (Some(maximum), Some(raised)) = (maximum, raise_descriptor_limit()) {
            assert!(raised <= maximum);
            assert_eq!(getrlimit(Resource::Nofile).current, Some(raised));
        }
    }
}
