//! What does a well-behaved client notice while others abuse the server, and what is left afterwards?
//!
//! For each attack a server is started on one core; attackers and a witness run on another. The witness
//! asks 200 times a second, on a connection that it keeps and on new ones, and logs in once a second; each
//! latency counts from the moment at which the request was due. Memory and descriptors are read before,
//! during and after. A request of the witness's that fails, a server that does not end well, descriptors
//! that stay open, or memory that does, fail the bench. Latencies do not: they are for reading.
//!
//! ```text
//! cargo bench --bench abuse                    all attacks; writes docs/abuse.md
//! cargo bench --bench abuse -- churn idle      only these, and writes nothing
//!     --seconds 8                              for each
//!     --no-write                               only prints
//! ```

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures for people: positive, and far below 2^52"
)]

mod attacks;
#[path = "../compare/machine.rs"]
mod machine;
#[expect(dead_code, reason = "what it costs is another bench's question")]
#[path = "../compare/program.rs"]
mod program;
mod witness;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use loopgate::config::{HashCost, StorePath};
use loopgate::work::{Change, Store, Transaction, password};

pub(crate) use machine::Cores;

use attacks::{ATTACKS, Attack, Scene};
use machine::CORES;
use program::Program;
use witness::{Seen, Witness};

/// What may be left of an attack, in bytes: pages that the allocator keeps for the next one.
const LEFT_BYTES_MAX: f64 = 96.0 * 1024.0 * 1024.0;
/// How long the server has to let go of what an attack has used.
const RECOVERY: Duration = Duration::from_secs(15);

struct Options {
    seconds: u64,
    write: bool,
    names: Vec<String>,
}

