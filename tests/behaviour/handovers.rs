//! What happens while one process makes way for another: signals that come meanwhile, successors that hang, how long
//! others wait, and which program is started at all.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use loopgate::server::Stopped;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use serde_json::json;

use crate::harness::{
    Client, Directory, Program, TestServer, config, get, login, signed, wait_until,
};
use crate::listeners::{PYTHON, Sse, Ws, are_installed, name_of};
use crate::restarts::{ENDS_WITH_THE_STORE, Generations, replace};

/// What ends by then did not wait for a successor, which is given a minute, nor for the drain limit.
const PROMPT: Duration = Duration::from_secs(8);
/// Everything of the old process is over after 2 s; the rest is for a machine that has other things to do. What
/// lingers for its 2 s after the request was given up takes 4 s.
const HANDED_OVER: Duration = Duration::from_millis(3500);

/// Speaks as a successor does until it is given the store, says so in a file, and hangs.
fn hangs_with_the_store() -> String {
    let then = r#"
import os, time
open("id.new", "w").write(str(os.getpid()))
os.rename("id.new", "id")
time.sleep(60)
"#;
    format!("{ENDS_WITH_THE_STORE}{then}")
}

/// Hangs before it has said anything.
const HANGS_AT_ITS_START: &str = "#!/bin/sh\necho $$ >id.new; mv id.new id\nexec sleep 60\n";

/// A server whose successor is this script; returns when that has come to its end, which is to hang.
fn with_successor(script: &str, prepare: impl FnOnce(&Generations)) -> (Generations, Pid) {
    let (server, program) = Generations::start_copy();
    prepare(&server);
    replace(&program, script);
    server.signal(Signal::USR2);
    let id = wait_until("the successor hangs", || {
        let text = fs::read_to_string(server.path().join("id")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    });
    (server, id)
}

/// The server ends by itself, and soon, as does its successor.
fn ends(server: &mut Generations, successor: Pid, code: i32) {
    let began = Instant::now();
    assert_eq!(server.first.wait().code(), Some(code), "{}", server.log());
    assert!(began.elapsed() < PROMPT, "after {:?}", began.elapsed());
    assert!(test_kill_process(successor).is_err(), "the successor runs");
}

#[test]
fn a_signal_to_stop_is_heard_while_a_successor_has_the_store() {
    if !are_installed(&[PYTHON]) {
        return;
    }
    for (signal, to_all) in [
        (Signal::TERM, false),
        (Signal::INT, false),
        // As systemd and Ctrl-C do: the successor dies of it.
        (Signal::TERM, true),
    ] {
        let mut idle = None;
        let (mut server, successor) = with_successor(&hangs_with_the_store(), |server| {
            let mut client = server.connect();
            let sign = client.log_in("alice");
            idle = Some((client, sign));
        });
        if to_all {
            kill_process_group(server.id, signal).expect("they run");
        } else {
            server.signal(signal);
        }
        // It goes on, to end in order: connected clients are still served.
        let (mut client, sign) = idle.expect("it was connected");
        assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 200);
        ends(&mut server, successor, 0);
        assert!(server.log().contains("drained: "), "{}", server.log());
    }
}

#[test]
fn a_second_signal_to_stop_is_heard_too() {
    if !are_installed(&[PYTHON]) {
        return;
    }
    let mut unfinished = None;
    let (mut server, successor) = with_successor(&hangs_with_the_store(), |server| {
        let mut client = server.connect();
        client.send("GET /healthz");
        server.first.catch_up();
        unfinished = Some(client);
    });
    server.signal(Signal::TERM);
    server.wait_for_log("draining: ");
    server.signal(Signal::TERM);
    ends(&mut server, successor, 3);
    assert!(unfinished.expect("it was connected").ends());
}

#[test]
fn a_successor_that_hangs_holds_nothing_up() {
    let (mut server, successor) = with_successor(HANGS_AT_ITS_START, |_| {});
    // There is one worker for each core but one; there were as many logins as workers if they waited for it.
    let began = Instant::now();
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.log_in("alice");
    }
    assert!(began.elapsed() < PROMPT, "after {:?}", began.elapsed());
    server.signal(Signal::USR2);
    server.wait_for_log("another process is about to go on already");
    server.signal(Signal::TERM);
    ends(&mut server, successor, 0);
}

