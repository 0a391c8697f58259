//! A client or name with too many failed logins has to wait, and no other has to.

use loopgate::app::throttle::REFUSAL_S_MIN;

use crate::harness::{Answer, Client, TestServer, config, login};
use crate::login::login_with;

/// Failures of one name that are told before it is refused, and of one address.
const NAME_ATTEMPTS_MAX: usize = 5;
const ADDRESS_ATTEMPTS_MAX: usize = 50;

fn assert_refused(answer: &Answer) {
    assert_eq!(
        (answer.status, &*answer.code()),
        (429, "too_many_attempts"),
        "{answer:?}"
    );
    let wait_s: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=REFUSAL_S_MIN).contains(&wait_s), "{wait_s}");
}

fn fail(client: &mut Client, name: &str, times: usize) {
    for attempt in 1..=times {
        let answer = client.ask(login(name, "wrong"));
        assert_eq!(answer.status, 401, "attempt {attempt} for {name}");
    }
}

#[test]
fn a_name_is_refused_after_five_failures_and_others_are_not() {
    let server = TestServer::start();
    let mut client = server.connect();
    // Whether the name exists makes no difference that can be seen.
    for name in ["alice", "nobody"] {
        fail(&mut client, name, NAME_ATTEMPTS_MAX);
        assert_refused(&client.ask(login(name, "wrong")));
        assert_refused(&client.ask(login(name, "password")));
        assert_refused(&server.connect().ask(login(name, "password")));
    }
    assert_eq!(client.ask(login("admin", "password")).status, 200);
}

#[test]
fn how_often_a_name_and_an_address_may_fail_can_be_said() {
    let mut config = config();
    config.limits.failed_logins_per_name_max = 2;
    config.limits.failed_logins_per_address_max = 3;
    config.trust_proxy = vec![[127, 0, 0, 1].into()];
    let server = TestServer::with(config, |_| {});
    let mut client = server.connect();
    let mut ask = |name: &str, address: &str| {
        client.ask(login_with(name, "wrong", &[("X-Forwarded-For", address)]))
    };
    for _ in 0..2 {
        assert_eq!(ask("alice", "192.0.2.1").status, 401);
    }
    assert_refused(&ask("alice", "192.0.2.2"));
    assert_eq!(ask("admin", "192.0.2.1").status, 401);
    assert_refused(&ask("button", "192.0.2.1"));
    assert_eq!(ask("button", "192.0.2.2").status, 401);
}

#[test]
fn a_success_forgets_the_failures_before_it() {
    let server = TestServer::start();
    let mut client = server.connect();
    for _ in 0..3 {
        fail(&mut client, "alice", NAME_ATTEMPTS_MAX - 1);
        client.log_in("alice");
    }
}

#[test]
fn malformed_logins_count_for_nothing() {
    let server = TestServer::start();
    let mut client = server.connect();
    for _ in 0..2 * NAME_ATTEMPTS_MAX {
        assert_eq!(client.ask(login("alice", "")).status, 400);
        let from_elsewhere = [("Origin", "https://evil.example")];
        let answer = client.ask(login_with("alice", "wrong", &from_elsewhere));
        assert_eq!(answer.status, 403);
    }
    client.log_in("alice");
}

#[test]
fn attempts_in_parallel_do_not_slip_through() {
    let (server, hold) = TestServer::held(config());
    let mut clients: Vec<_> = (0..NAME_ATTEMPTS_MAX + 3)
        .map(|_| server.connect())
        .collect();
    for client in &mut clients {
        client.send(login("alice", "wrong"));
    }
    server.catch_up();
    hold.let_go();
    let answers: Vec<_> = clients.iter_mut().map(Client::answer).collect();
    let tried = answers.iter().filter(|answer| answer.status == 401).count();
    assert_eq!(tried, NAME_ATTEMPTS_MAX);
    answers
        .iter()
        .filter(|answer| answer.status != 401)
        .for_each(assert_refused);
}

