//! Which logins the throttle must refuse, which it must not, and for how long: an independent model, made of the
//! requests of clients and their answers.
//!
//! No client knows at which moment an attempt was decided, only that it was between the request and the answer. So
//! there are two rules, one for the most that the throttle may do, and one for the least that it must do.

use std::collections::BTreeMap;

/// Failures of one name, and of one address, within the window.
const NAME_MAX: usize = 5;
const ADDRESS_MAX: usize = 50;
const WINDOW_S: u64 = 120;
/// The first refusal, and the longest.
const REFUSAL_S: u64 = 30;
const REFUSAL_S_MAX: u64 = 15 * 60;
/// How long after a refusal the next one is still longer.
const QUIET_S: u64 = 15 * 60;
/// Seconds by which the server and the world may see the same second differently.
const SLACK_S: u64 = 2;

/// The outcome of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::simulation) enum LoginOutcome {
    /// The name or the password was wrong.
    Failed,
    /// The password was right, even if the store failed then.
    Right,
    /// Too many have failed: nothing until so many seconds have passed.
    Refused(u64),
    /// The password was not checked.
    Unseen,
}

/// When something was sent or answered. Steps show the order of events; one second has many steps.
#[derive(Clone, Copy, Debug)]
pub(in crate::simulation) struct At {
    pub(in crate::simulation) step: u64,
    /// Seconds of a clock that never goes back.
    pub(in crate::simulation) s: u64,
    /// The newest event at that time.
    pub(in crate::simulation) event: u64,
}

/// Work for the hash threads: a login, or a handler's job.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    /// Name and address of a login.
    of: Option<(&'static str, usize)>,
    /// Its password is the right one.
    right: bool,
    from: At,
    /// `None` while it may be under way.
    to: Option<At>,
    outcome: Option<LoginOutcome>,
    /// No client waits for its answer any more.
    abandoned: bool,
}

/// All attempts since the server began.
#[derive(Debug, Default)]
pub(in crate::simulation) struct Attempts(Vec<Attempt>);

impl Attempt {
    /// When it was over; if it may still be under way, a time that never comes.
    fn over(&self) -> At {
        let never = At {
            step: u64::MAX / 2,
            s: u64::MAX / 2,
            event: u64::MAX,
        };
        self.to.unwrap_or(never)
    }

    fn over_s(&self) -> u64 {
        self.over().s
    }

    /// Whether it was over when the other one was sent.
    fn is_before(&self, other: &Self) -> bool {
        self.over().step < other.from.step
    }

    fn is_named(&self, name: &str) -> bool {
        self.of.is_some_and(|(other, _)| other == name)
    }

    fn is_from(&self, address: usize) -> bool {
        self.of.is_some_and(|(_, other)| other == address)
    }

    /// Whether it may have been counted as a failure.
    fn may_have_failed(&self) -> bool {
        let unknown = self.outcome.is_none() && !self.right;
        self.of.is_some() && (unknown || self.outcome == Some(LoginOutcome::Failed))
    }

    /// Whether it may have cleared the failures of its name.
    fn may_have_succeeded(&self) -> bool {
        self.right
            && self
                .outcome
                .is_none_or(|outcome| outcome == LoginOutcome::Right)
    }
}

