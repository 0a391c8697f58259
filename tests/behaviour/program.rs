//! The program as people run it: what it says, and how it ends.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Client, Directory, PATIENCE, Program, get, login, signed, wait_until};
use crate::listeners::skip;
use crate::run::{run, run_with};
use crate::stored;

fn bare(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loopgate"));
    command.args(arguments);
    command
}

fn has_logged(directory: &Directory, words: &str) {
    wait_until("it is logged", || {
        directory.log().contains(words).then_some(())
    });
}

#[test]
fn what_cannot_be_asked_for_ends_with_code_2() {
    for arguments in [
        &["--no-such-option"][..],
        &["serve", "--no-such-option"],
        &["no-such-command"],
        &["user", "no-such-command"],
        &["user"],
        &["serve", "--listen", "nonsense"],
        &["serve", "--listen", "unix:"],
        &["serve", "--session-idle", "soon"],
        &["serve", "--idle-timeout", "18446744073709551615ms"],
        &["serve", "--workers", "99999999999999999999"],
        &["serve", "--record", "x", "--record-bytes-max", "0"],
        &["simulate", "--seeds", "18446744073709551615"],
        &["simulate", "--steps", "18446744073709551615"],
        &["simulate", "--steps", "0"],
        &["simulate", "--readiness", "select"],
        &["user", "add", "x", "--role", "king"],
    ] {
        let refused = run(bare(arguments));
        assert_eq!(refused.code, Some(2), "{arguments:?}: {refused:?}");
        assert!(
            refused.stderr.contains("help") && refused.stdout.is_empty(),
            "{refused:?}"
        );
    }
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["user", "import", "--help"],
    ] {
        assert!(run(bare(arguments)).succeeded().contains("Usage: loopgate"));
    }
    let version = concat!("loopgate ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(bare(&["--version"])).succeeded(), version);
}

#[test]
fn options_that_contradict_each_other_are_refused() {
    let directory = Directory::new();
    for (arguments, words) in [
        (&["--workers", "0"][..], "workers must be at least 1"),
        (
            &["--head-bytes-max", "100000"],
            "head-bytes-max must be at most",
        ),
        (
            &["--target-bytes-max", "20000"],
            "target-bytes-max must be below",
        ),
        (&["--session-idle", "0"], "session-idle must be longer"),
        (
            &["--workers", "20000"],
            "workers must be at most 1024; see loopgate serve --help",
        ),
        (
            &["--body-bytes-max", "9999999999999"],
            "body-bytes-max must be at most",
        ),
        (
            &["--connections-max", "18446744073709551615"],
            "connections-max must be at most",
        ),
    ] {
        run(directory.command(arguments)).failed_with(2, &[words]);
    }
    assert!(
        !directory.store().exists(),
        "nothing is made before all is checked"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_thread_that_the_system_refuses_is_an_error_at_start() {
    let directory = Directory::new();
    let program = env!("CARGO_BIN_EXE_loopgate");
    let mut command = Command::new("sh");
    // A gigabyte of addresses is enough for the program, and for few of so many stacks.
    command
        .args(["-c", "ulimit -v 1000000 && exec \"$0\" \"$@\"", program])
        .args(["--demo", "--listen", "127.0.0.1:0", "--workers", "1024"])
        .env("RUST_LOG", "error")
        .current_dir(directory.path());
    run(command).failed_with(1, &["the system gave no thread", "start fewer workers"]);
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let directory = Directory::new();
    directory.add_users();
    let running = Program::start(&[]);
    let in_use = running.address.to_string();
    for (address, words) in [
        (&*in_use, "in use"),
        ("192.0.2.1:8080", "does not have that address"),
        (
            "unix:/no/such/directory/socket",
            "/no/such/directory/socket",
        ),
    ] {
        let refused = run(directory.command(&["--listen", address]));
        refused.failed_with(1, &["cannot listen on", words, "--listen"]);
    }
}

#[test]
fn the_demo_says_what_it_is_and_keeps_nothing() {
    let directory = Directory::new();
    let program = Program::start_in(&directory, &["--demo"]);
    for words in ["DEMO", "admin", "`password`", "curl"] {
        assert!(program.said.contains(words), "{}", program.said);
    }
    let mut client = program.connect();
    let sign = client.log_in("admin");
    let session = client.ask(signed("GET", "/session", &sign)).json();
    assert_eq!(session["role"], "admin");
    // The line that it shows is one that works.
    let shown = program.said.split("curl ").nth(1).unwrap().trim();
    assert!(
        shown.ends_with(&format!("http://{}/login", program.address)),
        "{shown}"
    );
    assert!(
        shown.contains("-d 'username=admin&password=password'"),
        "{shown}"
    );
    drop(program);
    assert!(!directory.store().exists());
}

#[test]
fn the_demo_is_for_this_machine_only() {
    let directory = Directory::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let refused = run(directory.command(&["--demo", "--listen", address]));
        refused.failed_with(2, &["--demo listens on loopback only"]);
        let both = ["--demo", "--listen", "127.0.0.1:0", "--listen", address];
        run(directory.command(&both)).failed_with(2, &["--demo listens on loopback only"]);
    }
}

#[test]
fn the_environment_says_what_options_say() {
    let directory = Directory::new();
    directory.add_users();
    let (log, socket) = (
        directory.path().join("log"),
        directory.path().join("socket"),
    );
    let mut command = bare(&[]);
    command
        .env("LOOPGATE_STORE", directory.store())
        .env("LOOPGATE_LOG", &log)
        .env(
            "LOOPGATE_LISTEN",
            format!("unix:{},127.0.0.1:0", socket.display()),
        )
        .env("LOOPGATE_SESSION_ABSOLUTE", "1h")
        .env("LOOPGATE_ISSUER", "environment");
    let program = Program::spawn(&directory, command);
    let answer = program.connect().ask(login("alice", "password"));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("Max-Age=3600"), "{cookie}");
    let claims = crate::expiry::part(answer.json()["user_sign"].as_str().unwrap(), 1);
    assert_eq!(claims["iss"], "environment");
    assert!(fs::metadata(socket).unwrap().file_type().is_socket());
    has_logged(&directory, "POST /login 200");
    drop(program);
    for yes in ["1", "true", "yes"] {
        let mut command = bare(&["--listen", "127.0.0.1:0", "--log", "log"]);
        command
            .current_dir(directory.path())
            .env("LOOPGATE_DEMO", yes);
        Program::spawn(&directory, command)
            .connect()
            .log_in("admin");
    }
    let mut command = directory.command(&["--listen", "127.0.0.1:0", "--log", "log"]);
    command.env("LOOPGATE_DEMO", "0");
    let program = Program::spawn(&directory, command);
    assert!(!program.said.contains("DEMO"), "{}", program.said);
}

