//! How many instructions does a request take, without the kernel?
//!
//! The same requests are replayed from memory through the whole server, the reactor included, and
//! callgrind counts. The count hardly depends on the machine and not at all on what else it does, so a
//! change of 2 % is seen where a stopwatch sees nothing. It says nothing about caches: an instruction
//! that waits for memory counts like any other.
//!
//! What would surprise: valgrind's processor has no SHA extensions, so here the hash of a signature takes
//! thousands of instructions that a real one does not spend.
//!
//! ```text
//! cargo bench --bench instructions               counts and compares with benches/instructions.txt
//! cargo bench --bench instructions -- --check    fails if one grew by more than 2 %
//! cargo bench --bench instructions -- --write    makes these counts the ones to compare with
//! ```

#![expect(
    clippy::cast_precision_loss,
    reason = "figures for people, far below 2^52"
)]

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use loopgate::config::{Config, HashCost, Limits, StorePath};
use loopgate::reactor::{
    Acceptor, Clock, Entropy, Moment, Peer, Readiness, Ready, Seams, Selector, Stream, Token, Wake,
};
use loopgate::server::{AccessFormat, Server, World};
use loopgate::token::Keys;
use loopgate::work::log_writer::{self, LogTarget, WAITING_BYTES_MAX};
use loopgate::work::password::Argon2id;
use loopgate::work::{Change, Store, Threads, Transaction, password};

/// A growth by more than this is a regression.
const TOLERANCE: f64 = 0.02;
/// Turns that are replayed before the count begins, and those that are counted.
const TURNS: (usize, usize) = (100, 1_000);

