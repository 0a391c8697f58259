//! One option for each row of the library's table of limits.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use loopgate::config::{Amount, Bounds, LIMITS, Limit, Limits};

use super::time::time;

/// The limits that the options set.
#[derive(Debug)]
pub(super) struct LimitOptions {
    limits: Limits,
    sessions_are_limited_by_default: bool,
}

impl LimitOptions {
    /// The limits that these options set. In a demo many clients log in as one user.
    pub(super) fn limits(self, demo: bool) -> Limits {
        let mut limits = self.limits;
        if demo && self.sessions_are_limited_by_default {
            limits.sessions_per_user_max = 0;
        }
        limits
    }
}

fn option(limit: &Limit) -> Arg {
    let option = Arg::new(limit.field)
        .long(limit.option())
        .env(limit.variable())
        .value_name(limit.unit())
        .default_value(limit.default_text())
        .help(format!(
            "{} [{}]",
            limit.text().trim_end_matches('.'),
            limit.range_text()
        ));
    match limit.amount {
        Amount::Number(_) => option.value_parser(clap::value_parser!(usize)),
        Amount::Time(_) => option.value_parser(time),
    }
}

impl Args for LimitOptions {
    fn augment_args(command: Command) -> Command {
        command.args(LIMITS.iter().map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for LimitOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut limits = Limits::default();
        for limit in LIMITS {
            match &limit.amount {
                Amount::Number(bounds) => set(limit, bounds, matches, &mut limits),
                Amount::Time(bounds) => set(limit, bounds, matches, &mut limits),
            }
        }
        let source = matches.value_source("sessions_per_user_max");
        Ok(Self {
            limits,
            sessions_are_limited_by_default: source == Some(ValueSource::DefaultValue),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn set<T: Copy + Send + Sync + 'static>(
    limit: &Limit,
    bounds: &Bounds<T>,
    matches: &ArgMatches,
    limits: &mut Limits,
) {
    if let Some(value) = matches.get_one(limit.field) {
        (bounds.set)(limits, *value);
    }
}