impl Attempts {
    /// A login is sent, or a job if there is no name; returns its number.
    pub(in crate::simulation) fn begin(
        &mut self,
        of: Option<(&'static str, usize)>,
        right: bool,
        now: At,
    ) -> usize {
        self.0.push(Attempt {
            of,
            right,
            from: now,
            to: None,
            outcome: None,
            abandoned: false,
        });
        self.0.len() - 1
    }

    /// No client will learn the result.
    pub(in crate::simulation) fn abandon(&mut self, number: usize) {
        if let Some(attempt) = self.0.get_mut(number) {
            attempt.abandoned = true;
        }
    }

    /// No abandoned attempt is under way any more.
    pub(in crate::simulation) fn rest(&mut self, now: At) {
        for attempt in &mut self.0 {
            if attempt.abandoned && attempt.to.is_none() {
                attempt.to = Some(now);
            }
        }
    }

    /// Another server begins, with an empty throttle.
    pub(in crate::simulation) fn forget(&mut self) {
        self.0.clear();
    }

    /// How many of the others that `is` selects may have been under way at the same time as this one, at most.
    fn beside(&self, number: usize, is: impl Fn(&Attempt) -> bool) -> usize {
        let own = self.0[number];
        let others = self.0.iter().enumerate();
        let beside =
            others.filter(|(at, other)| *at != number && is(other) && !other.is_before(&own));
        beside.count()
    }

    /// Whether so many jobs may have been waiting when this one was sent.
    pub(in crate::simulation) fn may_be_full(&self, number: usize, jobs_max: usize) -> bool {
        self.beside(number, |_| true) >= jobs_max
    }

    /// Whether its name may have had so many logins under way.
    pub(in crate::simulation) fn may_be_too_many(&self, number: usize, places: usize) -> bool {
        let of = self.0[number].of;
        of.is_some_and(|(name, _)| self.beside(number, |other| other.is_named(name)) >= places)
    }

    /// The newest event at the time when the first login of that name that may be under way was sent.
    pub(in crate::simulation) fn first_under_way(&self, name: &str) -> Option<u64> {
        let mut under_way = self.0.iter().filter(|attempt| attempt.to.is_none());
        let first = under_way.find(|attempt| attempt.right && attempt.is_named(name))?;
        Some(first.from.event)
    }

    /// It was answered.
    pub(in crate::simulation) fn ended(
        &mut self,
        number: usize,
        outcome: LoginOutcome,
        now: At,
    ) -> Result<(), String> {
        let Some(attempt) = self.0.get_mut(number) else {
            return Ok(());
        };
        (attempt.to, attempt.outcome) = (Some(now), Some(outcome));
        let attempt = *attempt;
        let Some((name, address)) = attempt.of else {
            return Ok(());
        };
        match outcome {
            LoginOutcome::Unseen => Ok(()),
            LoginOutcome::Refused(left_s) => self.may_be_refused(attempt, left_s, name, address),
            LoginOutcome::Failed | LoginOutcome::Right => self.may_be_heard(attempt, name, address),
        }
    }

    /// The upper rule: checks that a refusal has enough failures.
    fn may_be_refused(
        &self,
        attempt: Attempt,
        left_s: u64,
        name: &str,
        address: usize,
    ) -> Result<(), String> {
        let cleared = self
            .0
            .iter()
            .filter(|other| other.is_named(name) && other.right)
            .filter(|other| other.outcome == Some(LoginOutcome::Right))
            .filter(|other| other.is_before(&attempt))
            .max_by_key(|other| other.from.step);
        let of_name = |other: &&Attempt| {
            other.is_named(name) && cleared.is_none_or(|cleared| !other.is_before(cleared))
        };
        let by_name = self.longest_refusal(of_name, NAME_MAX, attempt);
        let by_address = self.longest_refusal(|other| other.is_from(address), ADDRESS_MAX, attempt);
        let least_s = self.least_refusal(of_name, attempt);
        let again_s = self
            .refused_again_until(attempt)
            .saturating_sub(attempt.over_s() + SLACK_S);
        if left_s < least_s.max(again_s) {
            return Err(format!(
                "refused for {left_s} s, and it should be {} at least",
                least_s.max(again_s)
            ));
        }
        match by_name.max(by_address) {
            Some(longest_s) if (1..=longest_s).contains(&left_s) => Ok(()),
            Some(longest_s) => Err(format!(
                "refused for {left_s} s, and it may be {longest_s} at most"
            )),
            None => Err(format!("{name} is refused, and has not failed so often")),
        }
    }

    /// The least length of a refusal: the first refusal begins with the fifth failure of a name, or later.
    fn least_refusal(&self, is: impl Fn(&&Attempt) -> bool, attempt: Attempt) -> u64 {
        let failures = self.0.iter().filter(is);
        let failures = failures.filter(|other| other.may_have_failed());
        let mut from_s: Vec<u64> = failures.map(|failure| failure.from.s).collect();
        from_s.sort_unstable();
        from_s.get(NAME_MAX - 1).map_or(0, |fifth_s| {
            (fifth_s + REFUSAL_S).saturating_sub(attempt.over_s() + SLACK_S)
        })
    }

    /// The attempts of its name that the same refusal covers: all, except those that may be due to their address.
    fn alike(&self, attempt: Attempt) -> Vec<Attempt> {
        let mut failures: BTreeMap<usize, usize> = BTreeMap::new();
        for (_, address) in self
            .0
            .iter()
            .filter(|other| other.may_have_failed())
            .filter_map(|other| other.of)
        {
            *failures.entry(address).or_default() += 1;
        }
        let is_alike = |other: &&Attempt| match (other.of, attempt.of) {
            (Some((name, address)), Some((own, at))) => {
                let few = failures
                    .get(&address)
                    .is_none_or(|failures| *failures < ADDRESS_MAX);
                name == own && (address == at || few)
            }
            _ => false,
        };
        self.0.iter().filter(is_alike).copied().collect()
    }

    /// Until when the same name must be refused because it failed after a refusal: for at least
    /// twice as long as the first time.
    fn refused_again_until(&self, attempt: Attempt) -> u64 {
        let alike = self.alike(attempt);
        let same = || alike.iter();
        let cleared = |refused: &Attempt| {
            let of_name = |other: &&Attempt| other.of.map(|of| of.0) == attempt.of.map(|of| of.0);
            let mut after = self.0.iter().filter(of_name);
            after.any(|other| other.may_have_succeeded() && !other.is_before(refused))
        };
        let refusals = same().filter_map(|other| match other.outcome {
            Some(LoginOutcome::Refused(left_s)) => Some((other, left_s)),
            _ => None,
        });
        let mut until_s = 0;
        for (refused, left_s) in refusals {
            // It was refused at some time between the request and the answer.
            let (first_s, last_s) = (refused.from.s + left_s, refused.over_s() + left_s);
            let after = last_s + SLACK_S..first_s + QUIET_S - SLACK_S;
            let again = same().filter(|other| {
                let failed = other.outcome == Some(LoginOutcome::Failed);
                failed && after.contains(&other.from.s) && after.contains(&other.over_s())
            });
            let again = again.filter(|other| other.is_before(&attempt));
            let again_s = again.map(|other| other.from.s + 2 * REFUSAL_S).max();
            if !cleared(refused) {
                until_s = until_s.max(again_s.unwrap_or(0));
            }
        }
        until_s
    }

    /// How long an attempt may be refused because these have failed.
    fn longest_refusal(
        &self,
        is: impl Fn(&&Attempt) -> bool,
        most: usize,
        attempt: Attempt,
    ) -> Option<u64> {
        let failures = self.0.iter().filter(is);
        let failures = failures
            .filter(|other| other.may_have_failed() && other.from.step <= attempt.over().step);
        let mut failures: Vec<(u64, u64)> = failures
            .map(|failure| (failure.from.s, failure.over_s()))
            .collect();
        failures.sort_unstable();
        let close = |some: &[(u64, u64)]| {
            let first_to_s = some.iter().map(|(_, to_s)| *to_s).min().unwrap_or(0);
            some[most - 1].0 < first_to_s.saturating_add(WINDOW_S + SLACK_S)
        };
        let reached = failures.windows(most).position(close)? + most;
        let refusals = (failures.len() - reached) as u32;
        let longest_s = (REFUSAL_S << refusals.min(10)).min(REFUSAL_S_MAX);
        let last_s = failures.iter().map(|(_, to_s)| *to_s).max()?;
        let until_s = last_s.min(attempt.over_s()) + longest_s + SLACK_S;
        (until_s > attempt.from.s).then_some(longest_s)
    }

    /// The lower rule: checks that no login is decided that has to be refused.
    fn may_be_heard(&self, attempt: Attempt, name: &str, address: usize) -> Result<(), String> {
        for other in self.alike(attempt) {
            let Some(LoginOutcome::Refused(left_s)) = other.outcome else {
                continue;
            };
            let before = other.is_before(&attempt);
            if before && attempt.over_s() + SLACK_S < other.from.s + left_s {
                return Err(format!(
                    "{name} at address {address} is heard, and was refused for {left_s} s"
                ));
            }
        }
        if attempt.over_s() + SLACK_S < self.refused_again_until(attempt) {
            return Err(format!("{name} is heard soon after it failed again"));
        }
        if attempt.outcome != Some(LoginOutcome::Failed) {
            return Ok(());
        }
        // Six failures of a name, and nothing that may have cleared it in between.
        let of_name = || self.0.iter().filter(|other| other.is_named(name));
        let cleared = of_name()
            .filter(|other| other.may_have_succeeded())
            .max_by_key(|other| other.over().step);
        let failed = of_name().filter(|other| other.outcome == Some(LoginOutcome::Failed));
        let mut failed: Vec<(u64, u64)> = failed
            .filter(|other| cleared.is_none_or(|cleared| cleared.is_before(other)))
            .map(|other| (other.over_s(), other.from.s))
            .collect();
        failed.sort_unstable();
        let Some(last) = failed
            .len()
            .checked_sub(NAME_MAX + 1)
            .map(|at| &failed[at..])
        else {
            return Ok(());
        };
        let mut from_s: Vec<u64> = last.iter().map(|(_, from_s)| *from_s).collect();
        from_s.sort_unstable();
        let to_s = last[NAME_MAX].0;
        if to_s + SLACK_S < from_s[NAME_MAX - 1] + REFUSAL_S
            && to_s + SLACK_S < from_s[0] + WINDOW_S
        {
            return Err(format!("{name} is told of {} failures", NAME_MAX + 1));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logins one after the other: the time and outcome of each.
    fn told(logins: &[(u64, LoginOutcome)]) -> Result<(), String> {
        let mut attempts = Attempts::default();
        for (step, (s, outcome)) in (1..).zip(logins) {
            let (right, now) = (
                *outcome == LoginOutcome::Right,
                At {
                    step,
                    s: *s,
                    event: 0,
                },
            );
            let number = attempts.begin(Some(("alice", 1)), right, now);
            attempts.ended(number, *outcome, now)?;
        }
        Ok(())
    }

    #[test]
    fn five_failures_are_told_and_a_refusal_has_five_of_them() {
        use LoginOutcome::{Failed, Refused, Right};
        let five = [
            (0, Failed),
            (1, Failed),
            (2, Failed),
            (3, Failed),
            (4, Failed),
        ];
        let then = |more: &[(u64, LoginOutcome)]| told(&[&five[..], more].concat());
        assert_eq!(then(&[(5, Refused(29))]), Ok(()));
        assert_eq!(
            then(&[(5, Refused(29)), (40, Failed), (41, Refused(59))]),
            Ok(())
        );
        assert_eq!(
            told(&[&five[..4], &[(5, Right), (6, Failed)]].concat()),
            Ok(())
        );
        assert!(then(&[(5, Failed)]).is_err(), "a sixth guess");
        assert!(
            then(&[(5, Refused(29)), (10, Right)]).is_err(),
            "heard too early"
        );
        assert!(then(&[(5, Refused(60))]).is_err(), "for too long");
        assert!(
            then(&[(50, Refused(1))]).is_err(),
            "for longer than was said"
        );
        assert!(
            told(&[&five[..4], &[(5, Refused(30))]].concat()).is_err(),
            "four"
        );
        let cleared = [&five[..4], &[(5, Right), (6, Failed), (7, Refused(30))]].concat();
        assert!(told(&cleared).is_err(), "what was cleared counts");
        let slow = [0, 40, 80, 119, 130].map(|at_s| (at_s, Failed));
        assert!(
            told(&[&slow[..], &[(131, Refused(29))]].concat()).is_err(),
            "not in two minutes"
        );
    }
}
