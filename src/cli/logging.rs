//! The log: `env_logger`'s filter, our line, and a thread that writes it.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::path::PathBuf;

use env_logger::{Builder, Env, Target};
use loopgate::work::log_writer::{self, LogTarget, LogThread};

/// Lines that may wait to be written; more are dropped and counted.
const LINES_WAITING_MAX: usize = 8192;
/// Longest message, in bytes, so that no request can write a whole page.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Sends the log to `file`, or to stderr. `RUST_LOG` says what is logged; the default is `info`.
///
/// # Errors
/// When the file cannot be opened, or the system gives no thread.
pub(super) fn start(file: Option<PathBuf>) -> io::Result<LogThread> {
    let target = file.map_or(LogTarget::Stderr, LogTarget::File);
    let (pipe, thread) = log_writer::start(target, LINES_WAITING_MAX)?;
    Builder::from_env(Env::default().default_filter_or("info"))
        .target(Target::Pipe(Box::new(pipe)))
        .format(|line, record| {
            let (time, level, target) = (line.timestamp_millis(), record.level(), record.target());
            writeln!(
                line,
                "{time} {level:<5} {target}: {}",
                Escaped(record.args())
            )
        })
        .init();
    // A handler's panic costs one request; it belongs in the log like any other error.
    std::panic::set_hook(Box::new(|panic| log::error!("{panic}")));
    Ok(thread)
}

/// A message on one line of limited length, no matter what a client put into it.
struct Escaped<'m>(&'m fmt::Arguments<'m>);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaping = Escaping {
            to: f,
            left: MESSAGE_BYTES_MAX,
        };
        match escaping.write_fmt(*self.0) {
            Err(fmt::Error) if escaping.left == 0 => f.write_str("…"),
            result => result,
        }
    }
}

struct Escaping<'e, 'f> {
    to: &'e mut fmt::Formatter<'f>,
    left: usize,
}

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.left < 10 {
                self.left = 0;
                return Err(fmt::Error);
            }
            if c.is_control() {
                write!(self.to, "{}", c.escape_default())?;
                self.left -= c.escape_default().len();
            } else {
                self.to.write_char(c)?;
                self.left -= c.len_utf8();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_limited_length() {
        let escaped = |text: &str| Escaped(&format_args!("{text}")).to_string();
        assert_eq!(escaped("ærlig\r\n\u{1b}[31m"), "ærlig\\r\\n\\u{1b}[31m");
        let long = escaped(&"\n".repeat(100_000));
        assert!(long.len() <= MESSAGE_BYTES_MAX + "…".len() && long.ends_with('…'));
    }
}
