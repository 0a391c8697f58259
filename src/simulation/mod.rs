//! A whole server in one thread, in a world that one seed decides.
//!
//! The world has everything through which a server interacts with the outside: clock, randomness, readiness and
//! bytes (`reactor::fake`), workers and a disk (`work::fake`), and clients that log in, follow events, drip, break
//! off and lie (`clients`). Each step of a story is one thing that happens, and the seed chooses which. The truth
//! is kept separate from the server (`truth`), and compared with it after every step and when all has come to rest
//! (`judge`, `settle`).
//!
//! No line of the server knows that it is simulated. The simulation cannot find bugs below the seams: in the
//! kernel, the real disk, TLS, child processes.
//!
//! Read next: `world`, the steps.

mod answers;
mod around;
mod asking;
mod clients;
mod confirmed;
mod fields;
mod habits;
mod judge;
mod life;
mod listen;
mod odd;
mod presented;
mod settle;
mod story;
mod talk;
mod themes;
mod truth;
mod verdict;
mod wanted;
mod when;
mod wish;
mod world;

use std::io::Write;
use std::panic;
use std::sync::Once;

use thiserror::Error;

pub use crate::reactor::fake::Backend;
use life::Planned;
use story::Story;
use world::World;

/// The summary of a story.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Things that happened.
    pub steps: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Requests that were made.
    pub requests: u64,
    /// Sessions that were confirmed to clients.
    pub sessions: u64,
    /// Events that were committed.
    pub events: u64,
    /// The simulated time that passed, in nanoseconds.
    pub ns: u64,
    /// A hash of all that happened: the same for the same seed and steps.
    pub digest: u64,
}

impl Report {
    /// Adds the summary of another story.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.turns += other.turns;
        self.requests += other.requests;
        self.sessions += other.sessions;
        self.events += other.events;
        self.ns += other.ns;
        self.digest = self.digest.rotate_left(1) ^ other.digest;
    }
}

/// An invariant was broken.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("seed {seed}, step {step}: {what}\n{habits}")]
pub struct Failure {
    /// The seed of the story.
    pub seed: u64,
    /// The step after which that was noticed.
    pub step: u64,
    /// What was noticed.
    pub what: String,
    /// The habits of this story: the weights of topics, and the behaviour of clients and workers.
    pub habits: String,
}

/// Plays the story of `seed`: so many steps, then everything comes to rest and all clients leave. The same
/// seed and number of steps give the same story on every machine; `backend` reports readiness in it. The
/// story is written to `listener`, if there is one.
///
/// # Errors
/// The first broken invariant.
pub fn run(
    seed: u64,
    steps: u64,
    backend: Backend,
    listener: Option<Box<dyn Write>>,
) -> Result<Report, Failure> {
    keep_quiet_about_planned_panics();
    let fails = |step, what, habits| Failure {
        seed,
        step,
        what,
        habits,
    };
    let mut world = World::new(seed, backend, Story::to(listener))
        .map_err(|what| fails(0, what, String::new()))?;
    world.tell_beginning(seed);
    let told = world.tell(steps);
    told.map_err(|what| fails(world.step, what, world.habits.to_string()))?;
    Ok(Report {
        steps: world.step,
        turns: world.turns,
        requests: world.number,
        sessions: world.sessions.len() as u64,
        events: world.events.newest(),
        ns: world.now_ns,
        digest: world.digest.0,
    })
}

fn keep_quiet_about_planned_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Planned>() {
                others(info);
            }
        }));
    });
}
