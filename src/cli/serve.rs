//! `loopgate serve`.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use loopgate::config::{Config, ListenAddr, StorePath};
use loopgate::reactor::{Entropy, OsEntropy, Signal};
use loopgate::server::{Server, Stopped};
use loopgate::token::base64url;
use loopgate::work::Store;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::options::ServeOptions;
use super::users::add_user;
use super::{Failure, Outcome, logging, say};

const DEMO_BANNER: &str = "\
DEMO: no store is used and nothing is kept; everybody knows the password. Loopback only.
      user admin, password `password`; try:
      curl -d 'username=admin&password=password' ";

/// Serves until told to stop.
pub(super) fn serve(
    store: &StorePath,
    log: Option<PathBuf>,
    options: ServeOptions,
) -> Result<Outcome, Failure> {
    let demo = options.demo;
    let config = options.config(store);
    if let Err(why) = config.check() {
        return Ok(Outcome::Usage(format!("--{why}")));
    }
    if demo && let Some(reachable) = beyond_loopback(&config.listen) {
        return Ok(Outcome::Usage(format!(
            "--demo listens on loopback only, and {reachable} is not; leave out --demo, or listen on 127.0.0.1"
        )));
    }
    let log_thread = logging::start(log.clone()).map_err(|error| match log {
        Some(path) => format!(
            "cannot write the log {}: {error}; choose another file with --log",
            path.display()
        ),
        None => format!("cannot start the log's thread: {error}"),
    })?;
    raise_descriptor_limit();
    let mut store = Store::open(&config.store, config.events_kept_max)?;
    if store.load()?.users.is_empty() {
        add_first_user(&mut store, &config, demo)?;
    }
    let mut server = Server::with_store(config, store)?;
    server.handle_signals()?;
    let log_thread = Rc::new(log_thread);
    let reopened = Rc::downgrade(&log_thread);
    server.on_signal(Signal::User1, move || {
        if let Some(log_thread) = reopened.upgrade() {
            log_thread.reopen();
        }
    })?;
    if demo && let Some(address) = server.addresses().first() {
        say(format_args!("{DEMO_BANNER}{address}/login"));
    }
    for address in server.addresses() {
        say(format_args!("listening on {address}"));
    }
    let _ = io::stdout().flush();
    let stopped = server.run()?;
    match stopped {
        Stopped::Drained => {
            let tally = server.tally().clone();
            drop(server);
            log::info!("drained: {tally}");
        }
        Stopped::AtOnce => {
            // Nobody waits for the workers any more. What was confirmed is on disk already.
            std::mem::forget(server);
            log::warn!("stopped before all was finished");
        }
    }
    if let Some(log_thread) = Rc::into_inner(log_thread) {
        log_thread.finish();
    }
    Ok(if stopped == Stopped::Drained {
        Outcome::Done
    } else {
        Outcome::Cut
    })
}

/// An address that other machines can reach: everybody knows the demo's password.
fn beyond_loopback(addresses: &[ListenAddr]) -> Option<SocketAddr> {
    addresses.iter().find_map(|address| match address {
        ListenAddr::Tcp(tcp) | ListenAddr::Tls(tcp) if !tcp.ip().is_loopback() => Some(*tcp),
        _ => None,
    })
}

/// Makes `admin`, and tells its password to whoever sits at the terminal. Nowhere else: what is not
/// a terminal may be a log.
fn add_first_user(store: &mut Store, config: &Config, demo: bool) -> Result<(), Failure> {
    if demo {
        return add_user(store, "admin", "admin", b"password", config.hash_cost);
    }
    let mut terminal: Box<dyn Write> = if io::stdout().is_terminal() {
        Box::new(io::stdout())
    } else if io::stderr().is_terminal() {
        Box::new(io::stderr())
    } else {
        log::warn!(
            "there are no users, and no terminal to tell a first password to; stop the server and run: loopgate user add admin --role admin"
        );
        return Ok(());
    };
    let password = base64url(&OsEntropy.bytes::<15>());
    let cost = config.hash_cost;
    add_user(store, "admin", "admin", password.as_bytes(), cost)?;
    writeln!(
        terminal,
        "first start: created the user admin with the password {password}"
    )?;
    Ok(())
}

/// As many descriptors as this process may ask for; where that fails, it has what it has.
fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
}
