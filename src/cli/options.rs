//! The options of the command line and the environment.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::limits::LimitOptions;
use super::logging::AccessOption;
use super::recording::{RecordingOptions, ReplayOptions};
use super::time::time;
use super::watching::WatchingOptions;
use clap::{Args, Parser, Subcommand, ValueEnum};
use loopgate::config::{
    Config, HashCost, ListenAddr, SlowPolicy, SocketMode, StorePath, TlsFiles, default_workers,
};

/// A login/logout server and event hub on one hand-rolled event loop.
///
/// Without a command, loopgate serves: `loopgate --demo` is `loopgate serve --demo`.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Try `loopgate serve --help` for the server's options."
)]
pub(super) struct Cli {
    /// Where users, sessions and events are kept; `:memory:` keeps nothing
    #[arg(
        long,
        global = true,
        env = "LOOPGATE_STORE",
        default_value = "loopgate.db",
        value_name = "FILE"
    )]
    pub(super) store: StorePath,
    /// Write the log to this file instead of stderr; SIGUSR1 reopens it
    #[arg(long, global = true, env = "LOOPGATE_LOG", value_name = "FILE")]
    pub(super) log: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve until told to stop (the default)
    Serve(Box<ServeOptions>),
    /// Add, change, remove, list and import users, while no server has the store
    #[command(subcommand)]
    User(UserCommand),
    /// Change the key that signatures are made with
    #[command(subcommand)]
    Key(KeyCommand),
    /// Play stories in which everything goes wrong that can, to see that the server does not
    Simulate(SimulateOptions),
    /// Play what `serve --record` wrote: the same turns again, without a network
    Replay(ReplayOptions),
}

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a user; the password is asked for
    Add {
        /// 1 to 128 characters
        name: String,
        /// What the user may do
        #[arg(long, value_enum, default_value_t = Role::User)]
        role: Role,
        /// Read the password from the first line of stdin
        #[arg(long)]
        password_stdin: bool,
    },
    /// Give a user a new password, and end their sessions
    Passwd {
        /// Whose
        name: String,
        /// Read the password from the first line of stdin
        #[arg(long)]
        password_stdin: bool,
    },
    /// Remove a user and their sessions
    Remove {
        /// Whom
        name: String,
    },
    /// List the users
    List,
    /// Add the users of a CSV file with the columns username, password and, optionally, role.
    /// A password may be a PHC string (`$argon2id$…`). All are added, or none
    Import {
        /// The file
        file: PathBuf,
    },
}

#[derive(Args, Debug)]
pub(super) struct SimulateOptions {
    /// The story's seed, or the first of several: the same seed and steps are the same story
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Play so many stories, one seed after the other
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000),
        conflicts_with = "for_ever"
    )]
    pub(super) seeds: u64,
    /// Play one story after the other until one goes wrong
    #[arg(long)]
    pub(super) for_ever: bool,
    /// So many things happen in a story
    #[arg(
        long,
        value_name = "K",
        default_value_t = 400,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000)
    )]
    pub(super) steps: u64,
    /// Which of the systems' selectors reports readiness
    #[arg(long, value_enum, default_value_t = Readiness::Epoll)]
    pub(super) readiness: Readiness,
    /// Tell the story, turn by turn
    #[arg(long, conflicts_with_all = ["seeds", "for_ever"])]
    pub(super) show: bool,
}

/// A selector, as the command line names it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Readiness {
    /// Linux's: one report for each source
    Epoll,
    /// macOS's and the BSDs': one report for each direction
    Kqueue,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a new key; a server that runs uses it after SIGHUP
    Rotate {
        /// Signatures of the old key stay valid for so long: at least as long as sessions last
        #[arg(
            long,
            value_name = "TIME",
            default_value = "24h",
            value_parser = time
        )]
        retire_after: Duration,
    },
}

/// What a user may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Role {
    /// Log in, and see their own events
    User,
    /// Also publish events
    Producer,
    /// Also see the events of all users
    Admin,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Producer => "producer",
            Self::Admin => "admin",
        }
    }
}

/// What happens to a subscriber whose outbox is full.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Slow {
    /// The oldest events that wait are dropped; a `gap` tells which
    DropOldest,
    /// New events are dropped until there is room; a `gap` tells which
    DropNewest,
    /// It is disconnected, and can resume where it was
    Disconnect,
}

impl Slow {
    fn policy(self) -> SlowPolicy {
        match self {
            Self::DropOldest => SlowPolicy::DropOldest,
            Self::DropNewest => SlowPolicy::DropNewest,
            Self::Disconnect => SlowPolicy::Disconnect,
        }
    }
}

