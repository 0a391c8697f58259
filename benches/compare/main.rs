//! What does a request cost the server, beside what the kernel alone would charge, and beside others?
//!
//! Each server runs on one core, the client on another. Rounds are interleaved, so that a machine that
//! drifts drifts for all; what counts is the CPU time that the kernel charged the server's threads, per
//! request, and its ratio to the *floor* in the same round: a program that receives, finds the ends of
//! heads, and sends fixed bytes. A run with a failed answer is void.
//!
//! What would surprise: requests per second say little here. With one core each, the client often has
//! more to do than the server, and then they measure the client; the column "core busy" says so.
//!
//! ```text
//! cargo bench --bench peers                       all sections; writes docs/benchmarks.md
//! cargo bench --bench peers -- healthz latency    only these, which it replaces there
//!     --rounds 15 --seconds 1   of each measurement; those that need time have a third of the rounds,
//!                               twice as long
//!     --only loopgate,floor     of the servers
//!     --no-write                only prints
//! ```

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures for people: positive, and far below 2^52"
)]

mod chart;
mod connections;
mod fan_out;
mod idle;
mod latency;
mod ledger;
mod logins;
mod machine;
mod peers;
mod program;
mod rate;
mod report;
mod requests;
mod spread;
mod table;
mod wrk;

use std::process::ExitCode;

pub(crate) use machine::Cores;

use machine::CORES;
use peers::Kitchen;
use report::Section;

/// How much is measured. Many short rounds: the machine drifts from one second to the next.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) rounds: usize,
    pub(crate) seconds: usize,
    /// Names of servers; empty for all.
    only: Vec<String>,
    sections: Vec<String>,
    write: bool,
}

impl Options {
    /// Whether this server takes part.
    pub(crate) fn wants(&self, peer: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == peer)
    }

    /// Fewer and longer rounds, for what needs time to settle.
    pub(crate) fn longer(&self) -> Self {
        Self {
            rounds: self.rounds.div_ceil(3),
            seconds: self.seconds * 2,
            ..self.clone()
        }
    }
}

type Measure = fn(&Kitchen, &Options) -> Result<Section, String>;

/// The sections of the page, in its order.
const SECTIONS: [(&str, Measure); 13] = [
    ("healthz", |kitchen, options| {
        requests::measure(&requests::HEALTHZ, kitchen, options)
    }),
    ("pipelined", |kitchen, options| {
        requests::measure(&requests::PIPELINED, kitchen, options)
    }),
    ("session", |kitchen, options| {
        requests::measure(&requests::SESSION, kitchen, options)
    }),
    ("close", |kitchen, options| {
        requests::measure(&requests::CLOSE, kitchen, options)
    }),
    ("connections", connections::measure),
    ("idle", idle::measure),
    ("latency", latency::measure),
    ("login", logins::measure_hashing),
    ("others", logins::measure_others),
    ("commits", logins::measure_commits),
    ("fan-out", fan_out::measure),
    ("sessions", table::measure),
    ("ledger", ledger::measure),
];

/// Those with many short rounds.
const SHORT: [&str; 5] = ["healthz", "pipelined", "session", "close", "ledger"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--fan-out-floor") => return fan_out::floor(&arguments[1..]),
        Some("--serve-and-watch-turns") => return table::serve(&arguments[1..]),
        Some("--serve-at-token-cost") => return logins::serve(&arguments[1..]),
        _ => {}
    }
    let options = match parse(&arguments) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("peers: {error}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        rounds: 15,
        seconds: 1,
        only: Vec::new(),
        sections: Vec::new(),
        write: true,
    };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let number = |text: &String| match text.parse() {
            Ok(number @ 1..) => Ok(number),
            _ => Err(format!("{argument} needs a number above 0, not {text}")),
        };
        match argument.as_str() {
            "--bench" => {} // cargo's own
            "--rounds" => options.rounds = number(value()?)?,
            "--seconds" => options.seconds = number(value()?)?,
            "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
            "--no-write" => options.write = false,
            name if SECTIONS.iter().any(|(section, _)| *section == name) => {
                options.sections.push(name.to_owned());
            }
            other => {
                let names: Vec<&str> = SECTIONS.iter().map(|(name, _)| *name).collect();
                let names = names.join(", ");
                return Err(format!("what is {other}? Sections are: {names}"));
            }
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<(), String> {
    let kitchen = Kitchen::prepare(CORES)?;
    let chosen = |name: &str| {
        options.sections.is_empty() || options.sections.iter().any(|wanted| wanted == name)
    };
    let mut failed = Vec::new();
    for (name, measure) in SECTIONS.iter().filter(|(name, _)| chosen(name)) {
        eprintln!("\n{name}:");
        let longer = options.longer();
        let options = if SHORT.contains(name) {
            options
        } else {
            &longer
        };
        match measure(&kitchen, options) {
            Ok(section) => {
                println!("\n{}", section.text());
                if options.write {
                    report::write(name, &section, &SECTIONS.map(|(name, _)| name))?;
                }
            }
            Err(error) => {
                eprintln!("  FAILED: {error}");
                failed.push(*name);
            }
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(format!("these failed: {}", failed.join(", ")))
    }
}
