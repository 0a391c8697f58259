//! No client asks, nothing happens: an idle server sleeps in one piece.

use std::thread;
use std::time::Duration;

#[cfg(target_os = "linux")]
use crate::harness::Program;
use crate::harness::{Client, TestServer, get};

const SLEEP: Duration = Duration::from_secs(5);

#[test]
fn an_idle_server_makes_no_turn() {
    let server = TestServer::start();
    let mut clients: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(get("/healthz")).status, 200);
    }
    // A user is logged in: sessions expire some day, and nothing is due before.
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

#[test]
#[cfg(target_os = "linux")]
fn an_idle_program_uses_no_time() {
    let watched = Duration::from_secs(1);
    let program = Program::start(&[]);
    let mut client = program.connect();
    assert_eq!(client.ask(get("/healthz")).status, 200);
    let before = program.cpu_time();
    thread::sleep(watched); // this silence is what is measured
    let used = program.cpu_time().saturating_sub(before);
    // Of a loop that spins it would be all of it, or what other processes leave.
    assert!(used < watched / 20, "{used:?} to do nothing");
}

#[test]
fn a_client_that_stays_after_a_fault_causes_no_turns() {
    let server = TestServer::start();
    let mut client = server.connect();
    client.send("no request\r\n\r\n");
    assert!(client.rest().contains("400 Bad Request"));
    // It keeps its side open, and the server waits for a while before it ends the connection.
    let ended = server.stop();
    let most = 50;
    assert!(ended.turns.len() < most, "{} turns", ended.turns.len());
}
