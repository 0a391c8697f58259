//! Standard output: a command is run for its output, so a command whose output cannot be written has failed.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use thiserror::Error;

use super::Failure;

/// The exit code of a command whose reader has gone, as in `loopgate user list | head -1`: the code that a shell gives
/// for a process that SIGPIPE has ended (128 + 13).
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
    // Line by line, for any kind of standard output: nothing stays in a buffer.
    Ok(writeln!(io::stdout(), "{line}")?)
}

/// Prints a line of a server for its user. The server continues even if the line cannot be written.
pub(super) fn say(line: impl fmt::Display) {
    let _ = print(line);
}

/// A number with its noun: `1 step`, `2 steps`.
pub(super) fn count(number: impl Into<u64>, one: &str, many: &str) -> String {
    let number = number.into();
    let noun = if number == 1 { one } else { many };
    format!("{number} {noun}")
}

/// Prints to stderr in one line why a command failed, and returns the exit code. It prints nothing if the reader of
/// the output has gone.
pub(super) fn failed(failure: &Failure) -> ExitCode {
    let unwritten = failure.downcast_ref::<Unwritten>();
    if unwritten.is_some_and(|Unwritten(why)| why.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::from(READER_GONE);
    }
    let _ = writeln!(io::stderr(), "loopgate: {failure}");
    ExitCode::FAILURE
}

/// Prints the result of parsing the command line: help, the version, or an error.
pub(super) fn no_command(instead: &clap::Error) -> ExitCode {
    let printed = instead.print().and_then(|()| io::stdout().flush());
    match printed {
        Err(why) if !instead.use_stderr() => failed(&Unwritten(why).into()),
        _ => ExitCode::from(u8::try_from(instead.exit_code()).unwrap_or(2)),
    }
}