#[test]
fn the_store_is_named_before_or_after_the_command() {
    let directory = Directory::new();
    directory.add_users();
    let path = directory.store();
    let path = path.to_str().unwrap();
    let named = format!("--store={path}");
    for arguments in [
        &["--store", path, "user", "list"][..],
        &["user", "--store", path, "list"],
        &["user", "list", "--store", path],
        &[&*named, "user", "list"],
    ] {
        let listed = run(bare(arguments));
        assert!(listed.succeeded().contains("alice"), "{arguments:?}");
    }
    let serving = [
        "--store",
        path,
        "--listen",
        "127.0.0.1:0",
        "--log",
        "/dev/null",
    ];
    Program::spawn(&directory, bare(&serving))
        .connect()
        .log_in("alice");
}

#[test]
fn a_first_start_without_a_terminal_makes_no_user_and_says_what_to_do() {
    let directory = Directory::new();
    let program = Program::start_in(&directory, &[]);
    has_logged(&directory, "loopgate user add admin --role admin");
    assert_eq!(program.said, "");
    assert_eq!(
        program.connect().ask(login("admin", "password")).status,
        401
    );
    drop(program);
    assert_eq!(stored::open(&directory.store()).load().unwrap().users, []);
}

#[test]
fn a_first_start_tells_the_terminal_a_password_once() {
    if run(bare_script(&["--version"])).code != Some(0) {
        skip("there is no script(1) of util-linux here");
        return;
    }
    let directory = Directory::new();
    let first = AtTerminal::start(&directory);
    let line = first.program.said.trim();
    let (_, password) = line
        .split_once("the user admin with the password ")
        .expect(line);
    assert!(password.len() >= 16, "{line}");
    let answer = first.program.connect().ask(login("admin", password));
    assert_eq!(answer.status, 200, "{answer:?}");
    let password = password.to_owned();
    drop(first);
    assert!(directory.log().contains(": drained"));
    assert!(!directory.log().contains(&password));
    let second = AtTerminal::start(&directory);
    assert_eq!(second.program.said, "", "it has nothing to tell any more");
}

/// The program at a terminal, which is script(1)'s.
struct AtTerminal {
    program: Program,
}

impl AtTerminal {
    fn start(directory: &Directory) -> Self {
        let serve = format!(
            "'{}' --store '{}' --listen 127.0.0.1:0 --log log",
            env!("CARGO_BIN_EXE_loopgate"),
            directory.store().display()
        );
        let mut command = bare_script(&["-qec", &serve, "/dev/null"]);
        command.current_dir(directory.path());
        Self {
            program: Program::spawn(directory, command),
        }
    }
}

impl Drop for AtTerminal {
    fn drop(&mut self) {
        // The child is script(1); what it runs is known by the id in the lock file.
        let lock = self.program.directory().path().join("store.db.lock");
        let id = fs::read_to_string(lock).ok();
        let id = id.and_then(|id| Pid::from_raw(id.trim().parse().ok()?));
        if id.is_some_and(|id| kill_process(id, Signal::TERM).is_ok()) {
            self.program.wait();
        }
    }
}

