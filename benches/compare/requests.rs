//! Requests as fast as wrk asks: CPU time of each, beside the floor's.

use crate::Options;
use crate::chart::{Bar, Chart};
use crate::peers::{self, FLOOR, Kitchen, LOOPGATE, Peer};
use crate::program::Program;
use crate::report::{Section, Table};
use crate::spread::{Spread, grouped};
use crate::wrk::{Load, Seen};

/// A workload.
pub(crate) struct Plan {
    pub(crate) title: &'static str,
    question: &'static str,
    request: &'static str,
    script: &'static str,
    connections: usize,
    /// Requests that are on their way on one connection at most.
    depth: usize,
    peers: fn(Peer) -> bool,
    close: bool,
    chart: bool,
}

pub(crate) const GET_HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nHost: bench\r\n\r\n";

pub(crate) const HEALTHZ: Plan = Plan {
    title: "GET /healthz, 64 connections that stay open",
    question: "The least that a request can cost: read, parse, find the handler, encode, write.",
    request: GET_HEALTHZ,
    script: "healthz",
    connections: 64,
    depth: 1,
    peers: |_| true,
    close: false,
    chart: true,
};

pub(crate) const PIPELINED: Plan = Plan {
    title: "GET /healthz, 16 at a time",
    question: "One write of the client carries 16 requests, one write of a good server the answers. \
               With the system calls shared by 16, what is left is the server's own work.",
    script: "pipeline16",
    depth: 16,
    ..HEALTHZ
};

pub(crate) const SESSION: Plan = Plan {
    title: "GET /session with a valid signature",
    question: "Is this signature good, and whose is it? loopgate hashes it (SHA-256) and looks it up in \
               its session table, which only holds what it has signed; the others verify an HS256 JWT \
               with their ecosystem's library and look the session up in a map. The floor reads the same \
               request and sends the same answer.",
    request: "GET /session HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer SIGN\r\n\r\n",
    script: "session",
    peers: |peer| peer.has_sessions,
    ..HEALTHZ
};

pub(crate) const CLOSE: Plan = Plan {
    title: "GET /healthz, one connection for each",
    question: "Accept, register, read, write, close. The floor closes after its first answer to \
               any client.",
    request: "GET /healthz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n",
    script: "close",
    close: true,
    ..HEALTHZ
};

/// One server's rounds.
pub(crate) struct Measured {
    pub(crate) peer: Peer,
    rounds: Vec<Round>,
}

/// One round of one server.
pub(crate) struct Round {
    /// CPU time per request.
    pub(crate) ns: f64,
    user_share: f64,
    /// The part of the time in which the server's core was busy with it.
    busy: f64,
    seen: Seen,
}

impl Measured {
    pub(crate) fn spread(&self, of: impl Fn(&Round) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(of))
    }

    /// CPU time per request as a multiple of `floor`'s in the same round.
    pub(crate) fn ratio_to(&self, floor: &Self) -> Spread {
        let pairs = self.rounds.iter().zip(&floor.rounds);
        Spread::of(pairs.map(|(round, floor)| round.ns / floor.ns))
    }
}

pub(crate) fn measure(
    plan: &Plan,
    kitchen: &Kitchen,
    options: &Options,
) -> Result<Section, String> {
    let answer = kitchen.answer_to(plan.request)?;
    let wanted = peers::ALL
        .into_iter()
        .filter(|peer| (plan.peers)(*peer) && options.wants(peer.name));
    let (programs, mut notes) = kitchen.start_all(wanted, &answer, plan.close)?;
    let measured = rounds(plan, &programs, kitchen, options)?;
    drop(programs);
    let mut table = Table::new(&[
        "server",
        "CPU ns per request",
        "of that, own code",
        "× floor",
        "requests/s",
        "p50 µs",
        "p99 µs",
        "core busy",
    ]);
    let latency = |one: &Measured, of: fn(&Seen) -> f64| {
        if plan.depth > 1 {
            return "–".into(); // wrk has none for requests that were sent together
        }
        grouped(one.spread(|r| of(&r.seen)).median, 0)
    };
    let floor = measured.iter().find(|m| m.peer == FLOOR);
    let mut bars = Vec::new();
    for one in &measured {
        let (ns, share) = (one.spread(|r| r.ns), one.spread(|r| r.user_share).median);
        let busy = one.spread(|r| r.busy).median;
        table.row([
            one.peer.name.to_owned(),
            ns.show(0),
            grouped(ns.median * share, 0),
            floor.map_or("–".into(), |floor| one.ratio_to(floor).show(3)),
            grouped(one.spread(|r| r.seen.requests / r.seen.seconds).median, 0),
            latency(one, |seen| seen.p50_us),
            latency(one, |seen| seen.p99_us),
            format!("{:.0} %", busy * 100.0),
        ]);
        bars.push(Bar {
            name: one.peer.name,
            parts: vec![ns.median * (1.0 - share), ns.median * share],
            strong: one.peer == LOOPGATE,
        });
    }
    let idle: Vec<&str> = measured
        .iter()
        .filter(|one| one.spread(|r| r.busy).median < 0.95)
        .map(|one| one.peer.name)
        .collect();
    if !idle.is_empty() {
        notes.push(format!(
            "The client was the bottleneck for {}: their requests per second and latencies are wrk's.",
            idle.join(", ")
        ));
    }
    if options.wants(LOOPGATE.name) {
        notes.push(own_count(plan, kitchen, options)?);
    }
    let chart = plan.chart.then(|| Chart {
        title: format!("CPU time per request: {}", plan.title),
        unit: "ns per request",
        legend: vec!["kernel", "own code"],
        bars,
    });
    Ok(Section {
        title: plan.title.into(),
        question: plan.question.into(),
        tables: vec![table],
        notes,
        chart,
    })
}

