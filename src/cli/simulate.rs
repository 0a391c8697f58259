//! `loopgate simulate`.

use std::io;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use loopgate::reactor::{Clock, OsClock};
use loopgate::simulation::{self, Report};

use super::options::SimulateOptions;
use super::{Failure, Outcome, say};

pub(super) fn simulate(options: &SimulateOptions) -> Result<Outcome, Failure> {
    let SimulateOptions {
        seed: first, steps, ..
    } = *options;
    let seeds = if options.for_ever {
        u64::MAX - first
    } else {
        options.seeds
    };
    let progress = progress((!options.show).then_some(seeds))?;
    let clock = OsClock::default();
    let began = clock.now();
    let mut sum = Report::default();
    for seed in first..first.saturating_add(seeds) {
        let listener = options
            .show
            .then(|| Box::new(io::stdout()) as Box<dyn io::Write>);
        let told = simulation::run(seed, steps, listener);
        progress.inc(1);
        match told {
            Ok(report) => sum.add(report),
            Err(failure) => {
                progress.finish_and_clear();
                return Err(format!(
                    "{failure}\nto see how it came to this: loopgate simulate --seed {seed} --steps {steps} --show"
                )
                .into());
            }
        }
    }
    progress.finish_and_clear();
    let Report {
        steps,
        turns,
        requests,
        sessions,
        events,
        ns,
        digest,
    } = sum;
    let elapsed = clock.now() - began;
    let rate = steps * 1000 / (elapsed.as_millis() as u64).max(1);
    say(format_args!(
        "{seeds} stories, none went wrong: {steps} steps, {turns} turns, {requests} requests, \
         {sessions} sessions, {events} events in {} simulated seconds; digest {digest:016x}",
        ns / 1_000_000_000
    ));
    say(format_args!("took {elapsed:.1?}, {rate} steps a second"));
    Ok(Outcome::Done)
}

/// Shows how far it is, unless a story is told in its place.
fn progress(seeds: Option<u64>) -> Result<ProgressBar, Failure> {
    let Some(seeds) = seeds else {
        return Ok(ProgressBar::hidden());
    };
    let style = ProgressStyle::with_template("{bar:40} {pos} stories, {per_sec}, {elapsed}")?;
    let progress = ProgressBar::new(seeds).with_style(style);
    progress.enable_steady_tick(Duration::from_millis(200));
    Ok(progress)
}
