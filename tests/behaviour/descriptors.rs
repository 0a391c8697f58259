//! Descriptors run out: those inside are served, the others wait, and waiting costs nothing.

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::harness::{Client, Directory, Program, get, wait_until};

/// How many descriptors the program may have, and how many clients come.
const DESCRIPTORS: usize = 64;
const CLIENTS: usize = 200;
/// How long the program is watched while most clients wait, and how much of a core it may use.
const WATCHED: Duration = Duration::from_millis(1500);
const CPU_SHARE_MAX: f64 = 0.2;

/// The program, with few descriptors.
fn with_few_descriptors() -> Program {
    let directory = Directory::new();
    directory.add_users();
    let program = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    let mut limited = Command::new("sh");
    limited
        .arg("-c")
        .arg(format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\""))
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(directory.path());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    Program::spawn(&directory, limited)
}

#[test]
fn clients_wait_for_a_descriptor_and_are_served_in_the_end() {
    let program = with_few_descriptors();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| program.connect()).collect();
    for client in &mut clients {
        client.send(get("/healthz"));
    }
    let mut clients = clients.into_iter();
    let mut first = clients.next().unwrap();
    assert_eq!(first.answer().status, 200);
    let says = "not accepting for a while";
    wait_until("the log says that some wait", || {
        program.directory().log().contains(says).then_some(())
    });

    let before = program.cpu_time();
    thread::sleep(WATCHED); // this time is what is measured
    let used = program.cpu_time().saturating_sub(before).as_secs_f64() / WATCHED.as_secs_f64();
    assert!(
        used < CPU_SHARE_MAX,
        "{used:.2} of a core, to let clients wait"
    );
    // A client that has a connection is served meanwhile, as often as it likes.
    assert_eq!(first.ask(get("/readyz")).status, 200);

    drop(first);
    for mut client in clients {
        let answer = client.answer();
        assert_eq!(
            (answer.status, &*answer.body),
            (200, "{\"status\":\"ok\"}\n")
        );
    }
    // Before another client comes: it might find the places of clients that left still taken.
    assert_eq!(program.directory().log().matches(says).count(), 1);
    assert_eq!(program.connect().ask(get("/healthz")).status, 200);
}
