//! Options and subcommands.
//!
//! `options` defines the command line, `output` prints, `serve`, `users`, `keys`, `simulate` and `recording` are the
//! commands, `logging` sets up the log. `handover` is how one process takes over from another, over a `line`;
//! `restart` begins that, and `program_path` says which program to start. `supervisor` talks to a service manager.
//! Everything here may block: the loop has not begun to turn, or has ended.

mod handover;
mod keys;
mod limits;
mod line;
mod logging;
mod options;
mod output;
mod program_path;
mod recording;
mod restart;
mod serve;
mod simulate;
mod supervisor;
mod time;
mod users;
mod watching;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use options::{Cli, Command};

/// An error in one line for the user at the terminal: what, why, what to do.
type Failure = Box<dyn std::error::Error>;

/// How a run of the program ends; each has its exit code.
enum Ending {
    /// All done; a server was drained.
    Done,
    /// The server cut connections: it was told to stop twice, or draining took too long.
    Cut,
    /// Nothing was done: the options contradict each other, or are out of range.
    Usage(String),
}

/// Runs the program.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(options::with_command(std::env::args_os())) {
        Ok(cli) => cli,
        Err(instead) => return output::no_command(&instead),
    };
    let name = name_of(&cli.command);
    let outcome = match cli.command {
        Command::Serve(options) => serve::serve(&cli.store, cli.log, *options),
        Command::User(command) => users::user(&cli.store, command),
        Command::Key(command) => keys::key(&cli.store, &command),
        Command::Simulate(options) => simulate::simulate(&options),
        Command::Replay(options) => recording::replay(&options),
    };
    match outcome {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Cut) => ExitCode::from(3),
        Ok(Ending::Usage(why)) => {
            let _ = writeln!(io::stderr(), "loopgate: {why}; see loopgate {name} --help");
            ExitCode::from(2)
        }
        Err(failure) => output::failed(&failure),
    }
}

/// The name of a command, as the user types it.
fn name_of(command: &Command) -> &'static str {
    match command {
        Command::Serve(_) => "serve",
        Command::User(_) => "user",
        Command::Key(_) => "key",
        Command::Simulate(_) => "simulate",
        Command::Replay(_) => "replay",
    }
}
