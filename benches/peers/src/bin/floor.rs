//! The floor of system calls: what any HTTP server on epoll pays, and nothing else.
//!
//! One recv(2) and one send(2) for each ready connection, without a parser: it counts the heads that
//! end in what it read and sends as many fixed answers. Edge-triggered and registered once, so there
//! is no epoll_ctl(2) per request; a short read proves that the socket is drained, so there is no
//! second recv(2). It reads no header, not even `Connection: close`.
//!
//! `floor [--answer FILE] [--close] [--second-thread]`: the bytes that answer each request, whether to
//! close a connection after its first answers, and whether to have a second thread that does nothing.

use std::error::Error;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::{env, fs, io, thread};

use loopgate_peers::HEALTHZ;
use memchr::memmem::Finder;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags};

const HEAD_END: &[u8; 4] = b"\r\n\r\n";
const BUFFER_BYTES: usize = 64 * 1024;
/// Answers that one send takes without a copy.
const COPIES: usize = 64;
const EVENTS_MAX: usize = 1024;
/// The listening socket among the events; all others are file descriptors.
const LISTENER: u64 = u64::MAX;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut answer, mut close) = (None, false);
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--answer" => answer = Some(fs::read(args.next().ok_or("--answer needs a file")?)?),
            "--close" => close = true,
            // Nothing but being there: the kernel then counts the users of a descriptor, in every call.
            "--second-thread" => drop(thread::spawn(|| {
                loop {
                    thread::park()
                }
            })),
            _ => return Err(format!("unknown option {arg}").into()),
        }
    }
    let answer = answer.unwrap_or_else(|| built_in_answer(close));
    if answer.is_empty() {
        return Err("the answer is empty".into());
    }
    let listener = loopgate_peers::listen()?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    // Level-triggered: what one round leaves, the next finds.
    epoll::add(
        &epoll,
        &listener,
        EventData::new_u64(LISTENER),
        EventFlags::IN,
    )?;
    loopgate_peers::announce(listener.local_addr()?)?;

    let mut shared = Shared {
        epoll,
        finder: Finder::new(HEAD_END),
        answers: answer.repeat(COPIES),
        answer_bytes: answer.len(),
        close,
        buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
    };
    // By file descriptor, which the kernel keeps small.
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let nothing = Event {
        flags: EventFlags::empty(),
        data: EventData::new_u64(0),
    };
    let mut events = vec![nothing; EVENTS_MAX];
    loop {
        let ready = match epoll::wait(&shared.epoll, events.as_mut_slice(), None) {
            Ok(ready) => ready,
            Err(Errno::INTR) => continue,
            Err(why) => return Err(why.into()),
        };
        for event in &events[..ready] {
            let data = event.data.u64();
            if data == LISTENER {
                accept_all(&listener, &shared.epoll, &mut connections)?;
                continue;
            }
            let slot = &mut connections[data as usize];
            if let Some(connection) = slot
                && !connection.serve(event.flags, &mut shared)
            {
                // Closes the socket, which also leaves the epoll.
                *slot = None;
            }
        }
    }
}

fn built_in_answer(close: bool) -> Vec<u8> {
    let connection = if close { "Connection: close\r\n" } else { "" };
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\
         Content-Length: {}\r\nDate: Sun, 22 Nov 2026 05:48:00 GMT\r\n{connection}\r\n{HEALTHZ}",
        HEALTHZ.len()
    )
    .into_bytes()
}

fn accept_all(
    listener: impl AsFd,
    epoll: &OwnedFd,
    connections: &mut Vec<Option<Connection>>,
) -> io::Result<()> {
    loop {
        let socket = match net::accept_with(&listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
        {
            Ok(socket) => socket,
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            Err(why) => return Err(why.into()),
        };
        let index = socket.as_raw_fd() as usize;
        epoll::add(epoll, &socket, EventData::new_u64(index as u64), READING)?;
        if connections.len() <= index {
            connections.resize_with(index + 1, || None);
        }
        connections[index] = Some(Connection {
            socket,
            seen: 0,
            owed: 0,
            begun: 0,
            waits: false,
        });
    }
}

const READING: EventFlags = EventFlags::IN
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);
const WRITING: EventFlags = READING.union(EventFlags::OUT);
/// The peer has sent its last byte, or is gone.
const ENDED: EventFlags = EventFlags::RDHUP
    .union(EventFlags::HUP)
    .union(EventFlags::ERR);

