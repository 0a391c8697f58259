//! A subscriber that stops reading loses events, is told which, and takes nothing from the others.
//!
//! `LOOPGATE_TEST_STOPPED_SECONDS` says how long the stopped ones are stopped; few seconds otherwise.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::RangeInclusive;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Client, PATIENCE, Program, get, request, wait_until};
use crate::listeners::{
    CURL, Frame, Listener, PYTHON, PYTHON_WEBSOCKETS, Sse, Ws, are_installed, id_of, name_of,
    publish,
};

/// Events in a second.
const RATE: u64 = 5000;
/// Events that are published at a time.
const BATCH: u64 = 50;
/// Bytes of all events together: much more than the kernel's buffers and an outbox hold.
const BYTES: u64 = 40_000_000;

/// What a subscriber got: events, and gaps in between.
#[derive(Default)]
struct Got {
    events: u64,
    gaps: Vec<RangeInclusive<u64>>,
    /// The last id that was told of, in one way or the other.
    through: u64,
}

impl Got {
    /// Takes what comes up to the event `done`. Nothing may be missing that no gap names, and no gap may
    /// name what came.
    fn until_done(since: u64, mut next: impl FnMut() -> Value) -> Self {
        let mut got = Self {
            through: since,
            ..Self::default()
        };
        loop {
            let event = next();
            if name_of(&event) == "gap" {
                let [from, to] =
                    ["from", "to"].map(|key| event["data"][key].as_u64().expect("an id"));
                assert_eq!(from, got.through + 1, "{event}");
                assert!(to >= from, "{event}");
                got.gaps.push(from..=to);
                got.through = to;
                continue;
            }
            assert_eq!(id_of(&event), got.through + 1);
            got.through += 1;
            got.events += 1;
            if name_of(&event) == "done" {
                return got;
            }
        }
    }

    fn missed(&self) -> u64 {
        self.gaps
            .iter()
            .map(|gap| gap.end() - gap.start() + 1)
            .sum()
    }

    /// What the server counted is what was seen here.
    fn balances(&self, program: &Program) {
        let (events, missed) = (self.events, self.missed());
        let published = events + missed;
        let seen = format!("published={published} delivered={events} dropped={missed} queued=0");
        wait_until(&format!("the log has {seen}"), || {
            program.directory().log().contains(&seen).then_some(())
        });
    }
}

