//! `loopgate simulate`.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use loopgate::reactor::{Clock, OsClock};
use loopgate::simulation::{self, Backend, Report};

use super::options::{Readiness, SimulateOptions};
use super::output::{Unwritten, count, print};
use super::{Ending, Failure};

pub(super) fn simulate(options: &SimulateOptions) -> Result<Ending, Failure> {
    let SimulateOptions {
        seed: first, steps, ..
    } = *options;
    // How many seeds there are from the first one on; if that is 0, one more than a number holds.
    let most = (u64::MAX - first).checked_add(1);
    if let Some(most) = most.filter(|most| !options.for_ever && options.seeds > *most) {
        let why = format!(
            "from --seed {first} on there {}, so --seeds must be at most {most}",
            match most {
                1 => "is 1 seed".to_owned(),
                most => format!("are {most} seeds"),
            }
        );
        return Ok(Ending::Usage(why));
    }
    let (backend, as_reported) = match options.readiness {
        Readiness::Epoll => (Backend::Epoll, ""),
        Readiness::Kqueue => (Backend::Kqueue, " --readiness kqueue"),
    };
    let stories_max = if options.for_ever {
        u64::MAX
    } else {
        options.seeds
    };
    let progress = progress((!options.show).then_some(stories_max))?;
    let clock = OsClock::default();
    let began = clock.now();
    let mut sum = Report::default();
    let mut played = 0_u64;
    for seed in first..=u64::MAX {
        if played == stories_max {
            break;
        }
        let shown = Shown::default();
        let listener = options
            .show
            .then(|| Box::new(shown.clone()) as Box<dyn Write>);
        let told = simulation::run(seed, steps, backend, listener);
        if let Some(why) = shown.0.take() {
            return Err(Unwritten::from(why).into());
        }
        played += 1;
        progress.inc(1);
        match told {
            Ok(report) => sum.add(report),
            Err(failure) => {
                progress.finish_and_clear();
                return Err(format!(
                    "{failure}\nto see how it came to this: loopgate simulate --seed {seed} --steps {steps}{as_reported} --show"
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
    print(format_args!(
        "{}, none of which went wrong: {}, {}, {}, {}, {} in {}; digest {digest:016x}",
        count(played, "story", "stories"),
        count(steps, "step", "steps"),
        count(turns, "turn", "turns"),
        count(requests, "request", "requests"),
        count(sessions, "session", "sessions"),
        count(events, "event", "events"),
        count(ns / 1_000_000_000, "simulated second", "simulated seconds"),
    ))?;
    print(format_args!(
        "took {elapsed:.1?}, {} a second",
        count(rate, "step", "steps")
    ))?;
    Ok(Ending::Done)
}

/// Standard output for a story that does not check its writes: the first failure is kept.
#[derive(Clone, Default)]
struct Shown(Rc<RefCell<Option<io::Error>>>);

impl Write for Shown {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.borrow().is_none()
            && let Err(why) = io::stdout().write_all(bytes)
        {
            self.0.replace(Some(why));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Err(why) = io::stdout().flush() {
            self.0.borrow_mut().get_or_insert(why);
        }
        Ok(())
    }
}

/// Shows the progress, unless a story is shown instead.
fn progress(seeds: Option<u64>) -> Result<ProgressBar, Failure> {
    let Some(seeds) = seeds else {
        return Ok(ProgressBar::hidden());
    };
    let style = ProgressStyle::with_template("{bar:40} {pos} stories, {per_sec}, {elapsed}")?;
    let progress = ProgressBar::new(seeds).with_style(style);
    progress.enable_steady_tick(Duration::from_millis(200));
    Ok(progress)
}