/// What is replayed: a name, a request (`SIGN` stands for a signature), and how often it stands in one
/// read.
/// Those that end in `-logged` have an access log, whose thread's instructions are not counted.
const SCENARIOS: [(&str, &str, usize); 8] = [
    (
        "healthz",
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
        1,
    ),
    (
        "healthz-pipelined",
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
        16,
    ),
    (
        "healthz-logged",
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
        1,
    ),
    (
        "healthz-pipelined-logged",
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
        16,
    ),
    (
        "healthz-browser",
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nConnection: keep-alive\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
         Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
         Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\n\r\n",
        1,
    ),
    (
        "session",
        "GET /session HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer SIGN\r\n\r\n",
        1,
    ),
    (
        "verify",
        "GET /verify HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nCookie: theme=dark; session=SIGN\r\n\r\n",
        1,
    ),
    (
        "not-found",
        "GET /nothing/here HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
        1,
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = arguments.iter().position(|a| a == "--replay") {
        replay(&arguments[at + 1]);
        return ExitCode::SUCCESS;
    }
    let has = |option: &str| arguments.iter().any(|argument| argument == option);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    let compiler = compiler();
    let baseline = std::fs::read_to_string(&file).unwrap_or_default();
    let same_compiler = baseline.lines().next() == Some(compiler.as_str());
    let mut text = format!("{compiler}\n");
    let mut grown = false;
    println!(
        "{:<26} {:>12} {:>12} {:>8}",
        "", "instructions", "baseline", ""
    );
    for (name, _, at_once) in SCENARIOS {
        let count = match count(name) {
            Ok(count) => count as f64 / (TURNS.1 * at_once) as f64,
            Err(error) => {
                eprintln!("instructions: {error}");
                return ExitCode::FAILURE;
            }
        };
        let _ = writeln!(text, "{name} {count:.0}");
        let former = baseline.lines().find_map(|line| {
            let count = line.strip_prefix(name)?.strip_prefix(' ')?;
            count.parse::<f64>().ok()
        });
        let Some(former) = former else {
            println!("{name:<26} {count:>12.0} {:>12}", "none");
            grown = true;
            continue;
        };
        let change = count / former - 1.0;
        grown |= change > TOLERANCE;
        println!(
            "{name:<26} {count:>12.0} {former:>12.0} {:>+7.1} %",
            change * 100.0
        );
    }
    if has("--write") {
        std::fs::write(&file, text).expect("benches/instructions.txt can be written");
        return ExitCode::SUCCESS;
    }
    if !same_compiler {
        println!(
            "The baseline is another compiler's, so nothing follows from it; --write makes a new one."
        );
    } else if has("--check") && grown {
        eprintln!(
            "instructions: more than {} % above the baseline",
            TOLERANCE * 100.0
        );
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Instructions of all turns that are counted.
fn count(name: &str) -> Result<u64, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .args([
            "--toggle-collect=*counted_turns*",
            "--callgrind-out-file=/dev/null",
        ])
        .arg(std::env::current_exe().expect("this program"))
        .args(["--replay", name])
        .output()
        .map_err(|error| format!("valgrind: {error} (package valgrind)"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.split("Collected : ").nth(1);
    let count = collected.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    count
        .filter(|count| *count > 0 && output.status.success())
        .ok_or(format!("valgrind counted nothing: {text}"))
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").output();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    format!("# {}", version.unwrap_or_default().trim())
}

/// Replays a scenario; callgrind is told to count within `counted_turns`.
fn replay(name: &str) {
    let scenario = SCENARIOS.iter().find(|(other, _, _)| *other == name);
    let (_, request, at_once) = scenario.expect("a scenario's name");
    let tape = Rc::new(Tape::default());
    let mut server = server(&tape);
    if name.ends_with("-logged") {
        let nowhere = LogTarget::File("/dev/null".into());
        let (pipe, thread) = log_writer::start(nowhere, WAITING_BYTES_MAX).expect("a thread");
        server.log_access(AccessFormat::Plain, Some(pipe));
        // The thread is not ended: it writes until the process ends.
        std::mem::forget(thread);
    }
    let sign = log_in(&tape, &mut server);
    tape.play(&request.replace("SIGN", &sign).repeat(*at_once));
    for _ in 0..TURNS.0 {
        server.turn().expect("nothing fails here");
    }
    let answer = tape.answer();
    let status = if name == "not-found" { "404" } else { "20" };
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status}")),
        "{answer}"
    );
    assert_eq!(answer.matches("HTTP/1.1 ").count(), *at_once, "{answer}");
    counted_turns(&mut server);
}

#[inline(never)]
fn counted_turns(server: &mut Server) {
    for _ in 0..TURNS.1 {
        server.turn().expect("nothing fails here");
    }
}

fn server(tape: &Rc<Tape>) -> Server {
    let config = Config {
        hash_cost: HashCost::TOKEN,
        limits: Limits {
            sessions_per_user_max: 0,
            ..Limits::default()
        },
        ..Config::default()
    };
    let mut store = Store::open(&StorePath::Memory, 1000).expect("memory");
    let admin = Change::AddUser {
        name: "admin".into(),
        role: "admin".into(),
        password: password::hash(b"password", [7; 16], config.hash_cost),
        created_s: 0,
    };
    let transaction = Transaction {
        changes: vec![admin],
        ..Transaction::default()
    };
    store.apply(transaction).expect("memory");
    let world = World {
        store,
        keys: Keys::ephemeral(1, [1; 32], 0),
        seams: Seams {
            clock: Box::new(Stepping::default()),
            entropy: Box::new(Fixed),
            selector: Box::new(Playing(Rc::clone(tape))),
        },
        crew: &mut Threads,
        hasher: Argon2id::shared(),
    };
    let mut server = Server::in_world(config, world).expect("nothing keeps it from starting");
    let listener = Playing(Rc::clone(tape));
    server.accept_from(listener).expect("there is room");
    server
}

/// Workers are threads here too: turns until they have answered.
fn log_in(tape: &Tape, server: &mut Server) -> String {
    let body = "username=admin&password=password";
    tape.play_once(&format!(
        "POST /login HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    loop {
        server.turn().expect("nothing fails here");
        if let Some(sign) = tape.answer().split("\"user_sign\":\"").nth(1) {
            return sign.split('"').next().unwrap_or_default().to_owned();
        }
        std::thread::yield_now();
    }
}

/// What one client sends, again and again, and what it got last.
#[derive(Default)]
struct Tape {
    sent: RefCell<Vec<u8>>,
    /// What was sent is there to be read, once or in every turn.
    readable: Cell<bool>,
    again: Cell<bool>,
    answer: RefCell<Vec<u8>>,
    listener: Cell<Option<Token>>,
    connection: Cell<Option<Token>>,
}

impl Tape {
    fn play(&self, request: &str) {
        self.play_once(request);
        self.again.set(true);
    }

    fn play_once(&self, request: &str) {
        *self.sent.borrow_mut() = request.as_bytes().to_vec();
        self.readable.set(true);
    }

    fn answer(&self) -> String {
        String::from_utf8_lossy(&self.answer.borrow()).into_owned()
    }
}

/// Selector, acceptor and stream: three ends of the same tape.
struct Playing(Rc<Tape>);

impl Selector for Playing {
    fn select(&mut self, _: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let readiness = Readiness::READABLE;
        if let Some(token) = self.0.listener.take() {
            ready.push(Ready { token, readiness });
        }
        if let Some(token) = self.0.connection.get()
            && self.0.readable.get()
        {
            ready.push(Ready { token, readiness });
        }
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::new(Asleep)
    }
}

impl Acceptor for Playing {
    type Stream = Self;

    fn accept(&mut self) -> io::Result<(Self, Peer)> {
        if self.0.connection.get().is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
        Ok((Self(Rc::clone(&self.0)), Peer::Ip(address)))
    }

    fn register(&mut self, _: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.0.listener.set(Some(token));
        Ok(())
    }

    fn deregister(&mut self, _: &mut dyn Selector) {}
}

impl Stream for Playing {
    fn register(&mut self, _: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.0.connection.set(Some(token));
        Ok(())
    }

    fn deregister(&mut self, _: &mut dyn Selector) {}

    fn shutdown(&mut self, _: Shutdown) {}
}

impl Read for Playing {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if !self.0.readable.replace(self.0.again.get()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let sent = self.0.sent.borrow();
        bytes[..sent.len()].copy_from_slice(&sent);
        Ok(sent.len())
    }
}

impl Write for Playing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut answer = self.0.answer.borrow_mut();
        answer.clear();
        answer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Clone)]
struct Asleep;

impl Wake for Asleep {
    fn wake(&self) {}
}

/// Ten microseconds pass between two looks at this clock.
#[derive(Default)]
struct Stepping(Cell<u64>);

impl Clock for Stepping {
    fn now(&self) -> Moment {
        self.0.set(self.0.get() + 10_000);
        Moment::from_ns(self.0.get())
    }

    fn unix_ms(&self) -> u64 {
        1_795_000_000_000 + self.0.get() / 1_000_000
    }
}

struct Fixed;

impl Entropy for Fixed {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}