/// Publishes at [`RATE`] for so long. Slower, if the machine is.
fn publish_for(address: SocketAddr, sign: &str, seconds: u64) {
    let mut socket = Ws::open(address, sign, "/events?pattern=none");
    let text = "x".repeat((BYTES / RATE / seconds) as usize);
    let began = Instant::now();
    for batch in 0..RATE * seconds / BATCH {
        for n in 0..BATCH {
            socket.say(&json!({"publish": {"name": "tick", "data": {"n": batch * BATCH + n, "text": text}}}));
        }
        for _ in 0..BATCH {
            id_of(&socket.event()["published"]);
        }
        // This is a rate, not a wait.
        let due = began + Duration::from_millis(batch * BATCH * 1000 / RATE);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    println!("{} events in {:?}", RATE * seconds, began.elapsed());
}

fn signal(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    kill_process(process.expect("a process id"), signal).expect("it is running");
}

#[test]
fn a_stopped_reader_is_told_exactly_which_events_it_missed_and_no_other_misses_any() {
    if !are_installed(&[CURL, PYTHON, PYTHON_WEBSOCKETS]) {
        return;
    }
    let option = std::env::var("LOOPGATE_TEST_STOPPED_SECONDS").ok();
    let seconds = option.map_or(3, |text| text.parse().expect("seconds"));
    // A reader that takes nothing is cut off in the end: here it is stopped for less.
    let write_timeout = format!("{}s", seconds + 60);
    let program = Program::start(&["--write-timeout", &write_timeout]);
    let address = program.address;
    let mut client = program.connect();
    let sign = client.log_in("admin");
    let since = publish(&mut client, &sign, "first", &Value::Null);
    let from = format!("since={since}");
    let mut stopped_sse = Listener::curl(address, &sign, &from);
    let mut stopped_websocket = Listener::python(address, &sign, since);
    let (mut sse, mut websocket) = (
        Sse::open(program.connect(), &sign, &from),
        Ws::open(address, &sign, &format!("/events?{from}")),
    );
    publish(&mut client, &sign, "second", &Value::Null);
    let retry = stopped_sse.line();
    assert_eq!(retry, "retry: 2000");
    while !stopped_sse.line().starts_with("data: ") {}
    assert_eq!(name_of(&stopped_websocket.event()), "second");
    assert_eq!(stopped_sse.line(), "");
    let since = since + 1;
    for stopped in [&stopped_sse, &stopped_websocket] {
        signal(stopped.id(), Signal::STOP);
    }
    let memory_before = program.memory_bytes();

    let others = [
        thread::spawn(move || Got::until_done(since - 1, || sse.event())),
        thread::spawn(move || Got::until_done(since - 1, || websocket.event())),
    ];
    let (done, ended) = mpsc::channel();
    let publisher = {
        let sign = sign.clone();
        thread::spawn(move || {
            publish_for(address, &sign, seconds);
            let _ = done.send(());
        })
    };
    let mut memory = 0;
    while ended.recv_timeout(Duration::from_millis(100)) == Err(mpsc::RecvTimeoutError::Timeout) {
        memory = memory.max(program.memory_bytes());
        let asked = Instant::now();
        assert_eq!(Client::connect(address).ask(get("/healthz")).status, 200);
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "the loop was held"
        );
    }
    publisher.join().expect("it published");
    for stopped in [&stopped_sse, &stopped_websocket] {
        signal(stopped.id(), Signal::CONT);
    }
    let last = publish(&mut client, &sign, "done", &Value::Null);

    for other in others {
        let got = other.join().expect("it got all");
        assert_eq!((got.missed(), got.through), (0, last));
    }
    let sse_id = stopped_sse.id();
    let mut stopped_sse = Sse::of(stopped_sse);
    let stopped = [
        (sse_id, Got::until_done(since, || stopped_sse.event())),
        (
            stopped_websocket.id(),
            Got::until_done(since, || stopped_websocket.event()),
        ),
    ];
    for (process, mut got) in stopped {
        assert!(got.missed() > 0, "it was stopped, and missed nothing");
        assert_eq!(got.through, last);
        got.events += 1; // the one before it was stopped
        signal(process, Signal::KILL);
        got.balances(&program);
    }
    let grown = memory.saturating_sub(memory_before) >> 20;
    println!("memory grew by {grown} MiB");
    assert!(grown < 32, "{grown} MiB more, for two outboxes of one");
}

