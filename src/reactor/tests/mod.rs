//! The reactor in a fake world: the order of a turn, budgets, deadlines, freeing.

mod flushes;
mod listener;
mod models;
mod network;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use super::fake::{Backend, FakeClock, FakeEntropy, FakePeer, FakeStream, Network, fake_seams};
use super::*;
use crate::ledger::Outcome::{Again, Wait};

/// What happened, in order.
type Story = Rc<RefCell<Vec<String>>>;

#[derive(Default)]
struct Told {
    story: Story,
    /// The source that completions are passed on to.
    listener: Option<Token>,
    /// The sources that are to be flushed after events were delivered.
    subscribers: Vec<Token>,
    emitted: usize,
}

impl Told {
    fn tell(&self, what: impl Into<String>) {
        self.story.borrow_mut().push(what.into());
    }
}

/// Events that it delivers in one turn.
const EVENTS_AT_A_TIME: usize = 10;

impl Program for Told {
    type Message = &'static str;
    type Completion = &'static str;

    fn complete(&mut self, completion: &'static str, turn: &mut Turn<'_, &'static str>) {
        self.tell(format!("completion {completion}"));
        self.emitted += 1;
        if let Some(token) = self.listener {
            turn.send(token, completion);
        }
    }

    fn deliver_events(&mut self, turn: &mut Turn<'_, &'static str>) -> Delivered {
        let emitted = std::mem::take(&mut self.emitted);
        let count = emitted.min(EVENTS_AT_A_TIME);
        if count > 0 {
            self.tell(format!("{count} events"));
            for subscriber in &self.subscribers {
                turn.flush_of(*subscriber);
            }
        }
        self.emitted = emitted - count;
        let more = self.emitted > 0;
        Delivered { count, more }
    }
}

/// Records its calls, and reads one byte in each.
struct Teller {
    name: &'static str,
    stream: FakeStream,
    deadline: Moment,
}

impl Source<Told> for Teller {
    fn kind(&self) -> Kind {
        Kind::of("teller")
    }

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.stream.register(selector, token)
    }

    fn deregister(&mut self, selector: &mut dyn Selector) {
        self.stream.deregister(selector);
    }

    fn first_deadline(&mut self, _: &Told, _now: Moment) -> Moment {
        self.deadline
    }

    fn ready(
        &mut self,
        _readiness: Readiness,
        program: &mut Told,
        turn: &mut Turn<'_, &'static str>,
    ) -> Next {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Err(_) => Next::Wait,
            Ok(0) => Next::Close(Reason("ended")),
            Ok(_) => {
                program.tell(format!("{} reads {}", self.name, byte[0] as char));
                turn.flush();
                if byte[0] == b'x' {
                    return Next::Close(Reason("asked to"));
                }
                Next::Again
            }
        }
    }

    fn due(&mut self, program: &mut Told, turn: &mut Turn<'_, &'static str>) -> Next {
        program.tell(format!("{} due", self.name));
        turn.flush();
        Next::Wait
    }

    fn message(
        &mut self,
        message: &'static str,
        program: &mut Told,
        turn: &mut Turn<'_, &'static str>,
    ) -> Next {
        program.tell(format!("{} told {message}", self.name));
        turn.flush();
        Next::Wait
    }

    fn flush(&mut self, program: &mut Told, _turn: &mut Turn<'_, &'static str>) -> Next {
        program.tell(format!("{} flushes", self.name));
        let _ = self.stream.write(b".");
        Next::Wait
    }

    fn ended(&mut self, reason: Reason, program: &mut Told) {
        program.tell(format!("{} freed: {}", self.name, reason.0));
    }
}

struct World {
    reactor: Reactor<Told>,
    clock: FakeClock,
    network: Network,
    story: Story,
}

fn world() -> World {
    let clock = FakeClock::default();
    let (seams, network) = fake_seams(&clock);
    let told = Told::default();
    let story = Rc::clone(&told.story);
    let reactor = Reactor::with_seams(seams, |_| Ok::<_, ()>(told)).unwrap();
    World {
        reactor,
        clock,
        network,
        story,
    }
}

impl World {
    fn teller(&mut self, name: &'static str) -> (Token, FakePeer) {
        self.teller_until(name, Moment::NEVER)
    }

