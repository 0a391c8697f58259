//! The attacks. Each goes on until its time is over, leaves nothing behind on this side, and says in a
//! sentence what it did.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, SockRef, Socket, Type};

/// Where an attack takes place.
pub(crate) struct Scene<'s> {
    pub(crate) address: SocketAddr,
    /// A session of an administrator's.
    pub(crate) sign: String,
    pub(crate) id: u32,
    pub(crate) folder: &'s Path,
    pub(crate) until: Instant,
    pub(crate) seconds: u64,
}

pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// More options of the server's.
    pub(crate) options: &'static [&'static str],
    /// What the server is run by, in front of it.
    pub(crate) under: &'static [&'static str],
    /// Whether the witness can open new connections meanwhile.
    pub(crate) new_connections: bool,
    /// Whether the witness's logins may be answered 503 meanwhile.
    pub(crate) busy_logins: bool,
    pub(crate) run: fn(&Scene<'_>) -> Result<String, String>,
}

const PLAIN: Attack = Attack {
    name: "",
    what: "",
    options: &[],
    under: &[],
    new_connections: true,
    busy_logins: false,
    run: nothing,
};

pub(crate) const ATTACKS: &[Attack] = &[
    Attack {
        name: "none",
        what: "no attacker",
        ..PLAIN
    },
    Attack {
        name: "slow-heads",
        what: "1,000 connections whose heads never end (slowhttptest -H)",
        run: |scene| slowhttptest(scene, &["-H", "-i", "1", "-x", "24"]),
        ..PLAIN
    },
    Attack {
        name: "slow-bodies",
        what: "1,000 connections whose bodies never end (slowhttptest -B)",
        run: |scene| slowhttptest(scene, &["-B", "-i", "1", "-s", "8192", "-x", "24"]),
        ..PLAIN
    },
    Attack {
        name: "slow-reads",
        what: "1,000 connections that read a few bytes a second (slowhttptest -X)",
        run: |scene| {
            slowhttptest(
                scene,
                &[
                    "-X", "-w", "10", "-y", "20", "-n", "1", "-z", "5", "-k", "5",
                ],
            )
        },
        ..PLAIN
    },
    Attack {
        name: "never-reads",
        what: "500 connections that send 1,000 requests each and read nothing",
        run: never_reads,
        ..PLAIN
    },
    Attack {
        name: "idle",
        what: "10,000 idle connections beside 100 that ask 10 times a second",
        options: &["--connections-max", "12000"],
        run: idle,
        ..PLAIN
    },
    Attack {
        name: "churn",
        what: "connections that ask once and end, as fast as they go",
        run: |scene| churn(scene, false),
        ..PLAIN
    },
    Attack {
        name: "resets",
        what: "the same, but each is reset",
        run: |scene| churn(scene, true),
        ..PLAIN
    },
    Attack {
        name: "malformed",
        what: "malformed heads, each on a connection of its own, as fast as they go",
        run: malformed,
        ..PLAIN
    },
    Attack {
        name: "large-pieces",
        what: "4,000 connections that send a body up to its last byte, 60 kB each",
        run: large_pieces,
        ..PLAIN
    },
    Attack {
        name: "guesses",
        what: "wrong passwords for random names from 16 addresses, one at a time each",
        run: |scene| guesses(scene, 16),
        ..PLAIN
    },
    Attack {
        name: "many-guesses",
        what: "the same from 200 addresses at once, which is more than there are places for hashes",
        busy_logins: true,
        run: |scene| guesses(scene, 200),
        ..PLAIN
    },
    Attack {
        name: "good-logins",
        what: "one user with a good password logs in 100 times at once",
        run: good_logins,
        ..PLAIN
    },
    Attack {
        name: "fragments",
        what: "five WebSockets that send messages of one-byte fragments without end, and pings",
        run: fragments,
        ..PLAIN
    },
    Attack {
        name: "deaf-subscribers",
        what: "25 subscribers of five sessions that never read, while 1 kB events are published as fast as they go",
        run: deaf_subscribers,
        ..PLAIN
    },
    Attack {
        name: "descriptors",
        what: "400 connections to a server that has 200 descriptors",
        under: &["prlimit", "--nofile=200:200"],
        new_connections: false,
        run: descriptors,
        ..PLAIN
    },
    Attack {
        name: "log-full",
        what: "the log's disk is full from the start, and every request is to be logged (churn)",
        options: &["--log", "/dev/full"],
        under: &["env", "RUST_LOG=info"],
        run: |scene| churn(scene, false),
        ..PLAIN
    },
    Attack {
        name: "stopped",
        what: "SIGSTOP for a second, SIGCONT, again and again",
        run: stopped,
        ..PLAIN
    },
    Attack {
        name: "clock",
        what: "the wall clock is set back by two hours (libfaketime)",
        under: &[
            "env",
            "LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_TIMESTAMP_FILE=FOLDER/time",
        ],
        run: clock,
        ..PLAIN
    },
];

