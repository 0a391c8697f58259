//! Nobody asks, nothing happens: an idle server sleeps in one piece.

use std::thread;
use std::time::Duration;

use crate::harness::{Client, TestServer, get};

const SLEEP: Duration = Duration::from_secs(5);

#[test]
fn an_idle_server_makes_no_turn() {
    let server = TestServer::start();
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(get("/healthz")).status, 200);
    }
    // Somebody is logged in: sessions expire some day, and nothing is due before.
    clients[0].log_in("alice");
    // What is left of the last turns is over by then, on the slowest machine.
    let settled = Duration::from_millis(500);
    thread::sleep(settled + SLEEP); // this silence is what is measured
    let ended = server.stop();
    let slept =
        |turn: &&loopgate::ledger::TurnRecord| Duration::from_nanos(turn.phase_ns[0]) >= SLEEP;
    let sleeps = ended.turns.iter().filter(slept).count();
    assert_eq!(
        sleeps,
        1,
        "{:#?}",
        &ended.turns[ended.turns.len().saturating_sub(8)..]
    );
}
