//! Does a request cost more where more are connected?

use std::time::Duration;

use crate::Options;
use crate::peers::{self, FLOOR, Kitchen};
use crate::rate::Rate;
use crate::report::{Section, Table};
use crate::requests::GET_HEALTHZ;
use crate::spread::{Spread, grouped};

const COUNTS: [usize; 4] = [10, 100, 1_000, 10_000];
/// The same for all, so that what differs is how many connections they come on. Well below what any of
/// them can do.
const PER_S: f64 = 20_000.0;

/// One server with so many connections.
#[derive(Default)]
struct Measured {
    /// CPU time per request, in each round.
    ns: Vec<f64>,
    p99_us: Vec<f64>,
}

impl Measured {
    fn ratio_to(&self, other: &Self) -> Spread {
        Spread::of(
            self.ns
                .iter()
                .zip(&other.ns)
                .map(|(one, other)| one / other),
        )
    }
}

pub(crate) fn measure(kitchen: &Kitchen, options: &Options) -> Result<Section, String> {
    let answer = kitchen.answer_to(GET_HEALTHZ)?;
    let wanted = peers::ALL.into_iter().filter(|peer| {
        ["floor", "loopgate", "hyper", "nginx"].contains(&peer.name) && options.wants(peer.name)
    });
    let (programs, notes) = kitchen.start_all(wanted, &answer, false)?;
    let mut all: Vec<[Measured; COUNTS.len()]> =
        programs.iter().map(|_| Default::default()).collect();
    // The counts take turns as the servers do: the ratio between them is what is asked for.
    for round in 1..=options.rounds {
        eprintln!("  round {round} of {}", options.rounds);
        for (at, count) in COUNTS.into_iter().enumerate() {
            for ((peer, program), measured) in programs.iter().zip(&mut all) {
                let rate = Rate {
                    request: GET_HEALTHZ,
                    connections: count,
                    per_s: PER_S,
                    time: Duration::from_secs(options.seconds as u64),
                };
                let opened = rate.open(program.address)?;
                let before = program.cpu();
                let answered = opened.run();
                let answered = answered.map_err(|error| format!("{}: {error}", peer.name))?;
                let ns = program.cpu().all_ns - before.all_ns;
                let measured = &mut measured[at];
                measured.ns.push(ns / answered.latency_us.len() as f64);
                let p99 = answered.latency_us.value_at_quantile(0.99);
                measured.p99_us.push(p99 as f64);
            }
        }
    }
    let mut table = Table::new(&[
        "server",
        "connections",
        "CPU ns per request",
        "× at 10",
        "× floor",
        "p99 µs",
    ]);
    let floor = programs.iter().position(|(peer, _)| *peer == FLOOR);
    for ((peer, _), measured) in programs.iter().zip(&all) {
        for (at, count) in COUNTS.into_iter().enumerate() {
            let one = &measured[at];
            table.row([
                peer.name.to_owned(),
                grouped(count as f64, 0),
                Spread::of(one.ns.iter().copied()).show(0),
                one.ratio_to(&measured[0]).show(3),
                floor.map_or("–".into(), |floor| one.ratio_to(&all[floor][at]).show(3)),
                grouped(Spread::of(one.p99_us.iter().copied()).median, 0),
            ]);
        }
    }
    Ok(Section {
        title: "GET /healthz with 10 to 10,000 active connections".into(),
        question: format!(
            "Does a request cost more where more are connected? {} requests a second, each on the next \
             connection in turn, all of which are open before the first. At this rate a request comes \
             alone, and costs more than one of many that are ready together: compare with other counts, \
             not with other sections.",
            grouped(PER_S, 0)
        ),
        tables: vec![table],
        notes,
        chart: None,
    })
}