#[test]
fn the_policy_says_which_events_a_slow_reader_loses() {
    for (policy, ends) in [
        ("drop-oldest", false),
        ("drop-newest", false),
        ("disconnect", true),
    ] {
        let arguments = ["--slow-subscriber", policy, "--outbox-bytes-max", "65536"];
        let program = Program::start(&arguments);
        let mut client = program.connect();
        let sign = client.log_in("admin");
        let since = publish(&mut client, &sign, "first", &Value::Null);
        let mut websocket = Ws::open(program.address, &sign, "/events");
        let mut sse = Sse::open(program.connect(), &sign, "");
        // Until both outboxes have had too much, on top of what the kernel takes.
        let text = "x".repeat(30_000);
        let mut last_tick = 0;
        for _ in 0..800 {
            last_tick = publish(&mut client, &sign, "tick", &json!(text));
        }
        if ends {
            let cut_off =
                |log: &str| log.matches("dropped=").count() - log.matches("dropped=0 ").count();
            wait_until("both are cut off", || {
                (cut_off(&program.directory().log()) == 2).then_some(())
            });
            // What the system has taken is still read, up to the middle of an event.
            let mut last = since;
            while let (Frame { id: Some(id), .. }, true) = sse.frame_or_part() {
                last += 1;
                assert_eq!(id, last.to_string());
            }
            assert!(last < last_tick);
            let mut resumed = Sse::open(program.connect(), &sign, &format!("since={last}"));
            for id in last + 1..=last_tick {
                assert_eq!(
                    id_of(&resumed.event()),
                    id,
                    "nothing is lost to who comes back"
                );
            }
            while websocket.0.read().is_ok() {}
            continue;
        }
        // With what it reads there is room for new ones again.
        let reader = thread::spawn(move || (Got::until_done(since, || sse.event()), sse));
        let last = wait_until("it has read what there was", || {
            let id = publish(&mut client, &sign, "done", &Value::Null);
            reader.is_finished().then_some(id)
        });
        let (got, _sse) = reader.join().expect("it is told exactly what it missed");
        assert!(got.missed() > 0 && got.through <= last, "{policy}");
        let missed = got.gaps.iter().any(|gap| gap.contains(&last_tick));
        assert_eq!(missed, policy == "drop-newest", "{policy}: {:?}", got.gaps);
        drop(websocket);
    }
}

/// A stream that resumes from the first event, on a connection whose receiver has room for so many bytes.
fn resume(program: &Program, sign: &str, room: usize) -> TcpStream {
    let mut stream = TcpStream::connect(program.address).expect("the server accepts");
    set_socket_recv_buffer_size(&stream, room).expect("an option");
    stream.set_read_timeout(Some(PATIENCE)).expect("an option");
    let bearer = format!("Bearer {sign}");
    let fields = [("Authorization", &*bearer), ("Accept", "text/event-stream")];
    let request = request("GET", "/events?since=0&pattern=long", &fields);
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

/// Takes the first events of a stream; none is missing.
fn takes(stream: &TcpStream, events: u64) {
    let lines = BufReader::new(stream).lines();
    let ids = lines.filter_map(|line| line.expect("it is sent").strip_prefix("id: ")?.parse().ok());
    let ids: Vec<u64> = ids.take(events as usize).collect();
    let expected: Vec<u64> = (ids[0]..ids[0] + events).collect();
    assert_eq!(ids, expected);
}

#[test]
fn many_subscribers_that_resume_and_take_little_hold_little_and_lose_nothing() {
    const STREAMS: usize = 20;
    const EVENTS: u64 = 1000;
    const EVENT_BYTES: usize = 4000;
    for (bytes_max, each) in [("67108864", 200_000), ("1000000", 150_000)] {
        let program = Program::start(&[
            "--waiting-bytes-max",
            bytes_max,
            "--streams-per-session-max",
            "1000",
        ]);
        let sign = program.connect().log_in("admin");
        let mut publisher = Ws::open(program.address, &sign, "/events?pattern=none");
        let event = json!({"publish": {"name": "long", "data": "x".repeat(EVENT_BYTES)}});
        for _ in 0..EVENTS / BATCH {
            (0..BATCH).for_each(|_| publisher.say(&event));
            (0..BATCH).for_each(|_| drop(publisher.event()));
        }
        let before = program.memory_bytes();
        let slow: Vec<_> = (0..STREAMS)
            .map(|_| resume(&program, &sign, 8 * 1024))
            .collect();
        for mut stream in &slow {
            stream.read_exact(&mut [0; 100]).expect("it is sent"); // and they take no more
        }
        // A reader that takes what there is gets all of it meanwhile.
        takes(&resume(&program, &sign, 1 << 20), EVENTS);
        let grown = program.memory_bytes().saturating_sub(before);
        println!("{STREAMS} streams hold {grown} bytes of {bytes_max}");
        assert!(grown < (STREAMS * each) as u64, "{grown} of {bytes_max}");
        // Slow readers lose nothing.
        takes(&slow[0], 100);
    }
}
