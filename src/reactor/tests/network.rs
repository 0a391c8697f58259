//! The network in memory, as its selector shows it.

use super::*;
use crate::reactor::fake::{Cause, Chance, Weather};

type Reports = Vec<(Token, Readiness)>;

fn reports(network: &Network) -> Reports {
    let mut ready = Vec::new();
    let selected = network.selector().select(Some(Duration::ZERO), &mut ready);
    selected.unwrap();
    ready
        .iter()
        .map(|ready| (ready.token, ready.readiness))
        .collect()
}

fn registered(network: &Network, token: u64) -> (FakeStream, FakePeer) {
    let (mut stream, peer) = network.pair();
    let token = Token::from_u64(token);
    stream.register(&mut network.selector(), token).unwrap();
    (stream, peer)
}

fn network(backend: Backend, seed: u64) -> Network {
    let network = Network::new(FakeClock::default(), Chance::new(seed));
    network.report_as(backend);
    network
}

#[test]
fn epoll_reports_both_directions_at_once_and_kqueue_in_either_order() {
    let both = Readiness::READABLE.and(Readiness::WRITABLE);
    let orders = |backend| {
        let mut orders: Vec<Vec<Readiness>> = (0..50)
            .map(|seed| {
                let network = network(backend, seed);
                let (_stream, peer) = registered(&network, 1);
                peer.send(b"a");
                reports(&network).iter().map(|report| report.1).collect()
            })
            .collect();
        orders.sort_by_key(|order| order.iter().map(|one| one.bits()).collect::<Vec<_>>());
        orders.dedup();
        orders
    };
    let (reads, writes) = (Readiness::READABLE, Readiness::WRITABLE);
    assert_eq!(orders(Backend::Epoll), [[both]]);
    assert_eq!(orders(Backend::Kqueue), [[reads, writes], [writes, reads]]);
}

#[test]
fn kqueue_says_of_our_own_shutdown_and_again_that_the_peer_has_ended() {
    for (backend, due) in [(Backend::Epoll, vec![]), (Backend::Kqueue, vec!["re", "w"])] {
        let network = network(backend, 1);
        let (mut stream, peer) = registered(&network, 1);
        peer.end();
        reports(&network);
        stream.shutdown(std::net::Shutdown::Write);
        let mut said: Vec<String> = reports(&network)
            .iter()
            .map(|(_, readiness)| format!("{readiness:?}"))
            .collect();
        said.sort_unstable();
        assert_eq!(said, due, "{backend:?}");
    }
}

#[test]
fn the_second_report_of_a_source_may_come_when_that_has_gone() {
    let came = (0..1000).any(|seed| {
        let network = network(Backend::Kqueue, seed);
        network.set_weather(Weather {
            rough: true,
            ..Weather::default()
        });
        let (mut stream, peer) = registered(&network, 1);
        peer.send(b"a");
        let first = reports(&network).len();
        stream.deregister(&mut network.selector());
        let _next_in_its_slot = registered(&network, 1 << 32 | 1);
        reports(&network);
        let ready = network.last_wait().ready;
        let of_the_first = |(token, _, cause): &(Token, Readiness, Cause)| {
            *token == Token::from_u64(1) && *cause == Cause::Stale
        };
        first == 1 && ready.iter().any(of_the_first)
    });
    assert!(came);
}
