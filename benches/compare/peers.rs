//! The servers that are compared, and how each is started. Their programs are in `benches/peers`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Cores;
use crate::machine::pin_self;
use crate::program::{Program, ask, connect, log_in};

/// One of the servers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    how: How,
    /// It answers `GET /session` with the same work.
    pub(crate) has_sessions: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Loopgate,
    /// The same, with a monitor.
    Monitored,
    /// The same, built without what the ledger does.
    WithoutLedger,
    /// A program of `benches/peers`.
    Rust(&'static str),
    Nginx,
    /// An interpreter and a script of `benches/peers`.
    Script(&'static str, &'static str),
}

pub(crate) const FLOOR: Peer = peer("floor", How::Rust("floor"), true);
pub(crate) const LOOPGATE: Peer = peer("loopgate", How::Loopgate, true);
pub(crate) const WITHOUT_LEDGER: Peer = peer("without its ledger", How::WithoutLedger, true);
pub(crate) const UNWATCHED: Peer = peer("with a monitor", How::Monitored, true);
pub(crate) const WATCHED: Peer = peer("watched", How::Monitored, true);
/// All that are compared with each other, the floor first.
pub(crate) const ALL: [Peer; 9] = [
    FLOOR,
    LOOPGATE,
    peer("may_minihttp", How::Rust("may_minihttp"), false),
    peer("hyper", How::Rust("hyper"), false),
    peer("axum", How::Rust("axum"), true),
    peer("actix-web", How::Rust("actix"), false),
    peer("nginx", How::Nginx, false),
    peer("Node", How::Script("node", "node_server.js"), true),
    peer(
        "aiohttp + uvloop",
        How::Script("python3", "aiohttp_server.py"),
        true,
    ),
];

const fn peer(name: &'static str, how: How, has_sessions: bool) -> Peer {
    Peer {
        name,
        how,
        has_sessions,
    }
}

/// Where the build without a ledger goes.
const WITHOUT_LEDGER_DIR: &str = "target/without-ledger";

/// Builds the package of a folder into a folder of its own.
fn release_build(root: &Path, package: &str, target: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["build", "--release", "--quiet", "--locked"])
        .arg("--manifest-path")
        .arg(root.join(package).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(root.join(target));
    command
}

/// Servers that run.
pub(crate) type Started = Vec<(Peer, Program)>;

/// Where the programs are, and a folder for what they write.
pub(crate) struct Kitchen {
    root: &'static Path,
    pub(crate) cores: Cores,
    folder: TempDir,
}

