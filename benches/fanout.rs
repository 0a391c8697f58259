//! What does one event cost that goes to a thousand subscribers?
//!
//! The floor is a program that does nothing but one `send` per subscriber, of as many bytes as the
//! event has on the wire. The server, pinned to one core, gets an event by `POST /events`, commits it,
//! and sends it to its subscribers; the clients are read from another core. Rounds are interleaved, and
//! what counts is CPU time per delivery, as the kernel accounts it to the threads: first of the loop,
//! then of the whole process with the storage thread in it.
//!
//! What would surprise: the kernel's side of a `send` on loopback includes receiving it, so a delivery
//! costs microseconds whatever the program does, and the program's own part disappears in it.
//!
//! `cargo bench --bench fanout -- [--subscribers 1000] [--events 200] [--rounds 5]`

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The server's core, and the clients'.
const CORES: (&str, &str) = ("0", "1");

/// A WebSocket is asked now and then whether it is there (RFC 6455, section 5.5.2), and says so.
const PING: [u8; 2] = [0x89, 0];
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

struct Options {
    subscribers: usize,
    events: usize,
    rounds: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "--floor") {
        let number = |index: usize| arguments[at + index].parse().expect("a number");
        return floor(number(1), number(2));
    }
    let option = |name: &str, default: usize| {
        let given = arguments.iter().position(|a| a == name);
        given.map_or(default, |at| arguments[at + 1].parse().expect("a number"))
    };
    let options = Options {
        subscribers: option("--subscribers", 1000),
        events: option("--events", 200),
        rounds: option("--rounds", 5),
    };
    pin_self();
    // A server for each kind, since an event goes to all who are there; and all connections stay open,
    // since the kernel treats young ones differently.
    let mut servers = [(); 2].map(|()| Server::start(&options));
    let mut sse = Subscribers::sse(&servers[0], options.subscribers);
    let bytes = sse.event_bytes(&mut servers[0]);
    let mut websockets = Subscribers::websocket(&servers[1], options.subscribers);
    let mut floor = Floor::start(options.subscribers, bytes, &servers[0].sign);
    println!(
        "{} subscribers, {} events a round, {bytes} bytes an event; server on core {}, clients on core {}",
        options.subscribers, options.events, CORES.0, CORES.1
    );
    let mut rows: Vec<(&str, Vec<Cost>)> = vec![
        ("send floor", vec![]),
        ("SSE", vec![]),
        ("WebSocket", vec![]),
    ];
    for _ in 0..options.rounds {
        rows[0].1.push(floor.round(&options));
        rows[1].1.push(servers[0].round(&mut sse, &options));
        rows[2].1.push(servers[1].round(&mut websockets, &options));
    }
    report(&rows);
}

/// CPU time per delivery, in nanoseconds.
#[derive(Clone, Copy)]
struct Cost {
    of_loop: f64,
    of_process: f64,
}

fn report(rows: &[(&str, Vec<Cost>)]) {
    let floors = &rows[0].1;
    println!("\n| | ns per delivery, loop | ratio to the floor | ratio, whole process |");
    println!("|---|---|---|---|");
    for (name, costs) in rows {
        // Each round against the floor of the same round: the machine drifts.
        let ratios = |of: fn(&Cost) -> f64| -> Vec<f64> {
            costs
                .iter()
                .zip(floors)
                .map(|(cost, floor)| of(cost) / floor.of_process)
                .collect()
        };
        let ns: Vec<f64> = costs.iter().map(|cost| cost.of_loop).collect();
        println!(
            "| {name} | {} | {} | {} |",
            spread(ns, 0),
            spread(ratios(|c| c.of_loop), 3),
            spread(ratios(|c| c.of_process), 3)
        );
    }
}

/// The median, with the least and the most.
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let middle = values[values.len() / 2];
    let (least, most) = (values[0], values[values.len() - 1]);
    format!("{middle:.digits$} ({least:.digits$} … {most:.digits$})")
}

/// A program on the server's core.
struct Pinned {
    child: Child,
    address: SocketAddr,
}

