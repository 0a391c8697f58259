//! The throttle over time: each test is a table of moments.

use super::*;

use std::net::{Ipv4Addr, Ipv6Addr};

const OK: Option<u64> = None;

fn home() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 1).into()
}

/// A different address for each attempt, so that only names count.
fn elsewhere(number: u64) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0000 + number as u32).into()
}

fn throttle(capacity: usize) -> Throttle {
    Throttle::new(capacity, &Limits::default())
}

/// An attempt with a wrong password.
fn guess(throttle: &mut Throttle, name: &str, address: IpAddr, now_s: u64) -> Result<(), Refused> {
    let network = Some(network(address));
    throttle.admit(name, network, now_s)?;
    throttle.failed(name, network, now_s);
    Ok(())
}

/// What `alice` is told at these times, if every attempt fails.
fn told_at(throttle: &mut Throttle, moments: &[(u64, Option<u64>)]) {
    for (number, (now_s, expected)) in (0..).zip(moments) {
        let told = guess(throttle, "alice", elsewhere(number), *now_s);
        let told = told.err().map(|refused| refused.retry_after_s);
        assert_eq!(told, *expected, "attempt {number} at {now_s} s");
    }
}

#[test]
fn the_sixth_attempt_in_two_minutes_is_refused() {
    let mut throttle = throttle(CAPACITY);
    told_at(
        &mut throttle,
        &[
            (0, OK),
            (1, OK),
            (2, OK),
            (3, OK),
            (10, OK),
            (10, Some(30)),
            (39, Some(1)),
        ],
    );
}

#[test]
fn failures_count_for_two_minutes_each() {
    told_at(
        &mut throttle(CAPACITY),
        &[
            (0, OK),
            (119, OK),
            (119, OK),
            (119, OK),
            (120, OK), // the first one has just stopped counting
            (121, OK),
            (121, Some(30)),
        ],
    );
    let spread: Vec<_> = (0..100).map(|number| (number * 30, OK)).collect();
    told_at(&mut throttle(CAPACITY), &spread); // four in any two minutes, for ever
}

#[test]
fn each_refusal_is_twice_as_long_up_to_a_quarter_of_an_hour() {
    let mut throttle = throttle(CAPACITY);
    told_at(&mut throttle, &[(0, OK); 5]);
    let mut now_s = 0;
    for refusal_s in [30, 60, 120, 240, 480, 900, 900, 900] {
        told_at(
            &mut throttle,
            &[
                (now_s, Some(refusal_s)),
                (now_s + refusal_s - 1, Some(1)),
                (now_s + refusal_s, OK),
            ],
        );
        now_s += refusal_s;
    }
}

#[test]
fn refused_attempts_prolong_nothing() {
    let mut throttle = throttle(CAPACITY);
    told_at(&mut throttle, &[(0, OK); 5]);
    for now_s in 0..30 {
        told_at(&mut throttle, &[(now_s, Some(30 - now_s)); 20]);
    }
    told_at(&mut throttle, &[(30, OK)]);
}

#[test]
fn all_is_forgotten_after_a_quiet_time() {
    let five_at = |now_s: u64| [(now_s, OK); 5];
    for (quiet_s, expected) in [(QUIET_S - 1, Some(60)), (QUIET_S, OK)] {
        let mut throttle = throttle(CAPACITY);
        told_at(&mut throttle, &five_at(0));
        let now_s = 30 + quiet_s;
        told_at(&mut throttle, &[(now_s, OK), (now_s, expected)]);
    }
    let mut throttle = throttle(CAPACITY);
    told_at(&mut throttle, &five_at(0));
    told_at(&mut throttle, &five_at(30 + QUIET_S));
    told_at(&mut throttle, &[(30 + QUIET_S, Some(30))]);
}

#[test]
fn a_success_forgets_the_failures_of_the_name() {
    let mut throttle = throttle(CAPACITY);
    told_at(&mut throttle, &[(0, OK); 4]);
    throttle.succeeded("alice"); // the fifth was right
    told_at(&mut throttle, &[(0, OK); 5]);
    told_at(&mut throttle, &[(0, Some(30)), (30, OK), (30, Some(60))]);
    throttle.succeeded("alice");
    told_at(&mut throttle, &[(91, OK); 5]);
    told_at(&mut throttle, &[(91, Some(30))]);
}

#[test]
fn what_never_failed_does_not_count() {
    let mut throttle = throttle(CAPACITY);
    for now_s in 0..100 {
        assert_eq!(
            throttle.admit("alice", Some(network(home())), now_s),
            Ok(())
        );
    }
    assert!(throttle.is_empty());
}

#[test]
fn fifty_failures_refuse_an_address_whatever_the_names() {
    let mut throttle = throttle(CAPACITY);
    for number in 0..50 {
        let name = number.to_string();
        assert_eq!(guess(&mut throttle, &name, home(), 7), Ok(()));
    }
    let refused = Err(Refused { retry_after_s: 30 });
    assert_eq!(guess(&mut throttle, "bob", home(), 7), refused);
    assert_eq!(guess(&mut throttle, "bob", elsewhere(0), 7), Ok(()));
    assert!(!throttle.is_empty());
    let names = throttle.len().0;
    for number in 0..100 {
        let name = format!("other {number}");
        assert_eq!(guess(&mut throttle, &name, home(), 7), refused);
    }
    assert_eq!(throttle.len().0, names, "a refused address uses up names");
}