#[derive(Args, Debug)]
pub(super) struct ServeOptions {
    /// Where to listen: `ADDRESS:PORT` or `unix:/path`; may be repeated
    #[arg(
        long,
        env = "LOOPGATE_LISTEN",
        value_name = "ADDR",
        value_delimiter = ',',
        default_value = "127.0.0.1:8080"
    )]
    pub(super) listen: Vec<ListenAddr>,
    /// Who may connect to unix sockets, as permissions in octal: 0660 is the server's user and group
    #[arg(
        long,
        env = "LOOPGATE_SOCKET_MODE",
        value_name = "MODE",
        default_value_t = SocketMode::default()
    )]
    socket_mode: SocketMode,
    /// For curl, wrk and classrooms: store in memory, user admin with password `password`, hashes
    /// that cost nothing, loopback only
    #[arg(long, env = "LOOPGATE_DEMO", value_parser = clap::builder::BoolishValueParser::new())]
    pub(super) demo: bool,
    /// Run this command and give it every event, one line of JSON each, on its stdin; may be repeated
    #[arg(long, env = "LOOPGATE_SUBSCRIBE", value_name = "CMD")]
    subscribe: Vec<String>,
    /// Run this command and make each line on its stdout an event; may be repeated
    #[arg(long, env = "LOOPGATE_PRODUCE", value_name = "CMD")]
    produce: Vec<String>,
    /// Threads that hash passwords, at most 1024 [default: cores but one]
    #[arg(long, env = "LOOPGATE_WORKERS", value_name = "N")]
    workers: Option<usize>,
    /// Speak TLS on TCP, with this certificate (PEM, and those that lead to its issuer); SIGHUP reads it again
    #[arg(
        long,
        env = "LOOPGATE_TLS_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(
        long,
        env = "LOOPGATE_TLS_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// With TLS, browsers are told to use nothing else for so long; 0 tells them nothing
    #[arg(long, env = "LOOPGATE_HSTS", value_name = "TIME", default_value = "8760h", value_parser = time)]
    hsts: Duration,
    /// Believe X-Forwarded-For and X-Forwarded-Proto from this address; may be repeated
    #[arg(
        long,
        env = "LOOPGATE_TRUST_PROXY",
        value_name = "ADDR",
        value_delimiter = ','
    )]
    trust_proxy: Vec<IpAddr>,
    /// A line for each answered request: off, plain, combined (as `GoAccess` and fail2ban read it) or json; with
    /// `=FILE` in a file of its own, else where the log goes, if `RUST_LOG` lets it
    #[arg(
        long,
        env = "LOOPGATE_ACCESS_LOG",
        value_name = "FORM[=FILE]",
        default_value = "plain"
    )]
    pub(super) access_log: AccessOption,
    /// What happens to a subscriber whose outbox is full
    #[arg(
        long,
        env = "LOOPGATE_SLOW_SUBSCRIBER",
        value_enum,
        value_name = "POLICY",
        default_value_t = Slow::DropOldest
    )]
    slow_subscriber: Slow,
    /// The issuer that signatures name
    #[arg(
        long,
        env = "LOOPGATE_ISSUER",
        value_name = "NAME",
        default_value = "loopgate"
    )]
    issuer: String,
    #[command(flatten, next_help_heading = "Watching")]
    watching: WatchingOptions,
    #[command(flatten, next_help_heading = "Recording")]
    pub(super) record: RecordingOptions,
    #[command(flatten, next_help_heading = "Limits")]
    limits: LimitOptions,
}

impl ServeOptions {
    /// The configuration that these options make.
    pub(super) fn config(self, store: &StorePath) -> Config {
        Config {
            listen: self.listen,
            socket_mode: self.socket_mode,
            pace: self.watching.pace(),
            monitor: self.watching.monitor,
            store: if self.demo {
                StorePath::Memory
            } else {
                store.clone()
            },
            subscribe: self.subscribe,
            produce: self.produce,
            workers: self.workers.unwrap_or_else(default_workers),
            tls: self.tls_cert.zip(self.tls_key).map(files),
            hsts: self.hsts,
            trust_proxy: self.trust_proxy,
            limits: self.limits.limits(self.demo),
            hash_cost: if self.demo {
                HashCost::TOKEN
            } else {
                HashCost::DEFAULT
            },
            slow_subscriber: self.slow_subscriber.policy(),
            issuer: self.issuer,
        }
    }
}

fn files((certificate, key): (PathBuf, PathBuf)) -> TlsFiles {
    TlsFiles { certificate, key }
}

/// The arguments with a command; `serve`, if none is named.
pub(super) fn with_command(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.collect();
    let mut rest = args.iter().skip(1);
    let named = loop {
        match rest.next().and_then(|arg| arg.to_str()) {
            // The two options that may stand before a command have a value.
            Some("--store" | "--log") => drop(rest.next()),
            Some(arg) if arg.starts_with("--store=") || arg.starts_with("--log=") => {}
            Some("-h" | "--help" | "-V" | "--version") => break true,
            Some(arg) => break !arg.starts_with('-'),
            None => break false,
        }
    };
    if !named && !args.is_empty() {
        args.insert(1, "serve".into());
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_options_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_the_librarys() {
        let Cli {
            command: Command::Serve(options),
            store,
            ..
        } = Cli::parse_from(with_command(["loopgate".into()].into_iter()))
        else {
            panic!("serving is the default")
        };
        let config = Config {
            store,
            ..Config::default()
        };
        assert_eq!(
            format!("{:?}", options.config(&config.store)),
            format!("{config:?}")
        );
    }

    #[test]
    fn serve_is_meant_where_no_command_is_named() {
        for (line, command) in [
            ("", "serve"),
            ("--demo", "serve"),
            ("--store x --demo", "serve"),
            ("--store=x", "serve"),
            ("--log x", "serve"),
            ("serve --demo", ""),
            ("--store user user list", ""),
            ("user list --store x", ""),
            ("--help", ""),
        ] {
            let args = |line: &str| -> Vec<OsString> {
                line.split_whitespace().map(OsString::from).collect()
            };
            let given = [args("loopgate"), args(line)].concat();
            let meant = [args("loopgate"), args(command), args(line)].concat();
            assert_eq!(with_command(given.into_iter()), meant, "{line}");
        }
    }
}
