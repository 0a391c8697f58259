//! A million sessions: what they take, how fast they are there, and what happens when all end at once.

use std::cell::Cell;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use loopgate::config::{Config, HashCost, Limits, StorePath};
use loopgate::ledger::Phase;
use loopgate::reactor::Signal;
use loopgate::server::Server;
use loopgate::token::{Claims, Keys, base64url, fingerprint, sign};
use loopgate::work::{Change, SessionRow, Transaction};

use crate::Options;
use crate::logins::store_with_admin;
use crate::peers::Kitchen;
use crate::program::{Program, ask, connect, log_in};
use crate::rate::Rate;
use crate::report::{Section, Table};
use crate::requests::GET_HEALTHZ;
use crate::spread::{Spread, grouped};
use crate::wrk::Load;

const SESSIONS: usize = 1_000_000;
/// Of these the signatures are known, so that they can be asked for.
const SIGNED: usize = 100_000;
/// How long after its start a server still has all of them.
const LASTING_S: i64 = 20;
/// How long their expiry may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn measure(kitchen: &Kitchen, options: &Options) -> Result<Section, String> {
    eprintln!("  writing {SESSIONS} sessions");
    let (full, few) = (kitchen.file("full.db"), kitchen.file("few.db"));
    let (all_signs, one_sign) = (kitchen.file("signs"), kitchen.file("sign"));
    fill(&full, SESSIONS, SIGNED, &all_signs)?;
    fill(&few, 1, 1, &one_sign)?;
    let (mut load_s, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let (empty, _) = start(kitchen, &few)?;
        let (program, seconds) = start(kitchen, &full)?;
        load_s.push(seconds);
        bytes.push((program.memory_bytes() - empty.memory_bytes()) / SESSIONS as f64);
        eprintln!("  loaded in {seconds:.2} s");
    }
    let mut table = Table::new(&["1,000,000 sessions", ""]);
    table.row(["memory of one, bytes".into(), Spread::of(bytes).show(0)]);
    table.row([
        "from the program's start until it listens, s".into(),
        Spread::of(load_s).show(2),
    ]);
    let (of_one, of_all, ratio) =
        checks(kitchen, options, [(&few, &one_sign), (&full, &all_signs)])?;
    table.row(["GET /session, one session, CPU ns".into(), of_one.show(0)]);
    table.row([
        format!(
            "GET /session, {} of them in turn, CPU ns",
            grouped(SIGNED as f64, 0)
        ),
        of_all.show(0),
    ]);
    table.row(["their ratio".into(), ratio.show(3)]);
    for (what, figure) in sweep(kitchen)? {
        table.row([what.to_owned(), figure]);
    }
    Ok(Section {
        title: "A million sessions".into(),
        question: "What does a session take in memory, how long does a start with a million of them take, \
                   does checking one cost more where there are many, and who notices when all of them \
                   expire in the same second?"
            .into(),
        tables: vec![table],
        notes: vec![
            "Memory: the difference of `RssAnon` to a server with one session, after the start. What the \
             sweep takes of a turn is the ledger's timers phase, by the clock and so with the time in which \
             the storage thread, on the same core, had it. Each expired session is an event that is \
             committed."
                .into(),
        ],
        chart: None,
    })
}

fn start(kitchen: &Kitchen, store: &Path) -> Result<(Program, f64), String> {
    let mut command = Kitchen::loopgate(&[
        "--session-idle",
        "24h",
        "--sessions-per-user-max",
        "0",
        "--store",
    ]);
    command.arg(store);
    let began = Instant::now();
    let program = Program::start(&command, Some(kitchen.cores))?;
    Ok((program, began.elapsed().as_secs_f64()))
}

/// CPU time of a check with few and with many sessions, and their ratio.
fn checks(
    kitchen: &Kitchen,
    options: &Options,
    stores: [(&Path, &Path); 2],
) -> Result<(Spread, Spread, Spread), String> {
    let mut servers = Vec::new();
    for (store, signs) in stores {
        let load = Load {
            script: "sessions",
            threads: 1,
            connections: 64,
            seconds: options.seconds,
            variables: vec![("SIGNS", signs.display().to_string())],
        };
        servers.push((start(kitchen, store)?.0, load, Vec::new()));
    }
    for round in 0..=options.rounds {
        for (program, load, costs) in &mut servers {
            let before = program.cpu();
            let seen = load.run(program.address, kitchen.cores)?;
            if round > 0 {
                costs.push((program.cpu().all_ns - before.all_ns) / seen.requests);
            }
        }
    }
    let [few, many] = [0, 1].map(|at| servers[at].2.clone());
    let ratio = Spread::of(many.iter().zip(&few).map(|(many, few)| many / few));
    Ok((Spread::of(few), Spread::of(many), ratio))
}

