//! Sockets on a path: one server has it at a time, and what a dead one left is replaced.

use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::harness::{Directory, Program};
use crate::run::run;

fn at(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// Puts a socket at `path` on which no process listens, so that connecting is refused.
fn put_dead_socket(path: &Path) {
    let dead = path.with_extension("dead");
    drop(UnixListener::bind(&dead).expect("it listens for a moment"));
    fs::rename(&dead, path).expect("renamed");
}

fn refused(listen: &str) {
    let other = Directory::new();
    other.add_users();
    let refused = run(other.command(&["--listen", listen]));
    refused.failed_with(1, &["cannot listen on unix:", "in use"]);
}

#[test]
fn a_start_does_not_wait_for_a_socket_whose_queue_is_full() {
    let directory = Directory::new();
    let path = directory.path().join("socket");
    let address = SockAddr::unix(&path).expect("a path");
    let busy = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    busy.bind(&address).expect("bound");
    busy.listen(0).expect("it listens");
    let mut waiting = Vec::new();
    let full = loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
        client.set_nonblocking(true).expect("it does not block");
        match client.connect(&address) {
            Ok(()) => waiting.push(client),
            Err(error) => break error,
        }
    };
    // Elsewhere a full queue refuses, and looks like a socket that a dead server left.
    if cfg!(target_os = "linux") {
        assert_eq!(full.kind(), std::io::ErrorKind::WouldBlock);
        refused(&at(&path));
        assert!(busy.accept().is_ok(), "its socket is still there");
    }
}

#[test]
fn a_servers_path_is_its_own_even_where_connecting_is_refused() {
    let directory = Directory::new();
    directory.add_users();
    let path = directory.path().join("socket");
    let listen = at(&path);
    let program = Program::start_in(&directory, &["--listen", &listen]);
    // What a full queue looks like outside Linux.
    put_dead_socket(&path);
    refused(&listen);
    assert!(path.exists(), "it was left alone");
    // After a kill, neither the socket nor the lock's file keeps the next one away.
    program.kill();
    put_dead_socket(&path);
    let program = Program::start_in(&directory, &["--listen", &listen]);
    UnixStream::connect(&path).expect("the next one listens");
    drop(program);
}

#[test]
fn a_lock_that_is_a_symbolic_link_is_not_followed() {
    let directory = Directory::new();
    directory.add_users();
    let path = directory.path().join("socket");
    let elsewhere = directory.path().join("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, directory.path().join("socket.lock")).expect("a link");
    let refused = run(directory.command(&["--listen", &at(&path)]));
    refused.failed_with(
        1,
        &["cannot listen on unix:", "socket.lock is a symbolic link"],
    );
    assert!(!elsewhere.exists(), "the link was followed");
}

#[test]
fn a_path_where_no_server_could_listen_gets_no_lock() {
    let directory = Directory::new();
    directory.add_users();
    let (file, long) = ("file", "x".repeat(200));
    fs::write(directory.path().join(file), "precious").expect("written");
    for (name, words) in [(file, "in use"), (&long, "path must be shorter")] {
        let listen = format!("unix:{name}");
        run(directory.command(&["--listen", &listen])).failed_with(1, &[words]);
        let lock = directory.path().join(format!("{name}.lock"));
        assert!(!lock.exists(), "{}", lock.display());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_goes_on_has_the_path_for_itself_too() {
    let directory = Directory::new();
    directory.add_users();
    let path = directory.path().join("socket");
    let listen = at(&path);
    let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    command.args(["--listen", &listen]);
    let mut server = crate::restarts::Generations::spawn(&directory, command);
    for _ in 0..2 {
        server.restart();
        UnixStream::connect(&path).expect("it listens");
    }
    put_dead_socket(&path);
    refused(&listen);
    assert!(path.exists(), "it was left alone");
}
