//! Stories of the simulation, as epoll and as kqueue report readiness. `loopgate simulate --seed N --show` tells the one
//! that went wrong, with `--readiness kqueue` if it was one of those.
//!
//! `LOOPGATE_TEST_SEEDS` is how many there are; CI takes thousands, in a release build.

use loopgate::simulation::{self, Backend};

/// Steps of a story: long enough for logins, streams, a kill or two.
const STEPS: u64 = 400;

/// The selector that reports readiness in them.
const BACKENDS: [Backend; 2] = [Backend::Epoll, Backend::Kqueue];

/// Stories that went wrong, of which a failed test tells.
const WRONG_SHOWN: usize = 8;

fn seeds(default: u64) -> u64 {
    let asked = std::env::var("LOOPGATE_TEST_SEEDS");
    asked.map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn no_story_goes_wrong() {
    let stories = BACKENDS
        .into_iter()
        .flat_map(|backend| (1..=seeds(300)).map(move |seed| (backend, seed)));
    let wrong: Vec<String> = stories
        .filter_map(|(backend, seed)| {
            let failure = simulation::run(seed, STEPS, backend, None).err()?;
            Some(format!("{backend:?}: {failure}"))
        })
        .take(WRONG_SHOWN)
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_long_story_goes_wrong() {
    for backend in BACKENDS {
        for seed in 1..=seeds(300) / 50 {
            simulation::run(seed, 20 * STEPS, backend, None).unwrap();
        }
    }
}

#[test]
fn the_same_seed_is_the_same_story() {
    for backend in BACKENDS {
        let story = |seed| simulation::run(seed, STEPS, backend, None);
        let reports: Vec<_> = (1..=30).map(|seed| story(seed).unwrap()).collect();
        for (seed, report) in (1..).zip(&reports) {
            assert_eq!(story(seed).as_ref(), Ok(report));
        }
        let sum = |part: fn(&simulation::Report) -> u64| reports.iter().map(part).sum::<u64>();
        assert!(
            sum(|report| report.sessions) > 30,
            "hardly any client logs in"
        );
        assert!(sum(|report| report.events) > 100, "hardly anything is told");
    }
}

#[test]
fn a_story_differs_by_the_selector_that_reports_readiness() {
    let digests = BACKENDS.map(|backend| simulation::run(1, STEPS, backend, None).unwrap().digest);
    assert_ne!(digests[0], digests[1]);
}

#[cfg(feature = "planted-bugs")]
mod planted {
    use std::panic::catch_unwind;

    use loopgate::planted::{Bug, plant};
    use loopgate::simulation::{self, Backend, Failure};

    use super::{STEPS, seeds};

    /// These take more of the same than most stories have: thousands of stories may pass without one of them, as
    /// docs/simulation.md says. They are told, and nothing is asked of them.
    const SELDOM: [Bug; 2] = [Bug::LostExpiry, Bug::DeafHub];

    /// Discoveries of each bug, of which the median is taken.
    const DISCOVERIES: usize = 15;

    fn story(bug: Bug, seed: u64, backend: Backend) -> Option<Failure> {
        plant(Some(bug));
        let told = catch_unwind(|| simulation::run(seed, STEPS, backend, None));
        plant(None);
        match told {
            Ok(told) => told.err(),
            Err(_) => Some(Failure {
                seed,
                step: 0,
                what: "the server panicked".into(),
                habits: String::new(),
            }),
        }
    }

    #[test]
    fn every_planted_bug_is_found_and_found_again() {
        finds_every_bug(Backend::Epoll);
    }

    #[test]
    fn every_planted_bug_is_found_where_directions_are_reported_apart() {
        finds_every_bug(Backend::Kqueue);
    }

    fn finds_every_bug(backend: Backend) {
        println!(
            "{backend:?}\n\n| bug | first seed | seeds to each, median | what is seen |\n|---|---|---|---|"
        );
        let mut missed = Vec::new();
        for bug in Bug::ALL.iter().copied().filter(|bug| is_wanted(*bug)) {
            let mut found: Vec<Failure> = Vec::new();
            let mut between = Vec::new();
            // Of those that are seldom met nothing is asked, so they need not take the time of all others.
            let stories = if SELDOM.contains(&bug) {
                seeds(2000).min(2000)
            } else {
                seeds(2000)
            };
            for seed in 1..=stories {
                if let Some(failure) = story(bug, seed, backend) {
                    between.push(seed - found.last().map_or(0, |last| last.seed));
                    found.push(failure);
                }
                if found.len() == DISCOVERIES {
                    break;
                }
            }
            let Some(first) = found.first() else {
                println!("| `{bug:?}` | never | | |");
                missed.push(bug);
                continue;
            };
            assert_eq!(story(bug, first.seed, backend).as_ref(), Some(first));
            between.sort_unstable();
            let what = first.what.replace('\n', " ").replace('|', "/");
            let what: String = what.chars().take(110).collect();
            println!(
                "| `{bug:?}` | {} | {} | {what} |",
                first.seed,
                between[between.len() / 2],
            );
        }
        missed.retain(|bug| !SELDOM.contains(bug));
        assert_eq!(missed, [], "never found");
    }

    /// `LOOPGATE_TEST_BUGS` names some of them, with commas.
    fn is_wanted(bug: Bug) -> bool {
        let named = std::env::var("LOOPGATE_TEST_BUGS");
        named.map_or(true, |names| {
            names.split(',').any(|name| name == format!("{bug:?}"))
        })
    }
}