#[test]
fn a_refused_name_does_not_count_for_the_address() {
    let mut throttle = throttle(CAPACITY);
    for _ in 0..200 {
        let _ = guess(&mut throttle, "alice", home(), 0);
    }
    assert_eq!(guess(&mut throttle, "bob", home(), 0), Ok(()));
}

#[test]
fn successes_do_not_count_for_the_address_nor_clear_it() {
    let mut throttle = throttle(CAPACITY);
    // An attacker with an account logs in between guesses.
    let mut guesses = 0;
    while guess(&mut throttle, &format!("victim {guesses}"), home(), 0).is_ok() {
        guesses += 1;
        throttle.succeeded("mallory");
    }
    assert_eq!(guesses, 50);
}

#[test]
fn good_logins_in_parallel_are_never_refused() {
    let mut throttle = throttle(CAPACITY);
    for _ in 0..1_000 {
        assert_eq!(
            throttle.admit("alice", Some(network(home())), 0),
            Ok(()),
            "before the hash"
        );
    }
    for _ in 0..1_000 {
        assert_eq!(
            throttle.admit("alice", Some(network(home())), 1),
            Ok(()),
            "after the hash"
        );
        throttle.succeeded("alice");
    }
}

#[test]
fn of_guesses_in_parallel_no_more_are_told_than_of_guesses_in_turn() {
    let mut throttle = throttle(CAPACITY);
    // All attempts began before the first of them failed.
    let told = (0..1_000).filter(|_| guess(&mut throttle, "alice", home(), 0).is_ok());
    assert_eq!(told.count(), 5);
}

#[test]
fn ipv6_counts_by_network_and_mapped_ipv4_as_ipv4() {
    for (one, other, same) in [
        ("2001:db8::1", "2001:db8::ffff:2", true),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ("192.0.2.1", "::ffff:192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("::ffff:192.0.2.1", "::1", false),
        ("0.0.0.0", "::", false),
    ] {
        let mut throttle = throttle(CAPACITY);
        for number in 0..50 {
            let name = number.to_string();
            assert_eq!(guess(&mut throttle, &name, one.parse().unwrap(), 0), Ok(()));
        }
        let told = guess(&mut throttle, "x", other.parse().unwrap(), 0);
        assert_eq!(told.is_err(), same, "{one} and {other}");
    }
}

#[test]
fn a_flood_locks_nobody_out_and_takes_bounded_memory() {
    const CAPACITY: usize = 1_000;
    let mut throttle = throttle(CAPACITY);
    for number in 0..20_000_u64 {
        let name = format!("random {number}");
        let address = Ipv6Addr::from_bits(u128::from(number) << 64 | 1 << 127);
        assert_eq!(guess(&mut throttle, &name, address.into(), 5), Ok(()));
        if number % 100 == 0 {
            let fresh = format!("fresh {number}");
            assert_eq!(guess(&mut throttle, &fresh, elsewhere(number), 5), Ok(()));
        }
    }
    assert_eq!(throttle.len(), (CAPACITY, CAPACITY));
}

#[test]
fn who_keeps_trying_is_not_forgotten_in_a_flood() {
    let mut throttle = throttle(100);
    told_at(&mut throttle, &[(0, OK); 5]);
    for number in 0..1_000 {
        let name = number.to_string();
        assert_eq!(
            guess(&mut throttle, &name, elsewhere(100 + number), 1),
            Ok(())
        );
        if number % 50 == 0 {
            told_at(&mut throttle, &[(1, Some(29))]);
        }
    }
}

#[test]
fn a_record_never_holds_more_failures_than_its_limit() {
    let mut throttle = throttle(CAPACITY);
    let mut now_s = 0;
    for _ in 0..1_000 {
        if let Err(refused) = guess(&mut throttle, "alice", home(), now_s) {
            now_s += refused.retry_after_s;
        }
        let record = throttle.names.get_mut(&name_key("alice")).unwrap();
        assert!(record.failures_s.len() <= 5);
        assert!(record.failures_s.capacity() <= 2 * 5);
    }
}

#[test]
fn friendly_requests_fail_by_name_only() {
    let mut throttle = throttle(CAPACITY);
    for number in 0..100 {
        let name = number.to_string();
        assert_eq!(throttle.admit(&name, None, 0), Ok(()));
        throttle.failed(&name, None, 0);
    }
    assert_eq!(throttle.len(), (100, 0));
    for _ in 0..5 {
        throttle.failed("alice", None, 0);
    }
    let refused = Err(Refused { retry_after_s: 30 });
    assert_eq!(throttle.admit("alice", None, 0), refused);
}

#[test]
fn a_name_has_so_many_places_and_gives_them_back() {
    let mut throttle = throttle(10);
    let mut places = Vec::new();
    for _ in 0..3 {
        places.extend(throttle.begin("alice", 3));
    }
    assert_eq!(places.len(), 3);
    assert!(throttle.begin("alice", 3).is_none());
    places.extend(throttle.begin("bob", 3));
    assert_eq!(throttle.under_way(), 4);
    for place in places {
        throttle.end(place);
    }
    assert_eq!(throttle.under_way(), 0);
    assert!(throttle.under_way.is_empty(), "nothing is kept of them");
    assert!(throttle.begin("alice", 3).is_some());
}