fn nothing(scene: &Scene<'_>) -> Result<String, String> {
    thread::sleep(scene.until - Instant::now());
    Ok(String::new())
}

fn slowhttptest(scene: &Scene<'_>, how: &[&str]) -> Result<String, String> {
    let target = if how[0] == "-B" { "login" } else { "" };
    let mut command = Command::new("slowhttptest");
    command
        .args(how)
        .args(["-c", "1000", "-r", "1000", "-p", "5"]);
    command.args(["-l", &scene.seconds.to_string()]);
    command.args(["-u", &format!("http://{}/{target}", scene.address)]);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("slowhttptest: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let state = |name: &str| {
        let line = said.lines().rev().find(|line| line.contains(name));
        let number = line.and_then(|line| line.split_whitespace().last());
        number
            .unwrap_or("?")
            .trim_matches(|c: char| !c.is_ascii_digit())
            .to_owned()
    };
    Ok(format!(
        "At its end slowhttptest had {} connections open and {} closed; the service was available: {}.",
        state("connected:"),
        state("closed:"),
        if said.contains("NO") { "no" } else { "yes" },
    ))
}

/// Runs the same in several threads.
fn at_once<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || work(n))).collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    })
}

fn connect(scene: &Scene<'_>) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&scene.address, Duration::from_secs(2))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.set_write_timeout(Some(Duration::from_millis(100)))?;
    Ok(stream)
}

/// Some loopback address other than the usual one.
fn connect_from(scene: &Scene<'_>, number: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let from = Ipv4Addr::new(
        127,
        1 + (number >> 16) as u8,
        (number >> 8) as u8,
        number as u8,
    );
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&scene.address.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// The status of an answer, read in one go.
fn ask(stream: &mut TcpStream, request: &[u8]) -> io::Result<u16> {
    stream.write_all(request)?;
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes)?;
    let head = String::from_utf8_lossy(&bytes[..count]);
    let status = head.get(9..12).and_then(|text| text.parse().ok());
    status.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