    fn teller_until(&mut self, name: &'static str, deadline: Moment) -> (Token, FakePeer) {
        let (stream, peer) = self.network.pair();
        let token = self
            .reactor
            .add(Box::new(Teller {
                name,
                stream,
                deadline,
            }))
            .unwrap();
        (token, peer)
    }

    fn turn(&mut self) -> Vec<String> {
        self.reactor.turn().unwrap();
        self.story.take()
    }

    /// Turns until the loop would sleep for ever.
    fn settle(&mut self) -> Vec<String> {
        let before = self.network.idle();
        let mut story = Vec::new();
        for _ in 0..1000 {
            story.extend(self.turn());
            if self.network.idle() > before {
                return story;
            }
        }
        panic!("the loop never came to rest: {story:?}")
    }
}

#[test]
fn a_turn_goes_through_its_phases_in_order() {
    let mut world = world();
    let (listener, _peer) = world.teller("listener");
    let (_, peer) = world.teller("reader");
    world.settle();
    let (_, _timer_peer) = world.teller_until("timer", Moment::from_ns(1));
    world.clock.advance(Duration::from_nanos(2));
    world.reactor.program.listener = Some(listener);
    world.reactor.completer().complete("hashed");
    peer.send(b"x");
    assert_eq!(
        world.turn(),
        [
            "reader reads x",
            "completion hashed",
            "listener told hashed",
            "timer due",
            "1 events",
            "listener flushes",
            "timer flushes",
            "reader freed: asked to",
        ]
    );
}

#[test]
fn a_source_that_has_more_to_do_is_asked_again_and_starves_no_other() {
    let mut world = world();
    let (_, greedy) = world.teller("greedy");
    let (_, modest) = world.teller("modest");
    world.settle();
    greedy.send(b"aaa");
    modest.send(b"b");
    assert_eq!(
        world.turn(),
        [
            "greedy reads a",
            "modest reads b",
            "greedy flushes",
            "modest flushes"
        ]
    );
    let rest: Vec<_> = world
        .settle()
        .into_iter()
        .filter(|line| line.contains("reads"))
        .collect();
    assert_eq!(
        rest,
        ["greedy reads a", "greedy reads a"],
        "no new edge came, yet all is read"
    );
}

/// As kqueue reports: reading and writing separately.
#[test]
fn one_that_is_reported_twice_in_a_turn_has_its_budget_once() {
    let mut world = world();
    world.network.report_as(Backend::Kqueue);
    let (_, greedy) = world.teller("greedy");
    let (_, modest) = world.teller("modest");
    world.settle();
    greedy.send(b"aaa");
    greedy.becomes_writable();
    modest.send(b"b");
    modest.becomes_writable();
    let reads = |story: Vec<String>| -> Vec<String> {
        let reads = story.into_iter().filter(|line| line.contains("reads"));
        reads.collect()
    };
    assert_eq!(reads(world.turn()), ["greedy reads a", "modest reads b"]);
    // It is ready again, and had more to do: it is still called only once.
    greedy.send(b"a");
    greedy.becomes_writable();
    assert_eq!(reads(world.turn()), ["greedy reads a"]);
    assert_eq!(reads(world.settle()), ["greedy reads a"; 2]);
    let ledger = world.reactor.ledger();
    assert!(
        ledger.turns().all(|turn| turn.counts[0] <= 2),
        "both count as one that is ready"
    );
}

/// Records the readiness that it is called with.
struct Reported(FakeStream);

impl Source<Told> for Reported {
    fn kind(&self) -> Kind {
        Kind::of("reported")
    }

    fn register(&mut self, selector: &mut dyn Selector, token: Token) -> io::Result<()> {
        self.0.register(selector, token)
    }

    fn ready(
        &mut self,
        ready: Readiness,
        program: &mut Told,
        _: &mut Turn<'_, &'static str>,
    ) -> Next {
        program.tell(format!("{ready:?}"));
        Next::Wait
    }
}

