//! What a sandbox refuses, and a server can do without.

use std::process::Command;

use crate::harness::{Directory, Program, get};
use crate::listeners::are_installed;

#[test]
fn socket_options_that_are_refused_are_logged_and_left_out() {
    if !are_installed(&[&["strace", "-V"]]) {
        return;
    }
    let directory = Directory::new();
    directory.add_users();
    let served = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
    let mut strace = Command::new("strace");
    strace.args(["-D", "-f", "-q", "-o", "/dev/null"]);
    strace.args(["-e", "inject=setsockopt:error=ENOPROTOOPT"]);
    strace.arg(served.get_program()).args(served.get_args());
    strace
        .args(["--listen", "[::1]:0"])
        .current_dir(directory.path());
    let program = Program::spawn(&directory, strace);
    assert_eq!(program.connect().ask(get("/healthz")).status, 200);
    let log = program.directory().log();
    for option in ["SO_REUSEADDR", "IPV6_V6ONLY", "TCP_USER_TIMEOUT"] {
        assert!(log.contains(&format!("refuses {option}: ")), "{log}");
    }
}