impl Kitchen {
    /// Builds the peers' programs, and looks whether there is all that is needed.
    pub(crate) fn prepare(cores: Cores) -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
            return Err("this needs two cores, one for each side".into());
        }
        for tool in ["taskset", "wrk"] {
            if Command::new(tool).arg("--version").output().is_err() {
                return Err(format!(
                    "{tool} is not installed (packages util-linux, wrk)"
                ));
            }
        }
        // 10,000 connections need as many, here and in the servers, which inherit this.
        loopgate::server::raise_descriptor_limit();
        eprintln!("building the peers' programs (benches/peers); the first time takes minutes");
        let mut build = release_build(root, "benches/peers", "target/peers");
        if !build.status().is_ok_and(|status| status.success()) {
            return Err("benches/peers does not build".into());
        }
        // Not in /tmp, which may be memory: some of what is measured is a disk.
        let target = root.join("target");
        let folder = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(target)
            .map_err(|error| format!("no folder for what servers write: {error}"))?;
        pin_self(cores)?;
        Ok(Self {
            root,
            cores,
            folder,
        })
    }

    /// A new file's path.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program of `benches/peers` that is no server.
    pub(crate) fn tool(&self, name: &str) -> Command {
        Command::new(self.root.join("target/peers/release").join(name))
    }

    /// The server under test, with these options.
    pub(crate) fn loopgate(options: &[&str]) -> Command {
        Self::loopgate_at(Path::new(env!("CARGO_BIN_EXE_loopgate")), options)
    }

    fn loopgate_at(program: &Path, options: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .env("RUST_LOG", "warn");
        command
    }

    /// Where the monitor of such a server is.
    pub(crate) fn monitor_of(&self, peer: Peer) -> PathBuf {
        self.file(&peer.name.replace(' ', "-"))
    }

    /// Builds the server once more, without its ledger.
    pub(crate) fn build_without_ledger(&self) -> Result<(), String> {
        eprintln!("building loopgate without its ledger");
        let mut build = release_build(self.root, "", WITHOUT_LEDGER_DIR);
        build
            .args(["--bin", "loopgate"])
            .env("RUSTFLAGS", "--cfg loopgate_without_ledger");
        if !build.status().is_ok_and(|status| status.success()) {
            return Err("it does not build without its ledger".into());
        }
        Ok(())
    }

    /// Starts a server with its best settings for one core. `answer` are the bytes that the floor
    /// sends, `close` has it close each connection after one answer.
    pub(crate) fn start(&self, peer: Peer, answer: &str, close: bool) -> Result<Program, String> {
        let cores = Some(self.cores);
        let scripts = self.root.join("benches/peers");
        let mut program = match peer.how {
            How::Loopgate => Program::start(&Self::loopgate(&DEMO), cores)?,
            How::Monitored => {
                let mut command = Self::loopgate(&DEMO);
                let socket = self.monitor_of(peer);
                command
                    .arg("--monitor")
                    .arg(format!("unix:{}", socket.display()));
                Program::start(&command, cores)?
            }
            How::WithoutLedger => {
                let program = self.root.join(WITHOUT_LEDGER_DIR).join("release/loopgate");
                Program::start(&Self::loopgate_at(&program, &DEMO), cores)?
            }
            How::Rust(name) => {
                let mut command = self.tool(name);
                if peer == FLOOR {
                    let file = self.file("answer");
                    std::fs::write(&file, answer).map_err(|error| error.to_string())?;
                    command.arg("--answer").arg(file);
                    command.args(close.then_some("--close"));
                }
                Program::start(&command, cores)?
            }
            How::Script(interpreter, script) => {
                let mut command = Command::new(interpreter);
                command.arg(scripts.join(script));
                Program::start(&command, cores)?
            }
            How::Nginx => {
                // It cannot choose a port and say which: one that was free just now has to do.
                let address = TcpListener::bind("127.0.0.1:0")
                    .and_then(|listener| listener.local_addr())
                    .map_err(|error| error.to_string())?;
                let template = std::fs::read_to_string(scripts.join("nginx.conf"));
                let template = template.map_err(|error| error.to_string())?;
                let configuration = template.replace("@PORT@", &address.port().to_string());
                std::fs::write(self.file("nginx.conf"), configuration)
                    .map_err(|error| error.to_string())?;
                let mut command = Command::new("nginx");
                command.arg("-p").arg(self.folder.path());
                command.args(["-e", "stderr", "-c", "nginx.conf"]);
                Program::start_at(&command, cores, address)?
            }
        };
        if matches!(
            peer.how,
            How::Loopgate | How::Monitored | How::WithoutLedger
        ) {
            program.sign = Some(log_in(program.address));
        }
        Ok(program)
    }

    /// Starts those of `peers` that can be started; what to say of the others.
    ///
    /// # Errors
    /// Where `LOOPGATE_TEST_REQUIRE_TOOLS=1`, if one is missing.
    pub(crate) fn start_all(
        &self,
        peers: impl Iterator<Item = Peer>,
        answer: &str,
        close: bool,
    ) -> Result<(Started, Vec<String>), String> {
        let all_needed = std::env::var_os("LOOPGATE_TEST_REQUIRE_TOOLS").is_some();
        let (mut started, mut missing) = (Vec::new(), Vec::new());
        for peer in peers {
            match self.start(peer, answer, close) {
                Ok(program) => started.push((peer, program)),
                Err(error) if all_needed => return Err(error),
                Err(error) => {
                    eprintln!("  without {}: {error}", peer.name);
                    missing.push(format!("{} could not be started here.", peer.name));
                }
            }
        }
        Ok((started, missing))
    }

    /// What loopgate answers to `request`, byte for byte: the floor sends the same.
    pub(crate) fn answer_to(&self, request: &str) -> Result<String, String> {
        let mut program = self.start(LOOPGATE, "", false)?;
        let sign = program.sign.clone().unwrap_or_default();
        let answer = ask(
            &mut connect(program.address),
            &request.replace("SIGN", &sign),
        );
        program.stop();
        if answer.starts_with("HTTP/1.1 200") {
            Ok(answer)
        } else {
            Err(format!("loopgate does not answer {request:?}: {answer}"))
        }
    }
}

/// For wrk: no disk, any number of connections that there is room for.
pub(crate) const DEMO: [&str; 3] = ["--demo", "--connections-max", "15000"];
