//! The client that behaves.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Between two requests.
const INTERVAL: Duration = Duration::from_millis(5);
/// Every so many requests come on a new connection.
const NEW_EVERY: u32 = 10;
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Witness {
    pub(crate) address: SocketAddr,
    pub(crate) sign: String,
    /// Whether it opens new connections, too: where no client gets one, it cannot.
    pub(crate) new_connections: bool,
    /// Whether 503 for a login is what is to be expected.
    pub(crate) busy_logins: bool,
}

/// What it has seen.
pub(crate) struct Seen {
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) failed: usize,
    /// Logins that were answered 503 where that is to be expected.
    pub(crate) busy: usize,
    /// Of the last failure.
    pub(crate) why: String,
}

impl Seen {
    fn nothing() -> Self {
        Self {
            // Up to a minute, which is longer than any client waits here.
            latency_us: Histogram::new_with_max(60_000_000, 3).expect("3 digits are allowed"),
            failed: 0,
            busy: 0,
            why: String::new(),
        }
    }

    fn note(&mut self, due: Instant, result: io::Result<u16>) {
        match result {
            Ok(200) => {
                let us = due.elapsed().as_micros() as u64;
                self.latency_us.saturating_record(us.max(1));
            }
            Ok(status) => self.fails(format!("status {status}")),
            Err(error) => self.fails(error.to_string()),
        }
    }

    fn fails(&mut self, why: String) {
        self.failed += 1;
        self.why = why;
    }
}

impl Witness {
    /// Asks at a fixed rate until told to stop, and at least for so long.
    pub(crate) fn watch(&self, stop: &AtomicBool, at_least: Duration) -> Seen {
        let mut seen = Seen::nothing();
        let healthz = "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n";
        let session = format!(
            "GET /session HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
            self.sign
        );
        let (began, mut kept) = (Instant::now(), connect(self.address).ok());
        for number in 0_u32.. {
            let due = began + INTERVAL * number;
            if stop.load(Ordering::Relaxed) && (at_least == Duration::MAX || due - began > at_least)
            {
                break;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let request = if number.is_multiple_of(2) {
                healthz
            } else {
                &session
            };
            let result = if self.new_connections && number.is_multiple_of(NEW_EVERY) {
                connect(self.address).and_then(|mut new| ask(&mut new, request))
            } else if let Some(stream) = &mut kept {
                ask(stream, request)
            } else {
                Err(io::ErrorKind::NotConnected.into())
            };
            if result.is_err() {
                kept = connect(self.address).ok();
            }
            seen.note(due, result);
        }
        seen
    }

    /// Logs in once a second.
    pub(crate) fn log_in_now_and_then(&self, stop: &AtomicBool) -> Seen {
        let mut seen = Seen::nothing();
        let body = r#"{"username":"alice","password":"password"}"#;
        let request = format!(
            "POST /login HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = connect(self.address);
        while !stop.load(Ordering::Relaxed) {
            let due = Instant::now();
            let result = match &mut stream {
                Ok(stream) => ask(stream, &request),
                Err(error) => Err(error.kind().into()),
            };
            if result.is_err() {
                stream = connect(self.address);
            }
            if self.busy_logins && matches!(result, Ok(503)) {
                seen.busy += 1;
            } else {
                seen.note(due, result);
            }
            while due.elapsed() < Duration::from_secs(1) && !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        seen
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The status of the answer, once it is whole.
fn ask(stream: &mut TcpStream, request: &str) -> io::Result<u16> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&bytes[..count]);
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let value = name.eq_ignore_ascii_case("content-length").then_some(value);
            value?.parse::<usize>().ok()
        });
        if body.len() >= length.unwrap_or(0) {
            let status = head.get(9..12).and_then(|text| text.parse().ok());
            return status.ok_or_else(|| io::ErrorKind::InvalidData.into());
        }
    }
}