#[test]
fn a_login_that_was_never_tried_counts_for_nothing() {
    let mut config = config();
    config.limits.hash_jobs_max = 1;
    let (server, hold) = TestServer::held(config);
    let (mut waiting, mut client) = (server.connect(), server.connect());
    waiting.send(login("admin", "password"));
    server.catch_up();
    for _ in 0..2 * NAME_ATTEMPTS_MAX {
        assert_eq!(client.ask(login("alice", "password")).status, 503);
    }
    hold.let_go();
    assert_eq!(waiting.answer().status, 200);
    client.log_in("alice");
}

#[test]
fn an_address_is_refused_after_fifty_failures_and_others_are_not() {
    let mut config = config();
    config.trust_proxy = vec![[127, 0, 0, 1].into()];
    let server = TestServer::with(config, |_| {});
    let mut client = server.connect();
    let mut ask = |name: &str, password: &str, address: &str| {
        client.ask(login_with(name, password, &[("X-Forwarded-For", address)]))
    };
    for number in 0..ADDRESS_ATTEMPTS_MAX {
        // What the client wrote in front of the proxy's entry is not its address.
        let address = format!("198.51.100.{number}, 192.0.2.1");
        assert_eq!(ask(&format!("user{number}"), "wrong", &address).status, 401);
    }
    assert_refused(&ask("alice", "password", "192.0.2.1"));
    assert_eq!(ask("alice", "password", "192.0.2.2").status, 200);
    // All of a /64 are one customer's.
    for number in 0..ADDRESS_ATTEMPTS_MAX {
        let (name, address) = (format!("other{number}"), format!("2001:db8::{number:x}"));
        assert_eq!(ask(&name, "wrong", &address).status, 401);
    }
    assert_refused(&ask("alice", "password", "2001:db8::ffff"));
    assert_eq!(ask("alice", "password", "2001:db8:0:1::1").status, 200);
}

#[test]
fn an_address_that_a_stranger_claims_is_not_believed() {
    let server = TestServer::start();
    let mut client = server.connect();
    for number in 0..ADDRESS_ATTEMPTS_MAX {
        let claim = format!("192.0.2.{number}");
        let headers = [("X-Forwarded-For", &*claim)];
        let answer = client.ask(login_with(&format!("user{number}"), "wrong", &headers));
        assert_eq!(answer.status, 401);
    }
    let headers = [("X-Forwarded-For", "203.0.113.1")];
    assert_refused(&client.ask(login_with("alice", "password", &headers)));
}

#[test]
fn failures_from_this_machine_lock_no_client_out() {
    for trusted in [vec![], vec![[127, 0, 0, 1].into()]] {
        let mut config = config();
        config.trust_proxy = trusted;
        let is_trusted = !config.trust_proxy.is_empty();
        let server = TestServer::with(config, |_| {});
        let mut client = server.connect();
        for number in 0..ADDRESS_ATTEMPTS_MAX + 10 {
            let answer = client.ask(login(&format!("user{number}"), "wrong"));
            assert_eq!(answer.status, 401);
        }
        client.log_in("alice");
        // Nor clients behind a proxy here, each of which has an address if the proxy is trusted.
        for address in ["192.0.2.1", "127.0.0.1"] {
            let headers = [("X-Forwarded-For", address)];
            let answer = client.ask(login_with("alice", "password", &headers));
            assert_eq!(answer.status, 200, "{address}, trusted: {is_trusted}");
        }
    }
}

#[test]
fn an_address_that_a_proxy_names_is_never_friendly() {
    let mut config = config();
    config.trust_proxy = vec![[127, 0, 0, 1].into()];
    let server = TestServer::with(config, |_| {});
    let mut client = server.connect();
    let headers = [("X-Forwarded-For", "127.0.0.1")];
    for number in 0..ADDRESS_ATTEMPTS_MAX {
        let answer = client.ask(login_with(&format!("user{number}"), "wrong", &headers));
        assert_eq!(answer.status, 401);
    }
    assert_refused(&client.ask(login_with("alice", "password", &headers)));
    client.log_in("alice");
}
