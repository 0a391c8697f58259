//! A store that cannot be used is refused in one clear line and left alone, and a disk that fails
//! under a running server costs nothing that was confirmed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[cfg(target_os = "linux")]
use rustix::process::{Pid, Resource, Rlimit, prlimit};

#[cfg(target_os = "linux")]
use crate::harness::{Client, login};
use crate::harness::{Directory, Program, signed};
use crate::run::{Finished, run};
use crate::stored;

fn serve(directory: &Directory) -> Finished {
    run(directory.command(&["serve", "--listen", "127.0.0.1:0"]))
}

/// Everything in a directory, byte by byte, but for the lock file, which may stay behind.
fn contents(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_file() && path.extension().is_none_or(|kind| kind != "lock"))
        .map(|path| {
            (
                path.display().to_string(),
                fs::read(&path).expect("it is ours"),
            )
        })
        .collect();
    found.sort();
    found
}

fn assert_refused(directory: &Directory, words: &[&str]) {
    let before = contents(directory.path());
    for _ in 0..2 {
        serve(directory).failed_with(1, words);
    }
    let listed = run(directory.command(&["user", "list"]));
    listed.failed_with(1, words);
    assert!(
        before == contents(directory.path()),
        "something was changed"
    );
}

#[test]
fn what_is_not_a_store_is_refused_and_left_alone() {
    for bytes in [
        b"not a database\n".repeat(1000),
        vec![0; 4096],
        b"x".to_vec(),
    ] {
        let directory = Directory::new();
        fs::write(directory.store(), bytes).unwrap();
        assert_refused(
            &directory,
            &["store.db", "not a store of loopgate", "use another store"],
        );
    }
}

#[test]
fn a_damaged_store_is_refused_and_left_alone() {
    let directory = Directory::new();
    directory.add_users();
    let whole = fs::read(directory.store()).unwrap();
    // A page of a table, all of it.
    let mut damaged = whole.clone();
    damaged[4096..8192].fill(0xff);
    fs::write(directory.store(), &damaged).unwrap();
    assert_refused(
        &directory,
        &["store.db", "is damaged", "restore it from a backup"],
    );
    // Cut short.
    fs::write(directory.store(), &whole[..whole.len() - 4096]).unwrap();
    assert_refused(
        &directory,
        &["store.db", "is damaged", "restore it from a backup"],
    );
    fs::write(directory.store(), &whole).unwrap();
    Program::start_in(&directory, &[]).connect().log_in("alice");
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let directory = Directory::new();
    directory.add_users();
    let mut bytes = fs::read(directory.store()).unwrap();
    // The user version in SQLite's header: https://www.sqlite.org/fileformat.html, section 1.3.
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(directory.store(), bytes).unwrap();
    assert_refused(
        &directory,
        &["store.db", "newer", "version 99", "use the newer program"],
    );
}

#[test]
fn a_store_that_a_server_has_is_refused_by_the_name_of_its_process() {
    let program = Program::start(&[]);
    let mut client = program.connect();
    let sign = client.log_in("alice");
    let directory = program.directory();
    let pid = format!("process {}", program.id());
    for arguments in [
        &["serve", "--listen", "127.0.0.1:0"][..],
        &["user", "list"],
        &["user", "remove", "alice"],
        &["user", "passwd", "alice", "--password-stdin"],
    ] {
        let refused = run(directory.command(arguments));
        refused.failed_with(1, &["store.db", &pid, "stop it"]);
    }
    // By another name it is the same store.
    let link = directory.path().join("link.db");
    std::os::unix::fs::symlink(directory.store(), &link).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_loopgate"));
    command.args(["user", "list", "--store"]).arg(&link);
    run(command).failed_with(1, &[&pid]);
    assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 200);
    client.log_in("alice");
}

#[test]
fn a_store_is_free_as_soon_as_it_is_closed_even_if_processes_are_started_meanwhile() {
    let directory = Directory::new();
    directory.add_users();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // A process that has not begun its program yet has everything that its parent has.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                Command::new("true").status().expect("it starts");
            }
        });
        let opened: Vec<_> = (0..200)
            .map(|_| stored::try_open(&directory.store()).map(drop))
            .collect();
        done.store(true, Ordering::Relaxed);
        assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    });
}