impl Pinned {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("taskset (util-linux) and the program start");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let address = loop {
            let line = lines
                .next()
                .expect("it says where it listens")
                .expect("text");
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.parse().expect("an address");
            }
        };
        // What it still says is of no interest, but it must be able to say it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// Nanoseconds on the core: of the main thread, and of all.
    fn cpu_ns(&self) -> (f64, f64) {
        let id = self.child.id();
        let ns = |path: &str| -> f64 {
            let text = std::fs::read_to_string(path).expect("Linux, with schedstat");
            text.split(' ')
                .next()
                .and_then(|ns| ns.parse().ok())
                .expect("a number")
        };
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
        let all = tasks.map(|task| {
            ns(&task
                .expect("a thread")
                .path()
                .join("schedstat")
                .to_string_lossy())
        });
        (ns(&format!("/proc/{id}/task/{id}/schedstat")), all.sum())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Server {
    program: Pinned,
    publisher: TcpStream,
    sign: String,
}

impl Server {
    fn start(options: &Options) -> Self {
        let mut command = Command::new("taskset");
        command
            .args(["-c", CORES.0, env!("CARGO_BIN_EXE_loopgate"), "--demo"])
            .args(["--listen", "127.0.0.1:0", "--streams-per-session-max"])
            .arg(options.subscribers.to_string())
            .env("RUST_LOG", "error");
        let program = Pinned::start(command);
        let mut publisher = connect(program.address);
        let answer = ask(
            &mut publisher,
            "/login",
            "",
            r#"{"username":"admin","password":"password"}"#,
        );
        let sign = answer
            .split("\"user_sign\":\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        let sign = sign.expect("a signature").to_owned();
        Self {
            program,
            publisher,
            sign,
        }
    }

    fn publish(&mut self) {
        let body = r#"{"name":"button_clicked","data":{"count":1}}"#;
        let answer = ask(&mut self.publisher, "/events", &self.sign, body);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }

    fn round(&mut self, subscribers: &mut Subscribers, options: &Options) -> Cost {
        let before = self.program.cpu_ns();
        for _ in 0..options.events {
            self.publish();
            subscribers.receive();
        }
        cost(before, self.program.cpu_ns(), options)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a few million deliveries at most"
)]
fn cost(before: (f64, f64), after: (f64, f64), options: &Options) -> Cost {
    let deliveries = (options.events * options.subscribers) as f64;
    Cost {
        of_loop: (after.0 - before.0) / deliveries,
        of_process: (after.1 - before.1) / deliveries,
    }
}

fn ask(stream: &mut TcpStream, path: &str, sign: &str, body: &str) -> String {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {sign}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    let mut answer = vec![0; 4096];
    let count = stream.read(&mut answer).expect("the server answers");
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_nodelay(true).expect("a socket option");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket option");
    stream
}

struct Subscribers(Vec<TcpStream>);

impl Subscribers {
    fn sse(server: &Server, count: usize) -> Self {
        let fields = "Accept: text/event-stream\r\n";
        Self::open(
            server.program.address,
            &server.sign,
            count,
            fields,
            b"retry: 2000\n\n",
        )
    }

    fn websocket(server: &Server, count: usize) -> Self {
        let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        Self::open(
            server.program.address,
            &server.sign,
            count,
            fields,
            b"\r\n\r\n",
        )
    }

    fn open(address: SocketAddr, sign: &str, count: usize, fields: &str, head_ends: &[u8]) -> Self {
        let streams = (0..count).map(|_| {
            let mut stream = connect(address);
            let request = format!(
                "GET /events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {sign}\r\n{fields}\r\n"
            );
            stream.write_all(request.as_bytes()).expect("the server reads");
            let mut head = Vec::new();
            while !head.ends_with(head_ends) {
                let mut bytes = [0; 1024];
                let count = stream.read(&mut bytes).expect("an answer");
                assert!(count > 0, "{}", String::from_utf8_lossy(&head));
                head.extend_from_slice(&bytes[..count]);
            }
            stream
        });
        Self(streams.collect())
    }

    /// Reads one event from each. The last is waited for, so that the reader is woken once and not a
    /// thousand times; the others have theirs by then. It is at one of the two ends.
    fn receive(&mut self) {
        let mut bytes = [0; 1024];
        for stream in [self.0.first(), self.0.last()].into_iter().flatten() {
            stream.peek(&mut bytes).expect("an event");
        }
        for stream in &mut self.0 {
            let mut count = stream.read(&mut bytes).expect("an event");
            let read = &bytes[..count];
            if read.starts_with(&PING) || read.ends_with(&PING) {
                stream.write_all(&PONG).expect("the server reads");
                if count == PING.len() {
                    count = stream.read(&mut bytes).expect("an event");
                }
            }
            assert!(count > 20, "the server ended a stream");
        }
    }

    fn event_bytes(&mut self, server: &mut Server) -> usize {
        server.publish();
        let mut bytes = [0; 1024];
        self.0
            .iter_mut()
            .map(|stream| stream.read(&mut bytes).expect("an event"))
            .max()
            .unwrap_or(0)
    }
}

struct Floor {
    program: Pinned,
    control: TcpStream,
    subscribers: Subscribers,
}

impl Floor {
    fn start(subscribers: usize, bytes: usize, sign: &str) -> Self {
        let mut command = Command::new("taskset");
        command
            .args(["-c", CORES.0])
            .arg(std::env::current_exe().expect("this program"))
            .args(["--floor", &subscribers.to_string(), &bytes.to_string()]);
        let program = Pinned::start(command);
        let control = connect(program.address);
        // The same request, so that the kernel has the same history with each of them.
        let subscribers = Subscribers::open(program.address, sign, subscribers, "", b"\r\n\r\n");
        Self {
            program,
            control,
            subscribers,
        }
    }

    fn round(&mut self, options: &Options) -> Cost {
        let before = self.program.cpu_ns();
        for _ in 0..options.events {
            self.control.write_all(b"!").expect("the floor reads");
            self.subscribers.receive();
        }
        cost(before, self.program.cpu_ns(), options)
    }
}

/// The floor: for each byte on the first connection, one `send` on each of the others.
fn floor(subscribers: usize, bytes: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!(
        "listening on http://{}",
        listener.local_addr().expect("an address")
    );
    let (mut control, _) = listener.accept().expect("the control connection");
    let mut streams: Vec<TcpStream> = (0..subscribers)
        .map(|_| {
            let (mut stream, _) = listener.accept().expect("a subscriber");
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).expect("a request");
            stream
                .write_all(b"HTTP/1.1 200 OK\r\n\r\n")
                .expect("an answer");
            stream.set_nodelay(true).expect("a socket option");
            stream
        })
        .collect();
    let event = vec![b'x'; bytes];
    let mut byte = [0];
    while control.read_exact(&mut byte).is_ok() {
        for stream in &mut streams {
            assert_eq!(stream.write(&event).expect("a send"), bytes);
        }
    }
}

/// Puts this process on the clients' core.
fn pin_self() {
    let id = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["-c", "-p", CORES.1, &id])
        .stdout(Stdio::null())
        .status();
    assert!(
        pinned.is_ok_and(|status| status.success()),
        "two cores and taskset (util-linux)"
    );
}
