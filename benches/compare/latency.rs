//! How long does an answer take at a rate that the server can bear?

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::Options;
use crate::peers::{self, Kitchen};
use crate::rate::{Answered, Rate};
use crate::report::{Section, Table};
use crate::requests::GET_HEALTHZ;
use crate::spread::{Spread, grouped};
use crate::wrk::Load;

const CONNECTIONS: usize = 64;
/// Of what the server could do when wrk asked as fast as it could.
const SHARES: [f64; 2] = [0.5, 0.8];
/// If one request in a hundred was sent later than this, the latencies are the client's.
const LATENESS_US_MAX: u64 = 500;

pub(crate) fn measure(kitchen: &Kitchen, options: &Options) -> Result<Section, String> {
    let answer = kitchen.answer_to(GET_HEALTHZ)?;
    let wanted = peers::ALL
        .into_iter()
        .filter(|peer| options.wants(peer.name));
    let (programs, mut notes) = kitchen.start_all(wanted, &answer, false)?;
    let mut rows = Vec::new();
    for (peer, program) in &programs {
        let load = Load {
            script: "healthz",
            threads: 1,
            connections: CONNECTIONS,
            seconds: options.seconds,
            variables: Vec::new(),
        };
        let seen = load.run(program.address, kitchen.cores)?;
        let most = seen.requests / seen.seconds;
        rows.extend(SHARES.map(|share| (*peer, program, share, share * most, Vec::new())));
    }
    for round in 1..=options.rounds {
        eprintln!("  round {round} of {}", options.rounds);
        for (peer, program, _, per_s, answered) in &mut rows {
            let rate = Rate {
                request: GET_HEALTHZ,
                connections: CONNECTIONS,
                per_s: *per_s,
                time: Duration::from_secs(options.seconds as u64),
            };
            let ran = rate.run(program.address);
            answered.push(ran.map_err(|error| format!("{}: {error}", peer.name))?);
        }
    }
    let mut table = Table::new(&[
        "server",
        "of its maximum",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
    ]);
    let mut late = Vec::new();
    for (peer, _, share, per_s, answered) in &rows {
        table.row([
            peer.name.to_owned(),
            format!("{:.0} %", share * 100.0),
            grouped(*per_s, 0),
            spread(answered, 0.5).show(0),
            spread(answered, 0.99).show(0),
            spread(answered, 0.999).show(0),
        ]);
        let lateness = |one: &Answered| one.lateness_us.value_at_quantile(0.99) > LATENESS_US_MAX;
        if answered.iter().filter(|one| lateness(one)).count() > answered.len() / 2 {
            late.push(format!("{} at {:.0} %", peer.name, share * 100.0));
        }
    }
    if !late.is_empty() {
        notes.push(format!(
            "The client itself was late here ({}): more than one request in a hundred was sent over \
             {LATENESS_US_MAX} µs after it was due.",
            late.join(", ")
        ));
    }
    Ok(Section {
        title: "Latency at a fixed rate".into(),
        question: format!(
            "How long does an answer take, from when its request was due? {CONNECTIONS} connections, \
             an open loop (`benches/compare/rate.rs`), at half and at four fifths of the requests per \
             second that wrk got from that server just before."
        ),
        tables: vec![table],
        notes,
        chart: None,
    })
}

/// One percentile over the rounds.
pub(crate) fn spread(answered: &[Answered], quantile: f64) -> Spread {
    let value = |histogram: &Histogram<u64>| histogram.value_at_quantile(quantile) as f64;
    Spread::of(answered.iter().map(|one| value(&one.latency_us)))
}