#[test]
fn a_store_that_may_not_be_written_is_refused() {
    let directory = Directory::new();
    directory.add_users();
    fs::set_permissions(directory.store(), PermissionsExt::from_mode(0o400)).unwrap();
    assert_refused(
        &directory,
        &["store.db", "cannot be written", "permissions"],
    );
    fs::set_permissions(directory.store(), PermissionsExt::from_mode(0o600)).unwrap();
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o500)).unwrap();
    assert_refused(&directory, &["cannot be written", "permissions"]);
    fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o700)).unwrap();
    Program::start_in(&directory, &[]);
}

#[test]
fn a_path_where_no_store_can_be_is_refused() {
    let directory = Directory::new();
    fs::create_dir(directory.store()).unwrap();
    assert_refused(&directory, &["store.db", "directory", "use another store"]);
    let directory = Directory::new();
    for (path, words) in [
        ("no/such/store.db", ["no/such", "does not exist"]),
        ("/dev/null", ["/dev/null", "not a file"]),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopgate"));
        command.current_dir(directory.path());
        command.args(["--store", path, "--listen", "127.0.0.1:0"]);
        run(command).failed_with(1, &words);
    }
    assert_eq!(contents(directory.path()), []);
}

#[test]
fn a_first_start_makes_a_store_that_no_other_user_can_read() {
    let directory = Directory::new();
    drop(Program::start_in(&directory, &[]));
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let is_log = path.ends_with("log");
        assert!(
            mode == 0o600 || is_log,
            "{} has mode {mode:o}",
            path.display()
        );
    }
    let users = stored::open(&directory.store()).load().unwrap().users;
    assert_eq!(users, [], "no operator could have been told the password");
}

#[cfg(target_os = "linux")]
/// What a file may grow to, for a running program: as a full disk to it.
fn limit_files(program: &Program, bytes: Option<u64>) {
    let pid = i32::try_from(program.id()).ok().and_then(Pid::from_raw);
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limit).expect("it is our child");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_takes_no_more_costs_nothing_that_was_confirmed() {
    let directory = Directory::new();
    directory.add_users();
    // A write above the limit is to fail, and not to kill.
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            r#"trap "" XFSZ; exec "$0" "$@""#,
            env!("CARGO_BIN_EXE_loopgate"),
        ])
        .args(["--listen", "127.0.0.1:0", "--log", "/dev/null", "--store"])
        .arg(directory.store());
    let program = Program::spawn(&directory, command);
    let mut client = program.connect();
    let mut confirmed = vec![client.log_in("alice")];
    let (gone, kept) = (client.log_in("alice"), client.log_in("admin"));
    assert_eq!(client.ask(signed("POST", "/logout", &gone)).status, 200);

    limit_files(&program, Some(96 * 1024));
    let refused = loop {
        let answer = client.ask(login("alice", "password"));
        if answer.status != 200 {
            break answer;
        }
        confirmed.push(answer.json()["user_sign"].as_str().unwrap().to_owned());
        assert!(confirmed.len() < 500, "the limit has no effect");
    };
    assert_eq!(
        (refused.status, &*refused.code()),
        (503, "store_unavailable")
    );
    assert!(refused.header("retry-after").is_some());
    // A logout that cannot be kept is not confirmed, and the session goes on.
    let refused = client.ask(signed("POST", "/logout", &kept));
    assert_eq!(refused.status, 503, "{refused:?}");
    confirmed.push(kept);
    let check = |client: &mut Client| {
        for sign in &confirmed {
            assert_eq!(client.ask(signed("GET", "/session", sign)).status, 200);
        }
        assert_eq!(client.ask(signed("GET", "/session", &gone)).status, 401);
    };
    check(&mut client);
    // Failed logins are no attempts at guessing: when there is room again, all goes on.
    for _ in 0..10 {
        assert_eq!(client.ask(login("alice", "password")).status, 503);
    }
    limit_files(&program, None);
    client.log_in("alice");
    program.kill();
    let program = Program::start_in(&directory, &[]);
    check(&mut program.connect());
    drop(program);
    let mut store = stored::open(&directory.store());
    let events = store.events_since(0, usize::MAX).unwrap();
    for (expected, event) in (1..).zip(events) {
        assert_eq!(event.id, expected, "ids grow by one");
    }
}
