//! Logins: against hashing alone, beside other requests, and against the disk alone.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use loopgate::config::{Config, HashCost, Limits, StorePath};
use loopgate::server::Server;
use loopgate::work::{Change, Store, Transaction, password};

use crate::Options;
use crate::latency::spread;
use crate::peers::Kitchen;
use crate::program::Program;
use crate::rate::Rate;
use crate::report::{Section, Table};
use crate::requests::GET_HEALTHZ;
use crate::spread::Spread;
use crate::wrk::Load;

const WORKERS: usize = 2;
/// That log in at the same time.
const CLIENTS: usize = 8;
/// That log in and out at the same time, at token cost.
const COMMITTERS: usize = 64;

/// A store with the user `admin`, whose password is `password`.
pub(crate) fn store_with_admin(path: &Path, cost: HashCost) -> Result<Store, String> {
    let say = |error: loopgate::work::StoreError| error.to_string();
    let mut store = Store::open(&StorePath::File(path.to_owned()), 100_000).map_err(say)?;
    let add = Change::AddUser {
        name: "admin".into(),
        role: "admin".into(),
        password: password::hash(b"password", [7; 16], cost),
        created_s: 0,
    };
    let transaction = Transaction {
        changes: vec![add],
        ..Transaction::default()
    };
    store.apply(transaction).map_err(say)?;
    Ok(store)
}

/// loopgate on a store of its own, on disk, with the default cost of a password.
fn start_on_disk(
    kitchen: &Kitchen,
    name: &str,
    workers: usize,
    pinned: bool,
) -> Result<Program, String> {
    let path = kitchen.file(name);
    drop(store_with_admin(&path, HashCost::DEFAULT)?);
    let mut command = Kitchen::loopgate(&[
        "--sessions-per-user-max",
        "0",
        "--workers",
        &workers.to_string(),
    ]);
    command.arg("--store").arg(path);
    Program::start(&command, pinned.then_some(kitchen.cores))
}

fn login_load(connections: usize, seconds: usize) -> Load {
    Load {
        script: "login",
        threads: 1,
        connections,
        seconds,
        variables: Vec::new(),
    }
}

/// How much of what the machine can hash becomes logins?
pub(crate) fn measure_hashing(kitchen: &Kitchen, options: &Options) -> Result<Section, String> {
    let program = start_on_disk(kitchen, "hashing.db", WORKERS, false)?;
    let seconds = options.seconds * 2;
    let (mut raw, mut logins) = (Vec::new(), Vec::new());
    login_load(CLIENTS, 1).run(program.address, kitchen.cores)?;
    for round in 1..=options.rounds {
        let mut argon2 = kitchen.tool("argon2_loop");
        argon2.args([WORKERS.to_string(), seconds.to_string()]);
        raw.push(rate_printed(argon2, "hashes")?);
        let seen = login_load(CLIENTS, seconds).run(program.address, kitchen.cores)?;
        logins.push(seen.requests / seen.seconds);
        eprintln!(
            "  round {round}: {:.1} hashes/s, {:.1} logins/s",
            raw[round - 1],
            logins[round - 1]
        );
    }
    let ratio = Spread::of(logins.iter().zip(&raw).map(|(logins, raw)| logins / raw));
    let mut table = Table::new(&["", "per second", "× hashing alone"]);
    table.row(["hashing alone".into(), Spread::of(raw).show(1), "1".into()]);
    table.row(["logins".into(), Spread::of(logins).show(1), ratio.show(3)]);
    Ok(Section {
        title: "Logins with the default Argon2id".into(),
        question: format!(
            "{CLIENTS} clients log in; {WORKERS} workers hash (19 MiB, 2 passes, 1 lane), and each login is \
             committed to disk before it is answered. Beside it the same hash in a loop, on as many \
             threads, and nothing else. Neither is pinned: both may use both cores."
        ),
        tables: vec![table],
        notes: vec![],
        chart: None,
    })
}

