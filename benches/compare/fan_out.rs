//! What does one event cost that goes to a thousand subscribers?
//!
//! The floor is a program that does nothing but one `send` per subscriber, of as many bytes as the event
//! has on the wire. The server gets an event by `POST /events`, commits it, and sends it to its
//! subscribers, which are read from the client's core. Connections stay open throughout, since the kernel
//! treats young ones differently, and there is a server for each kind, since an event goes to all who are
//! there.
//!
//! What would surprise: the kernel's side of a `send` on loopback includes receiving it, so a delivery
//! costs microseconds in every program, and the program's own part disappears in it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, ExitCode};

use crate::Options;
use crate::peers::Kitchen;
use crate::program::{Cpu, Program, ask, connect, log_in};
use crate::report::{Section, Table};
use crate::spread::Spread;

const SUBSCRIBERS: usize = 1_000;
/// In a round.
const EVENTS: usize = 50;
/// A round takes a third of a second: there is time for more of them than of others.
const ROUNDS_PER_ROUND: usize = 9;

/// A WebSocket is asked now and then whether it is there (RFC 6455, section 5.5.2), and says so.
const PING: [u8; 2] = [0x89, 0];
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

pub(crate) fn measure(kitchen: &Kitchen, options: &Options) -> Result<Section, String> {
    let mut sse_server = Server::start(kitchen)?;
    let mut websocket_server = Server::start(kitchen)?;
    let mut sse = Subscribers::sse(&sse_server);
    let bytes = sse.event_bytes(&mut sse_server);
    let mut websockets = Subscribers::websocket(&websocket_server);
    let mut floor = Floor::start(kitchen, bytes, &sse_server.sign)?;
    let mut rows: [(&str, Vec<Cost>); 3] = [
        ("one `send` each", vec![]),
        ("SSE", vec![]),
        ("WebSocket", vec![]),
    ];
    for _ in 0..options.rounds * ROUNDS_PER_ROUND {
        rows[0].1.push(floor.round());
        rows[1].1.push(sse_server.round(&mut sse));
        rows[2].1.push(websocket_server.round(&mut websockets));
    }
    let floors = rows[0].1.clone();
    let mut table = Table::new(&[
        "subscribers",
        "CPU ns per delivery, the loop",
        "× floor",
        "× floor, all threads",
    ]);
    for (name, costs) in &rows {
        let ratio = |of: fn(&Cost) -> f64| {
            let pairs = costs.iter().zip(&floors);
            Spread::of(pairs.map(|(cost, floor)| of(cost) / floor.all_ns)).show(3)
        };
        table.row([
            (*name).to_owned(),
            Spread::of(costs.iter().map(|cost| cost.main_ns)).show(0),
            ratio(|cost| cost.main_ns),
            ratio(|cost| cost.all_ns),
        ]);
    }
    Ok(Section {
        title: "One event to 1,000 subscribers".into(),
        question: format!(
            "An event is posted, committed (to a store in memory) and delivered to {SUBSCRIBERS} \
             subscribers; {bytes} bytes each. The floor sends that many bytes to as many connections, \
             and does nothing else. {} rounds of {EVENTS} events.",
            rows[0].1.len()
        ),
        tables: vec![table],
        notes: vec![
            "\"All threads\" has the storage thread in it, which commits each event.".into(),
        ],
        chart: None,
    })
}

/// CPU time per delivery, in nanoseconds.
#[derive(Clone, Copy)]
struct Cost {
    main_ns: f64,
    all_ns: f64,
}

fn cost(before: Cpu, after: Cpu) -> Cost {
    let deliveries = (EVENTS * SUBSCRIBERS) as f64;
    Cost {
        main_ns: (after.main_ns - before.main_ns) / deliveries,
        all_ns: (after.all_ns - before.all_ns) / deliveries,
    }
}

struct Server {
    program: Program,
    publisher: TcpStream,
    sign: String,
}

impl Server {
    fn start(kitchen: &Kitchen) -> Result<Self, String> {
        let count = SUBSCRIBERS.to_string();
        let command = Kitchen::loopgate(&["--demo", "--streams-per-session-max", &count]);
        let program = Program::start(&command, Some(kitchen.cores))?;
        let (sign, publisher) = (log_in(program.address), connect(program.address));
        Ok(Self {
            program,
            publisher,
            sign,
        })
    }

    fn publish(&mut self) {
        let body = r#"{"name":"button_clicked","data":{"count":1}}"#;
        let request = format!(
            "POST /events HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.sign,
            body.len()
        );
        let answer = ask(&mut self.publisher, &request);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }

    fn round(&mut self, subscribers: &mut Subscribers) -> Cost {
        let before = self.program.cpu();
        for _ in 0..EVENTS {
            self.publish();
            subscribers.receive();
        }
        cost(before, self.program.cpu())
    }
}

struct Subscribers(Vec<TcpStream>);

impl Subscribers {
    fn sse(server: &Server) -> Self {
        let fields = "Accept: text/event-stream\r\n";
        let head_ends = b"retry: 2000\n\n";
        Self::open(server.program.address, &server.sign, fields, head_ends)
    }

    fn websocket(server: &Server) -> Self {
        let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        Self::open(server.program.address, &server.sign, fields, b"\r\n\r\n")
    }

    fn open(address: SocketAddr, sign: &str, fields: &str, head_ends: &[u8]) -> Self {
        let streams = (0..SUBSCRIBERS).map(|_| {
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
    program: Program,
    control: TcpStream,
    subscribers: Subscribers,
}

impl Floor {
    fn start(kitchen: &Kitchen, bytes: usize, sign: &str) -> Result<Self, String> {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--fan-out-floor", &bytes.to_string()]);
        let program = Program::start(&command, Some(kitchen.cores))?;
        let control = connect(program.address);
        // The same request, so that the kernel has the same history with each of them.
        let subscribers = Subscribers::open(program.address, sign, "", b"\r\n\r\n");
        Ok(Self {
            program,
            control,
            subscribers,
        })
    }

    fn round(&mut self) -> Cost {
        let before = self.program.cpu();
        for _ in 0..EVENTS {
            self.control.write_all(b"!").expect("the floor reads");
            self.subscribers.receive();
        }
        cost(before, self.program.cpu())
    }
}

/// The floor: for each byte on the first connection, one `send` on each of the others.
pub(crate) fn floor(arguments: &[String]) -> ExitCode {
    let bytes = arguments[0].parse().expect("a number of bytes");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!(
        "listening on http://{}",
        listener.local_addr().expect("an address")
    );
    let (mut control, _) = listener.accept().expect("the control connection");
    let mut streams: Vec<TcpStream> = (0..SUBSCRIBERS)
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
    ExitCode::SUCCESS
}
