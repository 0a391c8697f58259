//! What enters the loop from outside: peers, signals, randomness.

use std::io;

use super::*;

struct Doorkeeper;

impl Accept<Told, FakeStream> for Doorkeeper {
    fn has_room(&self, program: &Told) -> bool {
        program.emitted < 100
    }

    fn accepted(
        &mut self,
        stream: FakeStream,
        _peer: Peer,
        program: &mut Told,
    ) -> Box<dyn Source<Told>> {
        program.tell("accepted");
        Box::new(Teller {
            name: "guest",
            stream,
            deadline: Moment::NEVER,
        })
    }
}

fn world_with_door() -> (World, Network) {
    let mut world = world();
    let network = world.network.clone();
    let listener = Listener::new(network.acceptor(), Doorkeeper);
    world.reactor.add(Box::new(listener)).unwrap();
    (world, network)
}

#[test]
fn one_edge_accepts_all_who_wait() {
    let (mut world, network) = world_with_door();
    let peers: Vec<FakePeer> = (0..200).map(|_| network.connect()).collect();
    let accepted = world
        .settle()
        .iter()
        .filter(|line| *line == "accepted")
        .count();
    assert_eq!(accepted, peers.len());
}

#[test]
fn without_descriptors_the_listener_pauses_and_comes_back() {
    let (mut world, network) = world_with_door();
    let first = network.connect();
    world.settle();
    network.fail_accepts(io::ErrorKind::Other, usize::MAX); // EMFILE has no kind of its own
    let _second = network.connect();
    for _ in 0..3 {
        assert_eq!(world.turn(), Vec::<String>::new());
    }
    assert!(
        world.clock.now() >= Moment::from_ns(500_000_000),
        "it tried again without a pause"
    );
    let pauses = world.reactor.ledger().accept_pauses();
    assert!((2..=3).contains(&pauses), "{pauses} pauses");

    // A freed source makes the listener try again at once, without the timer.
    network.fail_accepts(io::ErrorKind::Other, 0);
    let before = world.clock.now();
    first.send(b"x");
    let story = [world.turn(), world.turn()].concat();
    assert!(story.contains(&"accepted".to_owned()), "{story:?}");
    assert_eq!(world.clock.now(), before);
}

#[test]
fn a_peer_that_gave_up_does_not_stop_the_next() {
    let (mut world, network) = world_with_door();
    network.fail_accepts(io::ErrorKind::ConnectionAborted, usize::MAX);
    let _peer = network.connect();
    world.turn();
    network.fail_accepts(io::ErrorKind::Other, 0);
    assert_eq!(world.settle(), ["accepted"]);
    assert_eq!(world.reactor.ledger().accept_pauses(), 0);
}

#[test]
fn a_socket_that_does_not_listen_does_not_make_the_loop_spin() {
    let (mut world, network) = world_with_door();
    network.fail_accepts(io::ErrorKind::InvalidInput, usize::MAX);
    let _peer = network.connect();
    world.turn();
    assert_eq!(world.reactor.ledger().accept_pauses(), 1);
}

#[test]
fn a_peer_that_is_called_invalid_when_it_has_gone_does_not_stop_the_next() {
    let (mut world, network) = world_with_door();
    network.report_as(Backend::Kqueue);
    network.fail_accepts(io::ErrorKind::InvalidInput, 16);
    let _peer = network.connect();
    assert_eq!(world.settle(), ["accepted"]);
    assert_eq!(world.reactor.ledger().accept_pauses(), 0);
    network.fail_accepts(io::ErrorKind::InvalidInput, usize::MAX);
    let _peer = network.connect();
    world.turn();
    let pauses = world.reactor.ledger().accept_pauses();
    assert_eq!(
        pauses, 1,
        "a socket that does not listen does not make it spin"
    );
}

#[test]
fn a_signal_is_a_byte() {
    let mut world = world();
    let (stream, peer) = world.network.pair();
    let act = |program: &mut Told, turn: &mut Turn<'_, &'static str>| {
        program.tell("signalled");
        turn.stop();
    };
    world
        .reactor
        .add(Box::new(SignalSource::new(stream, act)))
        .unwrap();
    world.settle();
    assert!(!world.reactor.stopped());
    peer.send(b"!!");
    assert_eq!(world.turn(), ["signalled", "signalled"]);
    assert!(world.reactor.stopped());
}

#[test]
fn entropy_from_a_seed_repeats() {
    let bytes = |seed| random::<32>(&mut FakeEntropy::new(seed));
    assert_eq!(bytes(7), bytes(7));
    assert_ne!(bytes(7), bytes(8));
    let (first, second) = (random::<32>(&mut OsEntropy), random::<32>(&mut OsEntropy));
    assert_ne!(first, second);
}