/// What all connections use, one after the other.
struct Shared {
    epoll: OwnedFd,
    finder: Finder<'static>,
    /// The answer, [`COPIES`] times.
    answers: Vec<u8>,
    answer_bytes: usize,
    close: bool,
    buffer: Box<[u8]>,
}

struct Connection {
    socket: OwnedFd,
    /// How much of [`HEAD_END`] the bytes so far end with.
    seen: usize,
    /// Answers not yet sent in full.
    owed: usize,
    /// Bytes of the first of them that are sent already.
    begun: usize,
    /// The socket took less than it was given; the rest goes when it is writable again.
    waits: bool,
}

impl Connection {
    /// Does what can be done now; returns whether the connection lives on.
    fn serve(&mut self, flags: EventFlags, shared: &mut Shared) -> bool {
        if self.waits {
            match self.send_owed(shared) {
                Ok(true) if shared.close => return false,
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false,
            }
            self.waits = false;
            if self.register(READING, shared).is_err() {
                return false;
            }
        }
        loop {
            let read = match net::recv(&self.socket, &mut *shared.buffer, RecvFlags::empty()) {
                Ok((0, _)) => return false,
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return true,
                Err(Errno::INTR) => continue,
                Err(_) => return false,
            };
            self.owed += count_heads(&shared.finder, &mut self.seen, &shared.buffer[..read]);
            if self.owed > 0 {
                match self.send_owed(shared) {
                    Ok(true) if shared.close => return false,
                    Ok(true) => {}
                    Ok(false) => {
                        // No more is read before this is sent: a client that does not read is not served.
                        self.waits = true;
                        return self.register(WRITING, shared).is_ok();
                    }
                    Err(_) => return false,
                }
            }
            // An end that came with these bytes was part of this edge and is not announced again.
            if read < shared.buffer.len() && !flags.intersects(ENDED) {
                return true;
            }
        }
    }

    /// Returns whether everything is sent.
    fn send_owed(&mut self, shared: &Shared) -> Result<bool, Errno> {
        while self.owed > 0 {
            let end = self.owed.min(COPIES) * shared.answer_bytes;
            let bytes = &shared.answers[self.begun..end];
            let sent = match net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => sent,
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => continue,
                Err(why) => return Err(why),
            };
            let done = self.begun + sent;
            self.owed -= done / shared.answer_bytes;
            self.begun = done % shared.answer_bytes;
        }
        Ok(true)
    }

    /// Reports what is ready already, too, so no edge is lost in between.
    fn register(&self, flags: EventFlags, shared: &Shared) -> Result<(), Errno> {
        let data = EventData::new_u64(self.socket.as_raw_fd() as u64);
        epoll::modify(&shared.epoll, &self.socket, data, flags)
    }
}

/// How many heads end in `bytes`. `seen` carries a terminator that is cut in two over to the next
/// call.
fn count_heads(finder: &Finder, seen: &mut usize, bytes: &[u8]) -> usize {
    let mut heads = 0;
    let mut rest = bytes;
    while *seen > 0
        && let [byte, after @ ..] = rest
    {
        heads += usize::from(step(seen, *byte));
        rest = after;
    }
    while let Some(at) = finder.find(rest) {
        heads += 1;
        rest = &rest[at + HEAD_END.len()..];
    }
    // What is left holds no whole terminator, so its beginning is in the last three bytes.
    for byte in &rest[rest.len().saturating_sub(HEAD_END.len() - 1)..] {
        step(seen, *byte);
    }
    heads
}

/// One byte further; returns whether it completes a terminator.
fn step(seen: &mut usize, byte: u8) -> bool {
    if byte == HEAD_END[*seen] {
        *seen = (*seen + 1) % HEAD_END.len();
        *seen == 0
    } else {
        // What the terminator begins with occurs in it only at every other byte, where it fits.
        *seen = usize::from(byte == HEAD_END[0]);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_however_they_are_cut() {
        let finder = Finder::new(HEAD_END);
        let bytes = b"GET / HTTP/1.1\r\nA: b\r\n\r\n\r\r\n\r\r\n\r\n\r\n\r\nGET\r\n\r\n\r\n";
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut seen = 0;
                let parts = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                let heads = parts.map(|part| count_heads(&finder, &mut seen, part));
                assert_eq!(
                    heads.iter().sum::<usize>(),
                    4,
                    "cut at {first} and {second}"
                );
                assert_eq!(seen, 2);
            }
        }
    }
}
