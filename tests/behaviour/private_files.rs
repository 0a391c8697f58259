//! What the server writes is for its own user under any umask, and files that others may use are refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::harness::{Directory, Program, get, wait_until};
use crate::listeners::are_installed;
use crate::run::run;

/// The same command, under this umask.
fn under_umask(umask: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#"umask "$0" && exec "$@""#, umask])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(directory) = command.get_current_dir() {
        shell.current_dir(directory);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

fn mode(path: &Path) -> u32 {
    let found = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    found.permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

/// Names and modes of everything in a directory.
fn modes(directory: &Path) -> Vec<(String, u32)> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut modes: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let name = entry.file_name().into_string().expect("UTF-8");
            (name, mode(&entry.path()))
        })
        .collect();
    modes.sort();
    modes
}

#[test]
fn under_any_umask_files_are_for_their_owner_and_sockets_have_their_mode() {
    for (umask, options, socket) in [
        ("000", &[][..], 0o660),
        ("077", &[], 0o660),
        ("000", &["--socket-mode", "0600"], 0o600),
        ("077", &["--socket-mode", "0666"], 0o666),
    ] {
        let directory = Directory::new();
        let path = directory.path();
        let unix = |name: &str| format!("unix:{}", path.join(name).display());
        let added = ["user", "add", "alice", "--password-stdin"];
        let added = under_umask(umask, &directory.command(&added));
        crate::run::run_with(added, "password\n").succeeded();
        let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--listen", &unix("socket"), "--log", "log"]);
        command.args(options);
        let mut recorded = directory.command(&["serve", "--listen", "127.0.0.1:0"]);
        recorded.args(["--listen", &unix("socket"), "--log", "log"]);
        recorded.args(["--record", "tape"]).args(options);
        command.args(["--monitor", &unix("monitor")]);
        for command in [command, recorded] {
            let mut program = Program::spawn(&directory, under_umask(umask, &command));
            assert_eq!(program.connect().ask(get("/healthz")).status, 200);
            program.connect().log_in("alice");
            let found = modes(path);
            let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            for needed in [
                "log",
                "socket",
                "store.db",
                "store.db-wal",
                "store.db-shm",
                "store.db.lock",
                "store.key",
            ] {
                assert!(names.contains(&needed), "{needed} is not in {names:?}");
            }
            for (name, mode) in found {
                let expected = if name == "socket" { socket } else { 0o600 };
                assert_eq!(
                    mode, expected,
                    "{name} has the mode {mode:o} under umask {umask}"
                );
            }
            program.signal(Signal::TERM);
            assert!(program.wait().success());
        }
        assert_eq!(mode(&path.join("tape")), 0o600);
    }
}

#[test]
fn a_log_that_is_opened_again_is_for_its_owner_too() {
    let directory = Directory::new();
    directory.add_users();
    let command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    let program = Program::spawn(&directory, under_umask("000", &command));
    let log = directory.path().join("log");
    let again = || {
        fs::rename(&log, directory.path().join("log.1")).expect("it is there");
        program.signal(Signal::USR1);
        wait_until("the log is opened again", || log.exists().then_some(()));
    };
    again();
    assert_eq!(mode(&log), 0o600);
    // One that another user put there is not written to.
    let target = directory.path().join("target");
    fs::rename(&log, directory.path().join("log.2")).expect("it is there");
    symlink(&target, &log).expect("a link");
    program.signal(Signal::USR1);
    wait_until("the old log says so", || {
        let old = fs::read_to_string(directory.path().join("log.2")).expect("it is there");
        old.contains("is a symbolic link").then_some(())
    });
    assert!(!target.exists());
}

#[test]
fn a_store_that_others_may_use_is_refused_with_the_remedy() {
    let directory = Directory::new();
    directory.add_users();
    let beside = |suffix: &str| directory.path().join(format!("store.db{suffix}"));
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    // What a killed server leaves beside it counts as well.
    Program::start_in(&directory, &[]).kill();
    for suffix in ["", "-wal", "-shm", ".lock"] {
        for exposed in [0o644, 0o640, 0o604, 0o620, 0o666] {
            set_mode(&beside(suffix), exposed);
            let before = modes(directory.path());
            let name = format!("store.db{suffix} can be used by others (mode {exposed:o})");
            let remedy = format!(
                "chmod 600 {}",
                fs::canonicalize(beside(suffix)).unwrap().display()
            );
            for arguments in [&serve[..], &["user", "list"]] {
                let refused = run(directory.command(arguments));
                refused.failed_with(1, &[&name, &remedy]);
            }
            assert_eq!(modes(directory.path()), before, "it was left alone");
        }
        set_mode(&beside(suffix), 0o600);
    }
    Program::start_in(&directory, &[]).connect().log_in("alice");
}

#[test]
fn a_link_in_the_place_of_the_lock_or_the_log_is_not_followed() {
    let directory = Directory::new();
    directory.add_users();
    let target = directory.path().join("precious");
    fs::write(&target, "precious").unwrap();
    let lock = directory.path().join("store.db.lock");
    for leads_to in [target.clone(), directory.path().join("nowhere")] {
        fs::remove_file(&lock).expect("it is there");
        symlink(&leads_to, &lock).expect("a link");
        let refused = run(directory.command(&["serve", "--listen", "127.0.0.1:0"]));
        refused.failed_with(1, &["store.db.lock", "symbolic link"]);
        run(directory.command(&["user", "list"])).failed_with(1, &["symbolic link"]);
        let log = directory.path().join("app.log");
        symlink(&leads_to, &log).expect("a link");
        let refused =
            run(directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "app.log"]));
        refused.failed_with(1, &["cannot write the log app.log", "symbolic link"]);
        fs::remove_file(&log).expect("it is there");
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
    assert!(!directory.path().join("nowhere").exists());
}

#[test]
fn a_log_that_others_may_write_is_refused_and_one_that_they_may_read_is_the_operators_choice() {
    let directory = Directory::new();
    directory.add_users();
    let log = directory.path().join("log");
    fs::write(&log, "before\n").unwrap();
    set_mode(&log, 0o666);
    let refused = run(directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]));
    refused.failed_with(1, &["others may write to it (mode 666)", "chmod go-w log"]);
    set_mode(&log, 0o640);
    Program::start_in(&directory, &[]).connect().log_in("alice");
    assert_eq!(mode(&log), 0o640);
    assert!(directory.log().starts_with("before\n"));
}

#[test]
fn the_log_may_be_a_device() {
    let directory = Directory::new();
    directory.add_users();
    for device in ["/dev/stderr", "/dev/null"] {
        let command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", device]);
        let program = Program::spawn(&directory, command);
        assert_eq!(program.connect().ask(get("/healthz")).status, 200);
    }
}

#[test]
fn a_backup_that_is_made_as_documented_is_for_its_owner() {
    if !are_installed(&[&["sqlite3", "--version"]]) {
        return;
    }
    let directory = Directory::new();
    directory.add_users();
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md"));
    let text = text.expect("the documentation");
    let line = text
        .lines()
        .find(|line| line.contains(".backup '"))
        .expect("a recipe");
    let backup = directory.path().join("backup.db");
    let line = line
        .replace(
            "/var/lib/loopgate/loopgate.db",
            &directory.store().display().to_string(),
        )
        .replace("/backup/loopgate.db", &backup.display().to_string());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask 022; {line}")]);
    run(shell).succeeded();
    assert_eq!(mode(&backup), 0o600);
    fs::copy(&backup, directory.store()).expect("a copy");
    Program::start_in(&directory, &[]).connect().log_in("alice");
}