#[test]
fn new_clients_wait_two_seconds_at_most_for_a_handover() {
    let deaf = "trap '' TERM; echo deaf; while :; do sleep 1; done";
    let mut server = Generations::start(&["--subscribe", deaf]);
    server.wait_for_log("deaf");
    let (mut stuck, whole) = (server.connect(), login("alice", "password"));
    stuck.send(&whole[..whole.len() - 1]);
    server.first.catch_up();
    server.signal(Signal::USR2);
    server.wait_for_log("handing over");
    let began = Instant::now();
    let mut newcomer = server.connect();
    assert_eq!(newcomer.ask(get("/healthz")).status, 200);
    assert!(began.elapsed() < HANDED_OVER, "after {:?}", began.elapsed());
    let answer = stuck.answer();
    assert_eq!((answer.status, answer.code()), (503, "restarting".into()));
    server.wait_for_the_next();
}

#[test]
fn a_login_that_no_worker_gets_to_is_answered_before_a_handover() {
    let (server, hold) = TestServer::held(config());
    let mut waiting = server.connect();
    waiting.send(login("alice", "password"));
    server.catch_up();
    let began = Instant::now();
    server.hand_over();
    let answer = waiting.answer();
    assert_eq!((answer.status, answer.code()), (503, "restarting".into()));
    assert!(began.elapsed() < HANDED_OVER, "after {:?}", began.elapsed());
    hold.let_go();
    assert_eq!(server.stop().stopped, Stopped::HandedOver);
}

#[test]
fn streams_are_told_of_a_restart_as_of_an_end() {
    for (signal, restarting) in [(Signal::USR2, true), (Signal::TERM, false)] {
        let mut server = Generations::start(&["--subscribe", "exec cat >>told"]);
        server.wait_for_log("cat has started");
        let sign = server.connect().log_in("alice");
        let mut parked = server.connect();
        parked.send(signed(
            "GET",
            "/events?since=0&pattern=server.draining&wait=60",
            &sign,
        ));
        let mut sse = Sse::open(server.connect(), &sign, "");
        let mut websocket = Ws::open(server.first.address, &sign, "/events");
        server.first.catch_up();
        // The one that waits has been parked when a later one has been read for.
        let later = server
            .connect()
            .ask(signed("GET", "/events?since=0", &sign));
        assert_eq!(later.status, 200);
        server.signal(signal);
        let told = json!({ "restarting": restarting });
        for event in [
            sse.event(),
            websocket.event(),
            parked.answer().json()["events"][0].clone(),
        ] {
            assert_eq!(name_of(&event), "server.draining", "{event}");
            assert_eq!(event["data"], told);
        }
        assert!(sse.frame().is_some_and(|last| last.retry.is_some()));
        assert_eq!(sse.frame(), None, "the end");
        assert_eq!(websocket.close_code(), 1001);
        if restarting {
            server.wait_for_the_next();
        } else {
            assert_eq!(server.first.wait().code(), Some(0));
        }
        // A child has been told before its stdin ended.
        let child = fs::read_to_string(server.path().join("told")).expect("a file");
        let told = format!("\"data\":{told}");
        assert!(child.contains(&told), "{child}");
    }
}

/// Releases `v1` and `v2`, and `current`, which is one of them.
fn releases(directory: &Path) {
    for release in ["v1", "v2"] {
        fs::create_dir(directory.join(release)).expect("a directory");
        let program = directory.join(release).join("loopgate");
        fs::copy(env!("CARGO_BIN_EXE_loopgate"), program).expect("a copy");
    }
    symlink("v1", directory.join("current")).expect("a link");
}