fn login(name: &str, password: &str) -> Vec<u8> {
    let body = format!(r#"{{"username":"{name}","password":"{password}"}}"#);
    format!(
        "POST /login HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Statuses, and how often.
fn counted(statuses: impl IntoIterator<Item = Option<u16>>) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for status in statuses {
        let name = status.map_or("none".to_owned(), |status| status.to_string());
        *counts.entry(name).or_default() += 1;
    }
    let each = counts
        .iter()
        .map(|(status, count)| format!("{count} × {status}"));
    each.collect::<Vec<_>>().join(", ")
}

fn never_reads(scene: &Scene<'_>) -> Result<String, String> {
    let requests = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
    let mut streams = Vec::new();
    for _ in 0..500 {
        let mut stream = connect(scene).map_err(|error| error.to_string())?;
        stream
            .set_nonblocking(true)
            .map_err(|error| error.to_string())?;
        let _ = stream.write(&requests);
        streams.push(stream);
    }
    nothing(scene)?;
    Ok(format!("{} connections at once.", streams.len()))
}

fn idle(scene: &Scene<'_>) -> Result<String, String> {
    let mut idle = Vec::new();
    while idle.len() < 10_000 {
        let stream = TcpStream::connect(scene.address);
        idle.push(stream.map_err(|error| format!("after {}: {error}", idle.len()))?);
    }
    let mut active = Vec::new();
    while active.len() < 100 {
        active.push(connect(scene).map_err(|error| error.to_string())?);
    }
    let (mut asked, mut failed) = (0, 0);
    while Instant::now() < scene.until {
        for stream in &mut active {
            asked += 1;
            let answer = ask(stream, b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
            failed += usize::from(!matches!(answer, Ok(200)));
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(format!("The 100 asked {asked} times, and {failed} failed."))
}

fn churn(scene: &Scene<'_>, reset: bool) -> Result<String, String> {
    let counts = at_once(2, |_| {
        let mut count = 0_u64;
        while Instant::now() < scene.until {
            let Ok(mut stream) = connect(scene) else {
                continue;
            };
            if reset {
                let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
                let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            } else {
                let _ = ask(
                    &mut stream,
                    b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                );
            }
            count += 1;
        }
        count
    });
    Ok(format!("{} connections.", counts.iter().sum::<u64>()))
}

fn malformed(scene: &Scene<'_>) -> Result<String, String> {
    let heads: [&[u8]; 8] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
        b"NONSENSE / HTTP/1.1\r\nHost: h\r\nX: \x00\r\n\r\n",
    ];
    let statuses = at_once(2, |thread| {
        let mut statuses = Vec::new();
        while Instant::now() < scene.until {
            let head = heads[(statuses.len() + thread) % heads.len()];
            let answer = connect(scene).and_then(|mut stream| ask(&mut stream, head));
            statuses.push(answer.ok());
        }
        statuses
    });
    Ok(format!(
        "Answers: {}.",
        counted(statuses.into_iter().flatten())
    ))
}

fn large_pieces(scene: &Scene<'_>) -> Result<String, String> {
    let mut request = b"POST /login HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 60001\r\n\r\n".to_vec();
    request.resize(request.len() + 60_000, b' ');
    let mut streams = Vec::new();
    while streams.len() < 4000 && Instant::now() < scene.until {
        let mut stream = connect(scene).map_err(|error| error.to_string())?;
        let _ = stream.write_all(&request);
        streams.push(stream);
    }
    nothing(scene).or_else(|_| Ok::<_, String>(String::new()))?;
    let sent = streams.len();
    let mut refused = 0;
    for stream in &mut streams {
        let _ = stream.set_nonblocking(true);
        refused += usize::from(matches!(stream.read(&mut [0; 16]), Ok(1..)));
    }
    Ok(format!(
        "Of {sent} bodies {refused} were answered 503, or 408."
    ))
}

fn guesses(scene: &Scene<'_>, addresses: usize) -> Result<String, String> {
    let statuses = Mutex::new(Vec::new());
    at_once(addresses, |thread| {
        let mut round = 0;
        while Instant::now() < scene.until {
            round += 1;
            // An address is refused after fifty failures.
            let number = thread + addresses * (round / 40);
            let attempt = login(&format!("nobody{thread}-{round}"), "wrong");
            let answer = connect_from(scene, number).and_then(|mut s| ask(&mut s, &attempt));
            if !matches!(answer, Ok(401)) {
                thread::sleep(Duration::from_millis(20)); // or it would only measure how fast it is refused
            }
            statuses.lock().expect("no panic").push(answer.ok());
        }
    });
    let statuses = statuses.into_inner().expect("no panic");
    Ok(format!("Answers: {}.", counted(statuses)))
}

fn good_logins(scene: &Scene<'_>) -> Result<String, String> {
    let statuses = at_once(100, |_| {
        let mut statuses = Vec::new();
        let attempt = login("mallory", "password");
        while Instant::now() < scene.until {
            let answer = connect(scene).and_then(|mut stream| {
                stream.set_read_timeout(Some(Duration::from_secs(10)))?;
                ask(&mut stream, &attempt)
            });
            if matches!(answer, Ok(429)) {
                thread::sleep(Duration::from_millis(50));
            }
            statuses.push(answer.ok());
        }
        statuses
    });
    Ok(format!(
        "Answers: {}.",
        counted(statuses.into_iter().flatten())
    ))
}

/// Sessions of mallory's.
fn signs(scene: &Scene<'_>, count: usize) -> Result<Vec<String>, String> {
    let each = (0..count).map(|_| {
        let mut stream = connect(scene).map_err(|error| error.to_string())?;
        stream
            .write_all(&login("mallory", "password"))
            .map_err(|e| e.to_string())?;
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).map_err(|error| error.to_string())?;
        let answer = String::from_utf8_lossy(&bytes[..count]);
        let sign = answer.split("\"user_sign\":\"").nth(1);
        let sign = sign.and_then(|rest| rest.split('"').next());
        sign.map(str::to_owned)
            .ok_or_else(|| format!("no login: {answer}"))
    });
    each.collect()
}

fn fragments(scene: &Scene<'_>) -> Result<String, String> {
    const FRAME_BYTES: u64 = 7;
    let signs = signs(scene, 5)?;
    // Not final, one byte, masked with zeros; then pings.
    let first: &[u8] = &[0x01, 0x81, 0, 0, 0, 0, b'x'];
    let mut flood = [0x00_u8, 0x81, 0, 0, 0, 0, b'x'].repeat(512);
    flood.extend([0x89_u8, 0x81, 0, 0, 0, 0, b'x'].repeat(64));
    let counts = at_once(signs.len(), |thread| {
        let open = format!(
            "GET /events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            signs[thread]
        );
        let (mut opened, mut sent) = (0_u64, 0_u64);
        while Instant::now() < scene.until {
            let Ok(mut stream) = connect(scene) else {
                continue;
            };
            if !matches!(ask(&mut stream, open.as_bytes()), Ok(101)) {
                thread::sleep(Duration::from_millis(5));
                continue;
            }
            opened += 1;
            let _ = stream.write_all(first);
            let _ = stream.set_nonblocking(true);
            let (mut drain, mut at) = (vec![0; 16 * 1024], 0);
            while Instant::now() < scene.until {
                match stream.write(&flood[at..]) {
                    Ok(count) => {
                        sent += count as u64;
                        at = (at + count) % flood.len(); // a frame that was cut goes on
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        thread::sleep(Duration::from_millis(1));
                    }
                    Err(_) => break,
                }
                if matches!(stream.read(&mut drain), Ok(0)) {
                    break;
                }
            }
        }
        (opened, sent)
    });
    let opened: u64 = counts.iter().map(|(opened, _)| opened).sum();
    let sent: u64 = counts.iter().map(|(_, sent)| sent).sum();
    Ok(format!(
        "{} frames on {opened} connections.",
        sent / FRAME_BYTES
    ))
}

fn deaf_subscribers(scene: &Scene<'_>) -> Result<String, String> {
    let mut deaf = Vec::new();
    for sign in signs(scene, 5)? {
        for _ in 0..5 {
            let mut stream = connect(scene).map_err(|error| error.to_string())?;
            let request = format!(
                "GET /events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {sign}\r\nAccept: text/event-stream\r\n\r\n"
            );
            let status = ask(&mut stream, request.as_bytes());
            if !matches!(status, Ok(200)) {
                return Err(format!("a subscriber got {status:?}"));
            }
            deaf.push(stream);
        }
    }
    // To mallory, who hears nothing of what is not theirs.
    let data = "x".repeat(1000);
    let body = format!(r#"{{"name":"noise","user_id":"3","data":"{data}"}}"#);
    let request = format!(
        "POST /events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        scene.sign,
        body.len()
    );
    let statuses = at_once(4, |_| {
        let mut statuses = Vec::new();
        let mut stream = connect(scene).expect("it accepts");
        while Instant::now() < scene.until {
            statuses.push(ask(&mut stream, request.as_bytes()).ok());
        }
        statuses
    });
    Ok(format!(
        "{} of them deaf; publications: {}.",
        deaf.len(),
        counted(statuses.into_iter().flatten())
    ))
}

fn descriptors(scene: &Scene<'_>) -> Result<String, String> {
    let mut streams = Vec::new();
    while streams.len() < 400 {
        streams.push(TcpStream::connect(scene.address).map_err(|error| error.to_string())?);
    }
    nothing(scene)?;
    let open = std::fs::read_dir(format!("/proc/{}/fd", scene.id)).map_or(0, Iterator::count);
    Ok(format!(
        "It had {open} descriptors at the end; the others waited in the kernel."
    ))
}

fn stopped(scene: &Scene<'_>) -> Result<String, String> {
    let id = Pid::from_raw(scene.id.cast_signed()).ok_or("no process")?;
    let mut times = 0;
    while Instant::now() + Duration::from_secs(1) < scene.until {
        kill_process(id, Signal::STOP).map_err(|error| error.to_string())?;
        thread::sleep(Duration::from_secs(1));
        kill_process(id, Signal::CONT).map_err(|error| error.to_string())?;
        times += 1;
        thread::sleep(Duration::from_millis(500));
    }
    Ok(format!("{times} times."))
}

fn clock(scene: &Scene<'_>) -> Result<String, String> {
    let second = Duration::from_secs(1);
    thread::sleep(second);
    std::fs::write(scene.folder.join("time"), "-2h\n").map_err(|error| error.to_string())?;
    nothing(scene)?;
    let mut stream = connect(scene).map_err(|error| error.to_string())?;
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut bytes = [0; 4096];
    let count = stream.read(&mut bytes).map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&bytes[..count]).into_owned();
    let date = answer.lines().find_map(|line| line.strip_prefix("Date: "));
    let date = date.or(answer.lines().find_map(|line| line.strip_prefix("date: ")));
    let date = date.and_then(|text| httpdate::parse_http_date(text).ok());
    let behind = date
        .and_then(|date| date.elapsed().ok())
        .unwrap_or_default();
    if behind < Duration::from_secs(3600) {
        return Err("libfaketime did not set the clock".into());
    }
    Ok("Sessions from before went on, and new logins were good.".into())
}