/// Lets all expire at once, and asks meanwhile.
fn sweep(kitchen: &Kitchen) -> Result<Vec<(&'static str, String)>, String> {
    eprintln!("  letting them expire");
    let path = kitchen.file("sweep.db");
    fill(&path, SESSIONS, 1, &kitchen.file("nobody"))?;
    let due_s = unix_s() + LASTING_S + 1;
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg("--serve-and-watch-turns").arg(path);
    let mut program = Program::start(&command, Some(kitchen.cores))?;
    while unix_s() < due_s - 1 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let rate = Rate {
        request: GET_HEALTHZ,
        connections: 8,
        per_s: 1000.0,
        time: Duration::from_secs(5),
    };
    let answered = rate.run(program.address)?;
    let began = Instant::now();
    let sign = log_in(program.address);
    let mut client = connect(program.address);
    // Each of them is an event, and ids count events.
    let request = format!(
        "GET /events?since={SESSIONS}&limit=1 HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {sign}\r\n\r\n"
    );
    while !ask(&mut client, &request).contains("\"id\":") {
        if began.elapsed() > PATIENCE {
            return Err(format!("not all sessions expired within {PATIENCE:?}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let took_s = (unix_s() - due_s) as f64;
    let said = program.stop();
    let watched: Vec<&str> = said.split_whitespace().collect();
    let [median, most, longest, turn] = watched[..] else {
        return Err(format!("the watched server said {said:?}"));
    };
    let micros = |quantile| grouped(answered.latency_us.value_at_quantile(quantile) as f64, 0);
    Ok(vec![
        ("all expired and on disk within, s", grouped(took_s, 0)),
        ("a turn's share of the sweep, median µs", median.to_owned()),
        ("99.9 % of the shares, µs", most.to_owned()),
        ("the longest share, µs", longest.to_owned()),
        ("the longest turn, µs", turn.to_owned()),
        ("GET /healthz meanwhile, p50 µs", micros(0.5)),
        ("p99 µs", micros(0.99)),
        ("the longest of 5,000, µs", micros(1.0)),
    ])
}

/// `--serve-and-watch-turns STORE`: a server that keeps what the ledger says of every turn, and says at
/// its end, in microseconds: the median, the 99.9th percentile and the longest of the timers phases in
/// which something was due, and the longest turn.
pub(crate) fn serve(arguments: &[String]) -> ExitCode {
    let config = Config {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        store: StorePath::File(Path::new(&arguments[0]).to_owned()),
        hash_cost: HashCost::TOKEN,
        limits: Limits {
            sessions_per_user_max: 0,
            session_idle: Duration::from_secs(LASTING_S as u64),
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut server = Server::bind(config).expect("it can start");
    let told = Rc::new(Cell::new(false));
    let stop = Rc::clone(&told);
    let signal = server.on_signal(Signal::Terminate, move || stop.set(true));
    signal.expect("signals can be handled");
    println!("listening on {}", server.addresses()[0]);
    let us = || Histogram::<u64>::new(3).expect("3 digits are allowed");
    let (mut shares, mut turns) = (us(), us());
    while !told.get() {
        server.turn().expect("the selector works");
        let Some(turn) = server.ledger().turns().next_back() else {
            continue;
        };
        if turn.counts[Phase::Timers as usize] > 0 {
            shares.saturating_record(turn.phase_ns[Phase::Timers as usize] / 1000);
        }
        let awake = turn.phase_ns.iter().skip(1).sum::<u64>();
        turns.saturating_record(awake / 1000);
    }
    eprintln!(
        "{} {} {} {}",
        shares.value_at_quantile(0.5),
        shares.value_at_quantile(0.999),
        shares.max(),
        turns.max()
    );
    ExitCode::SUCCESS
}

/// Makes a store with `count` sessions, of which `signed` have a signature; those go to a file.
fn fill(path: &Path, count: usize, signed: usize, signs: &Path) -> Result<(), String> {
    const AT_A_TIME: usize = 10_000;
    let now_s = unix_s();
    let keys = Keys::create(&path.with_extension("key"), 1, [9; 32], now_s);
    let keys = keys.map_err(|error| error.to_string())?;
    let mut store = store_with_admin(path, HashCost::TOKEN)?;
    let file = std::fs::File::create(signs).map_err(|error| error.to_string())?;
    let mut signs = std::io::BufWriter::new(file);
    for begin in (0..count).step_by(AT_A_TIME) {
        let mut changes = Vec::new();
        for number in begin..count.min(begin + AT_A_TIME) {
            let sid: [u8; 16] = (number as u128).to_be_bytes();
            let hash = if number < signed {
                let claims = Claims {
                    iss: "loopgate".into(),
                    sub: "1".into(),
                    sid: base64url(&sid),
                    iat: now_s,
                    exp: now_s + 86_400,
                };
                let sign = sign(&claims, keys.current());
                writeln!(signs, "{sign}").map_err(|error| error.to_string())?;
                fingerprint(sign.as_bytes())
            } else {
                fingerprint(&sid)
            };
            changes.push(Change::AddSession(SessionRow {
                hash,
                sid,
                user_id: 1,
                key_id: 1,
                issued_s: now_s,
                last_used_s: now_s,
            }));
        }
        let transaction = Transaction {
            changes,
            ..Transaction::default()
        };
        store
            .apply(transaction)
            .map_err(|error| error.to_string())?;
    }
    signs.flush().map_err(|error| error.to_string())
}

fn unix_s() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs().cast_signed())
}
