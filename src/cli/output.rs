//! Standard output: what a command prints is what it was run for, so a command whose output cannot be written has
//! failed.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use thiserror::Error;

use super::Failure;

/// The exit code of a command whose reader has gone, as in `loopgate user list | head -1`: what a shell says of a
/// process that SIGPIPE has ended (128 + 13).
const READER_GONE: u8 = 141;

/// Something could not be written to standard output.
#[derive(Debug, Error)]
#[error("cannot write to standard output: {0}")]
pub(super) struct Unwritten(#[from] io::Error);

/// Prints a line that the user asked for.
///
/// # Errors
/// When it cannot be written.
pub(super) fn print(line: impl fmt::Display) -> Result<(), Unwritten> {
    // Line by line, whatever standard output is: nothing is left in a buffer.
    Ok(writeln!(io::stdout(), "{line}")?)
}

/// Prints a line of a server for people who look. It serves all the same if it cannot be written.
pub(super) fn say(line: impl fmt::Display) {
    let _ = print(line);
}

/// A number with its noun: `1 step`, `2 steps`.
pub(super) fn count(number: impl Into<u64>, one: &str, many: &str) -> String {
    let number = number.into();
    let noun = if number == 1 { one } else { many };
    format!("{number} {noun}")
}

/// Tells why a command failed, in one line on stderr, and says with which code it ends. A reader that has gone knows
/// that itself.
pub(super) fn failed(failure: &Failure) -> ExitCode {
    let unwritten = failure.downcast_ref::<Unwritten>();
    if unwritten.is_some_and(|Unwritten(why)| why.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::from(READER_GONE);
    }
    let _ = writeln!(io::stderr(), "loopgate: {failure}");
    ExitCode::FAILURE
}

/// Prints what the reading of the command line came to: help, the version, or what is wrong with it.
pub(super) fn no_command(instead: &clap::Error) -> ExitCode {
    let printed = instead.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(why) if !instead.use_stderr() => failed(&Unwritten(why).into()),
        _ => ExitCode::from(u8::try_from(instead.exit_code()).unwrap_or(2)),
    }
}