/// A round that only warms up, then as many as are wanted, the servers taking turns.
pub(crate) fn rounds(
    plan: &Plan,
    programs: &[(Peer, Program)],
    kitchen: &Kitchen,
    options: &Options,
) -> Result<Vec<Measured>, String> {
    let mut measured: Vec<Measured> = programs
        .iter()
        .map(|(peer, _)| Measured {
            peer: *peer,
            rounds: Vec::new(),
        })
        .collect();
    for round in 0..=options.rounds {
        let seconds = if round == 0 { 1 } else { options.seconds };
        eprint!("  round {round} of {}:", options.rounds);
        // Every other round backwards: the order of the programs is not always the same.
        let mut order: Vec<usize> = (0..programs.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for at in order {
            let ((peer, program), measured) = (&programs[at], &mut measured[at]);
            let load = load(plan, seconds, program, programs);
            let before = program.cpu();
            let seen = load
                .run(program.address, kitchen.cores)
                .map_err(|error| format!("{}: {error}", peer.name))?;
            let after = program.cpu();
            let ns = after.all_ns - before.all_ns;
            eprint!(" {} {:.0}", peer.name, ns / seen.requests);
            if round > 0 {
                measured.rounds.push(Round {
                    ns: ns / seen.requests,
                    user_share: after.user_share(&before),
                    busy: ns / 1e9 / seen.seconds,
                    seen,
                });
            }
        }
        eprintln!(" ns");
    }
    Ok(measured)
}

/// What wrk does to `program`. A program without sessions gets a signature of the same length all the same.
fn load(plan: &Plan, seconds: usize, program: &Program, all: &[(Peer, Program)]) -> Load {
    let sign = program.sign.clone();
    let sign = sign.or_else(|| all.iter().find_map(|(_, program)| program.sign.clone()));
    Load {
        script: plan.script,
        threads: 1,
        connections: plan.connections,
        seconds,
        variables: vec![("SIGN", sign.unwrap_or_default())],
    }
}

/// One more run, without a stopwatch: what loopgate itself counted, beside what wrk did.
fn own_count(plan: &Plan, kitchen: &Kitchen, options: &Options) -> Result<String, String> {
    let mut command = Kitchen::loopgate(&peers::DEMO);
    command.env("RUST_LOG", "off,loopgate::cli=info");
    let mut program = Program::start(&command, Some(kitchen.cores))?;
    // A request, on a connection of its own, that wrk does not know of.
    let logs_in = plan.script == "session";
    if logs_in {
        program.sign = Some(crate::program::log_in(program.address));
    }
    let load = load(plan, options.seconds, &program, &[]);
    let seen = load.run(program.address, kitchen.cores)?;
    let words = program.stop();
    let counted = words
        .split_once("drained: ")
        .and_then(|(_, rest)| rest.lines().next())
        .ok_or(format!("loopgate did not say what it counted: {words}"))?;
    let own: f64 = counted
        .split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .ok_or(format!("no number: {counted}"))?;
    let (wrk, in_flight) = (seen.requests, (plan.connections * plan.depth) as f64);
    let unseen = own - wrk - f64::from(u8::from(logs_in));
    if !(0.0..=in_flight).contains(&unseen) {
        return Err(format!(
            "wrk saw {wrk} answers, and loopgate counted: {counted}"
        ));
    }
    Ok(format!(
        "Counted by loopgate itself in one more run: {counted}. wrk saw {wrk} answers in it; it breaks \
         off what is under way when its time is over, which are the resets{}.",
        if logs_in {
            ", and the login is a connection of its own"
        } else {
            ""
        }
    ))
}