#[test]
fn one_that_is_reported_twice_is_told_both_at_once() {
    let mut world = world();
    world.network.report_as(Backend::Kqueue);
    let (stream, peer) = world.network.pair();
    world.reactor.add(Box::new(Reported(stream))).unwrap();
    assert_eq!(world.settle(), ["w"]);
    peer.becomes_writable();
    peer.end();
    assert_eq!(world.settle(), ["rwe"]);
    peer.send(b"a");
    assert_eq!(world.settle(), ["r"]);
}

#[test]
fn an_outbox_is_written_once_a_turn_however_much_it_got() {
    let mut world = world();
    let (token, peer) = world.teller("listener");
    world.settle();
    world.reactor.program.listener = Some(token);
    for _ in 0..5 {
        world.reactor.completer().complete("news");
    }
    world.turn();
    assert_eq!(peer.writes(), 1);
}

#[test]
fn a_deadline_comes_at_its_time_and_not_before() {
    let mut world = world();
    let (_, _peer) = world.teller_until("timer", Moment::from_ns(5_000_000_000));
    world.turn(); // the registration is reported, so the loop does not sleep
    world.clock.advance(Duration::from_nanos(4_999_999_999));
    world.reactor.completer().complete("something else");
    assert_eq!(world.turn(), ["completion something else", "1 events"]);
    assert_eq!(world.turn(), ["timer due", "timer flushes"]);
    assert_eq!(
        world.clock.now(),
        Moment::from_ns(5_000_000_000),
        "the wait ended elsewhere"
    );
    assert!(world.settle().is_empty(), "it came twice");
}

/// A source whose deadline has always passed.
struct Impatient;

impl Source<Told> for Impatient {
    fn kind(&self) -> Kind {
        Kind::of("impatient")
    }

    fn first_deadline(&mut self, _: &Told, now: Moment) -> Moment {
        now
    }

    fn ready(&mut self, _: Readiness, _: &mut Told, _: &mut Turn<'_, &'static str>) -> Next {
        Next::Wait
    }

    fn due(&mut self, program: &mut Told, turn: &mut Turn<'_, &'static str>) -> Next {
        program.tell("due");
        turn.set_deadline(turn.now());
        Next::Wait
    }
}

#[test]
fn a_deadline_set_to_now_comes_in_the_next_turn() {
    let mut world = world();
    world.reactor.add(Box::new(Impatient)).unwrap();
    for _ in 0..3 {
        assert_eq!(world.turn(), ["due"]);
    }
}

#[test]
fn a_freed_source_is_never_called_again() {
    let mut world = world();
    let (token, peer) = world.teller("short-lived");
    world.settle();
    world.reactor.program.listener = Some(token);
    peer.send(b"x");
    world.reactor.completer().complete("too late");
    let story = world.turn();
    assert!(!story.iter().any(|line| line.contains("told")), "{story:?}");
    assert!(peer.freed());
    let (stranger, _peer) = world.teller("stranger");
    assert_ne!(stranger, token);
    world.reactor.completer().complete("for a dead one");
    let story = world.settle();
    assert!(
        !story.iter().any(|line| line.starts_with("stranger told")),
        "{story:?}"
    );
}

#[test]
fn the_ledger_has_every_turn_and_dispatch() {
    let mut world = world();
    let (token, peer) = world.teller("reader");
    world.settle();
    peer.send(b"ab");
    world.settle();
    let ledger = world.reactor.ledger();
    let numbers: Vec<u64> = ledger.turns().map(|turn| turn.number).collect();
    assert_eq!(numbers, (1..=ledger.turns_total()).collect::<Vec<_>>());
    let outcomes: Vec<_> = ledger
        .dispatches()
        .filter(|record| record.token == token.as_u64())
        .map(|record| record.outcome)
        .collect();
    assert_eq!(outcomes, [Wait, Again, Again, Wait]);
    assert_eq!(
        ledger
            .turns()
            .map(|turn| turn.counts[Phase::Flush as usize])
            .sum::<u32>(),
        2
    );
}

#[test]
fn the_wall_clock_follows_within_a_second() {
    let mut world = world();
    let (_, _peer) = world.teller_until("timer", Moment::from_ns(90_500_000_000));
    let began = world.reactor.unix_ms();
    world.settle();
    let core = &world.reactor.core;
    assert_eq!(core.wall.unix_ms(core.now) - began, 90_500);
}
