//! The real program, as a process.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::rc::Rc;
#[cfg(target_os = "linux")]
use std::time::Duration;

use loopgate::config::{Config, StorePath};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Client, catch_up, config, descriptors, store, wait_until};

/// The real program, in a directory of its own.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    /// What it printed before it listened.
    pub(crate) said: String,
    child: Child,
    directory: Directory,
}

/// Where a program's files are: the store `store.db`, its key, the log `log`.
#[derive(Clone)]
pub(crate) struct Directory(Rc<TempDir>);

impl Directory {
    pub(crate) fn new() -> Self {
        Self(Rc::new(tempfile::tempdir().expect("a directory")))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("store.db")
    }

    /// `loopgate` with these arguments, on this directory's store, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopgate"));
        command
            .arg("--store")
            .arg(self.store())
            .args(arguments)
            .current_dir(self.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOOPGATE_")) {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG");
        command
    }

    /// Adds the users of [`store`], with hashes that cost nothing.
    pub(crate) fn add_users(&self) {
        let store_path = StorePath::File(self.store());
        store(&Config {
            store: store_path,
            ..config()
        });
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }
}

impl Program {
    /// Starts it on a new store with the users of [`store`].
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = Directory::new();
        directory.add_users();
        Self::start_in(&directory, arguments)
    }

    /// Starts it on the store that the directory has, if it has one.
    pub(crate) fn start_in(directory: &Directory, arguments: &[&str]) -> Self {
        let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
        command.args(arguments);
        Self::spawn(directory, command)
    }

    /// Starts a command that ends in this program serving.
    pub(crate) fn spawn(directory: &Directory, mut command: Command) -> Self {
        descriptors();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                let status = child.wait().expect("it ended");
                panic!(
                    "the program ended before it listened: {status}\n{}",
                    directory.log()
                );
            };
            let address = line.strip_prefix("listening on http");
            if let Some(address) = address.and_then(|rest| rest.split("://").nth(1)) {
                break address.parse().expect("an address");
            }
            said.push_str(&line);
            said.push('\n');
        };
        Self {
            address,
            said,
            child,
            directory: directory.clone(),
        }
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Returns when the loop has read everything that was sent before.
    pub(crate) fn catch_up(&self) {
        catch_up(self.address);
    }

    /// Time on a core that all its threads have had.
    #[cfg(target_os = "linux")]
    pub(crate) fn cpu_time(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let nanoseconds = tasks.expect("it is running").map(|task| {
            let path = task.expect("a thread").path().join("schedstat");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let first = text.split(' ').next().unwrap_or_default();
            first.parse::<u64>().unwrap_or_default()
        });
        let time = Duration::from_nanos(nanoseconds.sum());
        assert!(!time.is_zero(), "the system does not tell");
        time
    }

    /// Memory that it has at the moment.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it is running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let digits = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = digits.and_then(|digits| digits.parse().ok()).expect("KiB");
        kib * 1024
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is running");
    }

    /// Kills it with SIGKILL and waits for its end.
    pub(crate) fn kill(mut self) -> Directory {
        self.child.kill().expect("it is running");
        self.child.wait().expect("it ends");
        self.directory.clone()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_until("the program ends", || {
            self.child.try_wait().expect("it is our child")
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