fn bare_script(arguments: &[&str]) -> Command {
    let known = Command::new("script").arg("--version").output().is_ok();
    let mut command = Command::new(if known { "script" } else { "false" });
    command.args(arguments);
    command
}

#[test]
fn several_addresses_are_served_at_once_a_unix_socket_among_them() {
    let directory = Directory::new();
    directory.add_users();
    let socket = directory.path().join("socket");
    let listen = format!("unix:{}", socket.display());
    // The second time the socket of the first is still there: a killed server removes nothing.
    for _ in 0..2 {
        let program = Program::start_in(&directory, &["--listen", &listen, "--listen", "[::1]:0"]);
        assert_eq!(program.connect().ask(get("/healthz")).status, 200);
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request =
            login("alice", "password").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let other = Directory::new();
        other.add_users();
        let refused = run(other.command(&["--listen", &listen]));
        refused.failed_with(1, &["cannot listen on unix:", "in use"]);
        UnixStream::connect(&socket).expect("the first server still has it");
        has_logged(&directory, "POST /login 200");
        program.kill();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_command_whose_output_cannot_be_written_has_failed() {
    let directory = Directory::new();
    directory.add_users();
    let program = Program::start_in(&directory, &["--record", "tape"]);
    program.connect().log_in("alice");
    program.signal(Signal::TERM);
    let mut program = program;
    assert!(program.wait().success());
    for arguments in [
        &["--version"][..],
        &["--help"],
        &["serve", "--help"],
        &["user", "list"],
        &["user", "passwd", "button", "--password-stdin"],
        &["user", "remove", "button"],
        &["key", "rotate"],
        &["simulate", "--steps", "10"],
        &["simulate", "--steps", "10", "--show"],
        &["replay", "tape"],
        &["replay", "tape", "--show"],
    ] {
        let on_full_disk = |redirection: &str| {
            let mut shell = Command::new("sh");
            let line = format!("\"$@\" {redirection}");
            shell.args(["-c", &line, "sh"]);
            let command = directory.command(arguments);
            shell.arg(command.get_program()).args(command.get_args());
            shell.current_dir(directory.path());
            run_with(shell, "a new password\n")
        };
        on_full_disk(">/dev/full").failed_with(1, &["cannot write to standard output", "space"]);
    }
}

#[test]
fn a_command_whose_reader_has_gone_ends_quietly() {
    let directory = Directory::new();
    directory.add_users();
    for arguments in [
        &["user", "list"][..],
        &["simulate", "--steps", "10", "--show"],
    ] {
        let mut command = directory.command(arguments);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped());
        let ended = command.spawn().expect("it starts").wait_with_output();
        let ended = ended.expect("it ends");
        assert_eq!(ended.status.code(), Some(141), "as a shell says of SIGPIPE");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    }
    // A server serves, whether or not its output can be written.
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = directory.command(&["serve", "--listen", "unix:socket", "--log", "log"]);
    let mut child = command.stdout(writer).spawn().expect("it starts");
    let socket = directory.path().join("socket");
    let served = wait_until("it listens", || UnixStream::connect(&socket).ok());
    assert_eq!(Client::over(served).ask(get("/healthz")).status, 200);
    kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn only_stories_that_were_played_are_reported() {
    let simulate =
        |arguments: &[&str]| run(bare(&[&["simulate", "--steps", "10"], arguments].concat()));
    let last = u64::MAX.to_string();
    let told = simulate(&["--seed", &last]).succeeded().to_owned();
    assert!(
        told.starts_with("1 story, none of which went wrong: 10 steps, "),
        "{told}"
    );
    let before = (u64::MAX - 1).to_string();
    for arguments in [
        &["--seed", &before, "--seeds", "2"][..],
        &["--seed", &before, "--for-ever"],
    ] {
        let told = simulate(arguments).succeeded().to_owned();
        assert!(
            told.starts_with("2 stories, none of which went wrong: "),
            "{told}"
        );
    }
    let refused = simulate(&["--seed", &before, "--seeds", "3"]);
    refused.failed_with(
        2,
        &[
            "there are 2 seeds",
            "--seeds must be at most 2; see loopgate simulate --help",
        ],
    );
    for nothing in [["--seeds", "0"], ["--seed", "0x1"]] {
        assert_eq!(simulate(&nothing).code, Some(2), "{nothing:?}");
    }
    assert_eq!(run(bare(&["simulate", "--steps", "0"])).code, Some(2));
}

#[test]
fn a_story_is_told_as_the_selector_reports_that_was_asked_for() {
    let digest = |arguments: &[&str]| {
        let told = run(bare(&[&["simulate"], arguments].concat()));
        let told = told.succeeded().to_owned();
        let digest = told.split("digest ").nth(1).expect("a digest");
        digest.lines().next().unwrap_or_default().to_owned()
    };
    let epoll = digest(&["--readiness", "epoll"]);
    assert_eq!(epoll, digest(&[]), "it is the default");
    assert_ne!(epoll, digest(&["--readiness", "kqueue"]));
}