/// Which clients wait when others log in?
pub(crate) fn measure_others(kitchen: &Kitchen, options: &Options) -> Result<Section, String> {
    const PER_S: f64 = 1_000.0;
    let program = start_on_disk(kitchen, "others.db", 1, true)?;
    let rate = Rate {
        request: GET_HEALTHZ,
        connections: 8,
        per_s: PER_S,
        time: Duration::from_secs(options.seconds as u64 * 2),
    };
    let (mut alone, mut beside, mut logins) = (Vec::new(), Vec::new(), Vec::new());
    rate.run(program.address)?;
    for round in 1..=options.rounds {
        alone.push(rate.run(program.address)?);
        let seen = std::thread::scope(|scope| {
            let load = login_load(CLIENTS, options.seconds * 2 + 1);
            let (address, cores) = (program.address, kitchen.cores);
            let wrk = scope.spawn(move || load.run(address, cores));
            std::thread::sleep(Duration::from_millis(500)); // the queue of logins is full by then
            beside.push(rate.run(program.address)?);
            wrk.join().map_err(|_| "wrk's thread panicked")?
        })?;
        logins.push(seen.requests / seen.seconds);
        eprintln!("  round {round} of {}", options.rounds);
    }
    let mut table = Table::new(&["", "p50 µs", "p99 µs", "p99.9 µs"]);
    for (name, answered) in [("alone", &alone), ("beside logins", &beside)] {
        let percentiles = [0.5, 0.99, 0.999].map(|quantile| spread(answered, quantile).show(0));
        table.row([name.to_owned()].into_iter().chain(percentiles));
    }
    let late = Spread::of(
        beside
            .iter()
            .map(|one| one.lateness_us.value_at_quantile(0.99) as f64),
    );
    Ok(Section {
        title: "GET /healthz while logins saturate the workers".into(),
        question: format!(
            "{PER_S:.0} requests a second, from when each was due, while {CLIENTS} clients log in as fast as \
             one worker hashes. The worker and the loop share one core, so this is the hard case: the \
             scheduler has to take the core from the hash for every request."
        ),
        tables: vec![table],
        notes: vec![format!(
            "{} logins/s went on beside. Of the client's requests, 1 in 100 was sent over {} µs late.",
            Spread::of(logins).show(1),
            late.show(0)
        )],
        chart: None,
    })
}

/// What does the disk allow?
pub(crate) fn measure_commits(kitchen: &Kitchen, options: &Options) -> Result<Section, String> {
    let store = kitchen.file("commits.db");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg("--serve-at-token-cost").arg(&store);
    let program = Program::start(&command, Some(kitchen.cores))?;
    let load = |seconds| Load {
        script: "login-logout",
        threads: COMMITTERS,
        connections: COMMITTERS,
        seconds,
        variables: Vec::new(),
    };
    let seconds = options.seconds * 2;
    load(1).run(program.address, kitchen.cores)?;
    let (mut raw, mut ours, mut busy) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=options.rounds {
        let file = kitchen.file(&format!("raw-{round}.db"));
        let mut commits = Command::new("taskset");
        commits
            .args(["-c", kitchen.cores.server])
            .arg(kitchen.tool("commits").get_program())
            .arg(file)
            .args([COMMITTERS.to_string(), seconds.to_string()]);
        raw.push(rate_printed(commits, "changes")?);
        let before = program.cpu();
        let seen = load(seconds).run(program.address, kitchen.cores)?;
        let ns = program.cpu().all_ns - before.all_ns;
        ours.push(seen.requests / seen.seconds);
        busy.push(ns / 1e9 / seen.seconds * 100.0);
        eprintln!(
            "  round {round}: {:.0} rows/s, {:.0} requests/s",
            raw[round - 1],
            ours[round - 1]
        );
    }
    let ratio = Spread::of(ours.iter().zip(&raw).map(|(ours, raw)| ours / raw));
    let mut table = Table::new(&["", "per second", "× SQLite alone", "core busy"]);
    table.row([
        "SQLite alone".into(),
        Spread::of(raw).show(0),
        "1".into(),
        "–".into(),
    ]);
    table.row([
        "logins and logouts".into(),
        Spread::of(ours).show(0),
        ratio.show(3),
        format!("{:.0} %", Spread::of(busy).median),
    ]);
    Ok(Section {
        title: "Logins and logouts at token cost, on disk".into(),
        question: format!(
            "With the hash out of the way: {COMMITTERS} clients log in and out, each time committed to disk \
             (WAL, `synchronous=FULL`) before the answer. Beside it SQLite alone, with the same rows in \
             groups of {COMMITTERS} and no network, each on the server's core."
        ),
        tables: vec![table],
        notes: vec![
            "SQLite alone has no clients: what HTTP, two look-ups and a signature cost comes on top of it."
                .into(),
        ],
        chart: None,
    })
}

/// `--serve-at-token-cost FILE`: a server whose passwords cost nothing, but whose store is on disk; the
/// program has no such option, and should not.
pub(crate) fn serve(arguments: &[String]) -> ExitCode {
    let path = Path::new(&arguments[0]);
    let config = Config {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        store: StorePath::File(path.to_owned()),
        hash_cost: HashCost::TOKEN,
        limits: Limits {
            sessions_per_user_max: 0,
            ..Limits::default()
        },
        ..Config::default()
    };
    drop(store_with_admin(path, HashCost::TOKEN).expect("a new store"));
    let mut server = Server::bind(config).expect("it can start");
    println!("listening on {}", server.addresses()[0]);
    server.run().expect("the selector works");
    ExitCode::SUCCESS
}

/// Runs a tool to its end; how many of `unit` per second it says it did.
fn rate_printed(mut command: Command, unit: &str) -> Result<f64, String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = text.split_whitespace().collect();
    let after = |name: &str| -> Option<f64> {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1)?.parse().ok()
    };
    match (after(unit), after("seconds")) {
        (Some(count), Some(seconds)) if output.status.success() => Ok(count / seconds),
        _ => Err(format!("{command:?} printed {text:?}")),
    }
}