#[test]
fn the_release_that_current_points_to_is_started() {
    for (started_as, in_path) in [("current/loopgate", false), ("loopgate", true)] {
        let directory = Directory::new();
        directory.add_users();
        releases(directory.path());
        let usual = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
        let mut command = Command::new("sh");
        command
            .args(["-c", "exec \"$@\"", "sh", started_as])
            .args(usual.get_args())
            .current_dir(directory.path());
        if in_path {
            let others = std::env::var("PATH").expect("a path");
            let current = directory.path().join("current");
            command.env("PATH", format!("{}:{others}", current.display()));
        }
        let mut server = Generations::spawn(&directory, command);
        let runs = |server: &Generations| {
            let id = server.id.as_raw_nonzero();
            fs::read_link(format!("/proc/{id}/exe")).expect("it runs")
        };
        assert!(runs(&server).ends_with("v1/loopgate"));
        for release in ["v2", "v1"] {
            symlink(release, directory.path().join("next")).expect("a link");
            let [next, current] = ["next", "current"].map(|name| directory.path().join(name));
            fs::rename(next, current).expect("replaced");
            server.restart();
            assert!(runs(&server).ends_with(format!("{release}/loopgate")));
        }
        // What is not there cannot be started, and nothing changes.
        fs::remove_file(directory.path().join("current")).expect("a link");
        server.signal(Signal::USR2);
        server.wait_for_log("did not become ready: No such file");
        assert_eq!(server.connect().ask(get("/healthz")).status, 200);
    }
}

/// `unshare` runs a command as process 1 of its own.
const UNSHARE: &[&str] = &["unshare", "--pid", "--fork", "--mount-proc", "true"];

/// Its child processes.
fn children_of(id: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
    let children = tasks.filter_map(|task| {
        let path = task.ok()?.path().join("children");
        fs::read_to_string(path).ok()
    });
    let text = children.collect::<Vec<_>>().concat();
    text.split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect()
}

#[test]
fn process_1_of_a_container_does_not_restart_and_reaps_what_is_left_to_it() {
    if !are_installed(&[UNSHARE]) {
        return;
    }
    let directory = Directory::new();
    directory.add_users();
    // The first one leaves a process behind, in a group of its own; how the second one ends is not to be lost.
    let leaves = "(setsid sh -c 'sleep 0.3; exit 4' &) ; exec cat >/dev/null";
    let usual = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    let mut command = Command::new("unshare");
    command.args(&UNSHARE[1..4]).arg("--kill-child");
    command.arg(usual.get_program()).args(usual.get_args());
    command.args(["--subscribe", leaves, "--subscribe", "exit 3"]);
    command
        .current_dir(directory.path())
        .env("RUST_LOG", "info,loopgate::child=debug");
    let mut program = Program::spawn(&directory, command);
    let outside = children_of(program.id())[0];
    let id = Pid::from_raw(outside.cast_signed()).expect("an id");
    let logged = |words: &str| {
        wait_until(words, || directory.log().contains(words).then_some(()));
    };
    kill_process(id, Signal::USR2).expect("it runs");
    logged("cannot restart: this is process 1");
    assert_eq!(program.connect().ask(get("/healthz")).status, 200);
    logged("had no parent, and is reaped");
    logged("ended with exit status: 3");
    wait_until("none of its children has ended and was not reaped", || {
        let has_ended = |id: &u32| {
            let stat = fs::read_to_string(format!("/proc/{id}/stat"));
            stat.is_ok_and(|stat| stat.contains(") Z "))
        };
        (!children_of(outside).iter().any(has_ended)).then_some(())
    });
    kill_process(id, Signal::TERM).expect("it runs");
    logged("drained: ");
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn a_signal_to_all_at_any_moment_of_a_restart_ends_all() {
    for delay_ms in [0, 5, 20, 60, 150] {
        let mut server = Generations::start(&[]);
        server.signal(Signal::USR2);
        std::thread::sleep(Duration::from_millis(delay_ms)); // some moment: each is right
        kill_process_group(server.id, Signal::TERM).expect("they run");
        assert_eq!(server.first.wait().code(), Some(0), "{}", server.log());
        // A successor that serves has heard of it, too.
        server.wait_for_log("drained: ");
    }
}