fn main() -> ExitCode {
    let mut options = Options {
        seconds: 8,
        write: true,
        names: Vec::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--no-write" => options.write = false,
            "--seconds" => {
                let seconds = arguments.next().and_then(|text| text.parse().ok());
                options.seconds = seconds.expect("--seconds takes a number");
            }
            name if ATTACKS.iter().any(|attack| attack.name == name) => {
                options.names.push(name.to_owned());
            }
            other => {
                let names: Vec<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
                eprintln!("no such attack: {other}; there are {}", names.join(", "));
                return ExitCode::FAILURE;
            }
        }
    }
    match run(&options) {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            eprintln!("\n{}", faults.join("\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("abuse: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the attacks; what must not have been.
fn run(options: &Options) -> Result<Vec<String>, String> {
    loopgate::server::raise_descriptor_limit();
    machine::pin_self(CORES)?;
    let chosen = ATTACKS.iter().filter(|attack| {
        options.names.is_empty() || options.names.iter().any(|n| n == attack.name)
    });
    let (mut table, mut notes, mut faults) = (String::new(), String::new(), Vec::new());
    for attack in chosen {
        eprintln!("{}: {}", attack.name, attack.what);
        match outcome_of(attack, options.seconds) {
            Ok(outcome) => {
                eprintln!("  {}", outcome.row);
                let _ = writeln!(table, "| {} {}", attack.name, outcome.row);
                let _ = writeln!(
                    notes,
                    "- **{}**: {}. {}",
                    attack.name, attack.what, outcome.note
                );
                let of_attack = outcome.faults.into_iter();
                faults.extend(of_attack.map(|fault| format!("{}: {fault}", attack.name)));
            }
            Err(why) => {
                let all_needed = std::env::var_os("LOOPGATE_TEST_REQUIRE_TOOLS").is_some();
                eprintln!("  SKIPPED: {why}");
                let _ = writeln!(
                    notes,
                    "- **{}**: {}. Not run: {why}",
                    attack.name, attack.what
                );
                if all_needed {
                    faults.push(format!("{}: {why}", attack.name));
                }
            }
        }
    }
    let text = format!(
        "{HEAD}{table}\n{notes}\n{}, {} s each\n",
        machine::machine(),
        options.seconds
    );
    println!("\n{text}");
    if options.write && options.names.is_empty() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/abuse.md");
        std::fs::write(page, text).map_err(|e| format!("docs/abuse.md cannot be written: {e}"))?;
    }
    Ok(faults)
}

const HEAD: &str = "\
# Abuse

Written by `cargo bench --bench abuse`. A server on one core; attackers, and a witness who behaves, on the other.
The witness asks 200 times a second, on a connection that it keeps and every tenth time on a new one, and logs in once
a second. Its latencies count from when each request was due, so a server that stands still is seen to stand still;
attackers compete with the witness for their core, so part of them is the client's. Memory is what is the
process's own (`RssAnon`), CPU the share of the server's core.

| attack | p50 ms | p99 ms | longest ms | asked | failed | login p50 ms | longest | logins | failed | memory before, MiB | peak | after | descriptors before, after | CPU |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
";

/// What came of one attack.
struct Outcome {
    row: String,
    note: String,
    faults: Vec<String>,
}

fn outcome_of(attack: &Attack, seconds: u64) -> Result<Outcome, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut program = start(attack, folder.path())?;
    let address = program.address;
    let sign = program::log_in(address);
    let witness = Witness {
        address,
        sign: sign.clone(),
        new_connections: attack.new_connections,
        busy_logins: attack.busy_logins,
    };
    // Once, so that what a first request allocates is there before.
    witness.watch(&AtomicBool::new(true), Duration::from_millis(300));
    let id = program.id();
    let (memory_before, descriptors_before) = (program.memory_bytes(), descriptors(id));
    let cpu_before = program.cpu().all_ns;

    let scene = Scene {
        address,
        sign,
        id,
        folder: folder.path(),
        until: Instant::now() + Duration::from_secs(seconds),
        seconds,
    };
    let began = Instant::now();
    let attacked = under_attack(attack, &scene, &witness, &program)?;
    let Attacked {
        note,
        seen,
        logins,
        peak,
    } = attacked;
    let cpu = (program.cpu().all_ns - cpu_before) / began.elapsed().as_nanos() as f64;

    // The attackers have gone: what they used is given back, and everything works.
    let patience = Instant::now() + RECOVERY;
    while (descriptors(id) > descriptors_before
        || program.memory_bytes() > memory_before + LEFT_BYTES_MAX)
        && Instant::now() < patience
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (memory_after, descriptors_after) = (program.memory_bytes(), descriptors(id));
    let afterwards = Witness {
        new_connections: true,
        ..witness
    };
    let after = afterwards.watch(&AtomicBool::new(true), Duration::from_millis(500));
    let mut faults = Vec::new();
    let mut must = |good: bool, what: String| {
        if !good {
            faults.push(what);
        }
    };
    must(
        seen.failed == 0,
        format!("{} requests failed: {}", seen.failed, seen.why),
    );
    must(
        after.failed == 0,
        format!("afterwards {} failed: {}", after.failed, after.why),
    );
    must(
        logins.failed == 0,
        format!("{} logins failed: {}", logins.failed, logins.why),
    );
    must(
        descriptors_after <= descriptors_before,
        format!("{descriptors_after} descriptors, and there were {descriptors_before}"),
    );
    must(
        memory_after <= memory_before + LEFT_BYTES_MAX,
        format!("{:.0} MiB are left", mib(memory_after - memory_before)),
    );
    let (said, ended_well) = program.end_well();
    must(ended_well, format!("it did not drain: {said}"));
    must(
        !said.contains("panicked"),
        format!("something panicked: {said}"),
    );
    let ms = |seen: &Seen, quantile| seen.latency_us.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(Outcome {
        row: format!(
            "| {:.2} | {:.1} | {:.1} | {} | {} | {:.0} | {:.0} | {} | {} | {:.1} | {:.1} | {:.1} | {descriptors_before}, {descriptors_after} | {:.0} % |",
            ms(&seen, 0.5),
            ms(&seen, 0.99),
            ms(&seen, 1.0),
            seen.latency_us.len(),
            seen.failed,
            ms(&logins, 0.5),
            ms(&logins, 1.0),
            logins.latency_us.len(),
            logins.failed + logins.busy,
            mib(memory_before),
            mib(peak),
            mib(memory_after),
            100.0 * cpu,
        ),
        note,
        faults,
    })
}

/// What was seen during an attack.
struct Attacked {
    note: String,
    seen: Seen,
    logins: Seen,
    /// Of the memory, in bytes.
    peak: f64,
}

fn under_attack(
    attack: &Attack,
    scene: &Scene<'_>,
    witness: &Witness,
    program: &Program,
) -> Result<Attacked, String> {
    let stop = AtomicBool::new(false);
    let peak = AtomicU64::new(0);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                peak.fetch_max(program.memory_bytes() as u64, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let watching = threads.spawn(|| witness.watch(&stop, Duration::MAX));
        let logging_in = threads.spawn(|| witness.log_in_now_and_then(&stop));
        // The witness is there before the attackers are: the question is which clients are served, not which came first.
        std::thread::sleep(Duration::from_millis(200));
        let note = (attack.run)(scene);
        stop.store(true, Ordering::Relaxed);
        Ok(Attacked {
            note: note?,
            seen: watching.join().map_err(|_| "the witness panicked")?,
            logins: logging_in.join().map_err(|_| "who logs in panicked")?,
            peak: peak.load(Ordering::Relaxed) as f64,
        })
    })
}

fn mib(bytes: f64) -> f64 {
    bytes / (1024.0 * 1024.0)
}

fn descriptors(id: u32) -> usize {
    std::fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count)
}

/// The server under attack, on a store of its own with passwords of the default cost.
fn start(attack: &Attack, folder: &Path) -> Result<Program, String> {
    let path = folder.join("store.db");
    let say = |error: loopgate::work::StoreError| error.to_string();
    let mut store = Store::open(&StorePath::File(path.clone()), 100_000).map_err(say)?;
    let users = [("admin", "admin"), ("alice", "user"), ("mallory", "user")];
    let changes = users.map(|(name, role)| Change::AddUser {
        name: name.into(),
        role: role.into(),
        password: password::hash(b"password", [7; 16], HashCost::DEFAULT),
        created_s: 0,
    });
    let transaction = Transaction {
        changes: changes.into(),
        ..Transaction::default()
    };
    store.apply(transaction).map_err(say)?;
    drop(store);
    let mut words = attack
        .under
        .iter()
        .map(|word| word.replace("FOLDER", &folder.display().to_string()));
    let loopgate = env!("CARGO_BIN_EXE_loopgate").to_owned();
    let mut command = Command::new(words.next().unwrap_or_else(|| loopgate.clone()));
    if !attack.under.is_empty() {
        command.args(words).arg(loopgate);
    }
    command
        .args(["--listen", "127.0.0.1:0", "--store"])
        .arg(path);
    command.args(attack.options);
    command.env("RUST_LOG", "warn");
    Program::start(&command, Some(CORES))
}
