//! A client that asks at a fixed rate, however slow the server is (an open loop).
//!
//! wrk waits for an answer before it asks again, so a server that stalls is asked less, and the stall
//! counts once instead of once for each client that would have come meanwhile (coordinated omission, Gil
//! Tene). Here each request is due at a time that was fixed before; what is measured is the time from
//! then to its answer, also where it had to wait for the one before on its connection.
//!
//! It never sleeps: it has a core to itself, and waking up would be measured as well.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// How long after the last request its answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is asked, and how often.
pub(crate) struct Rate<'r> {
    pub(crate) request: &'r str,
    pub(crate) connections: usize,
    pub(crate) per_s: f64,
    pub(crate) time: Duration,
}

/// What came of it.
pub(crate) struct Answered {
    /// Microseconds from when a request was due until it was answered.
    pub(crate) latency_us: Histogram<u64>,
    /// Microseconds by which requests were sent late although their connection was free: the client's
    /// own fault.
    pub(crate) lateness_us: Histogram<u64>,
}

struct Connection {
    stream: TcpStream,
    /// When those were due that wait for the one that is under way.
    waiting: VecDeque<Instant>,
    under_way: Option<Instant>,
    /// Bytes of the answer that are here.
    got: usize,
}

/// Connections that are there, before the first request.
pub(crate) struct Opened<'r> {
    rate: &'r Rate<'r>,
    answer_bytes: usize,
    poll: Poll,
    connections: Vec<Connection>,
}

impl Rate<'_> {
    /// Connects, and asks for as long as it was told.
    ///
    /// # Errors
    /// If an answer is not 200, or does not come.
    pub(crate) fn run(&self, address: SocketAddr) -> Result<Answered, String> {
        self.open(address)?.run()
    }

    fn say(&self, error: io::Error) -> String {
        format!("at {:.0} requests/s: {error}", self.per_s)
    }

    /// Connects.
    ///
    /// # Errors
    /// If that is refused.
    pub(crate) fn open(&self, address: SocketAddr) -> Result<Opened<'_>, String> {
        let answer_bytes =
            crate::program::ask(&mut crate::program::connect(address), self.request).len();
        let say = |error| self.say(error);
        let poll = Poll::new().map_err(say)?;
        let mut connections = Vec::new();
        for token in 0..self.connections {
            let stream = crate::program::connect(address);
            stream.set_nonblocking(true).map_err(say)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(token), Interest::READABLE)
                .map_err(say)?;
            connections.push(Connection {
                stream,
                waiting: VecDeque::new(),
                under_way: None,
                got: 0,
            });
        }
        Ok(Opened {
            rate: self,
            answer_bytes,
            poll,
            connections,
        })
    }
}

impl Opened<'_> {
    /// Asks, for as long as it was told.
    ///
    /// # Errors
    /// If an answer is not 200, or does not come.
    pub(crate) fn run(self) -> Result<Answered, String> {
        let Self {
            rate,
            answer_bytes,
            mut poll,
            mut connections,
        } = self;
        let say = |error| rate.say(error);
        let mut events = Events::with_capacity(1024);
        let mut answered = Answered {
            latency_us: Histogram::new(3).expect("3 digits are allowed"),
            lateness_us: Histogram::new(3).expect("3 digits are allowed"),
        };
        let begin = Instant::now();
        let total = (rate.per_s * rate.time.as_secs_f64()) as u64;
        let (mut asked, mut done) = (0, 0);
        while done < total {
            if begin.elapsed() > rate.time + PATIENCE {
                return Err(format!(
                    "{} of {total} requests were not answered",
                    total - done
                ));
            }
            // Each client that is due asks, in turn.
            while asked < total {
                let due = begin + Duration::from_secs_f64(asked as f64 / rate.per_s);
                let now = Instant::now();
                if due > now {
                    break;
                }
                let at = asked as usize % rate.connections;
                let connection = &mut connections[at];
                if connection.under_way.is_none() {
                    answered
                        .lateness_us
                        .saturating_record((now - due).as_micros() as u64);
                    connection.ask(rate.request, due).map_err(say)?;
                } else {
                    connection.waiting.push_back(due);
                }
                asked += 1;
            }
            poll.poll(&mut events, Some(Duration::ZERO)).map_err(say)?;
            for event in &events {
                let connection = &mut connections[event.token().0];
                if let Some(due) = connection.read(answer_bytes).map_err(say)? {
                    let latency = due.elapsed().as_micros() as u64;
                    answered.latency_us.saturating_record(latency);
                    done += 1;
                    if let Some(next) = connection.waiting.pop_front() {
                        connection.ask(rate.request, next).map_err(say)?;
                    }
                }
            }
        }
        Ok(answered)
    }
}

impl Connection {
    fn ask(&mut self, request: &str, due: Instant) -> io::Result<()> {
        self.under_way = Some(due);
        self.stream.write_all(request.as_bytes()) // it is small, and nothing else is on its way
    }

    /// When the request was due, once its answer is whole.
    fn read(&mut self, answer_bytes: usize) -> io::Result<Option<Instant>> {
        let mut bytes = [0; 4096];
        let count = match self.stream.read(&mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_good = |head: &[u8]| head.starts_with(b"HTTP/1.1 200");
        if count == 0 || (self.got == 0 && !is_good(&bytes[..count])) {
            let answer = String::from_utf8_lossy(&bytes[..count]).into_owned();
            return Err(io::Error::other(format!("answered {answer:?}")));
        }
        self.got += count;
        if self.got < answer_bytes {
            return Ok(None);
        }
        self.got = 0;
        Ok(self.under_way.take())
    }
}
