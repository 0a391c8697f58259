//! The log: `env_logger`'s filter, our line, and a thread that writes it; the access log beside it.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use env_logger::{Builder, Env, Target};
use loopgate::server::{ACCESS, AccessFormat, Server};
use loopgate::work::log_writer::{self, LogPipe, LogTarget, LogThread, WAITING_BYTES_MAX};

use super::Failure;

/// Longest message, in bytes, so that no request can write a whole page.
const MESSAGE_BYTES_MAX: usize = 4096;

/// What `--access-log` says: a form, and perhaps a file of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AccessOption {
    format: AccessFormat,
    file: Option<PathBuf>,
}

impl FromStr for AccessOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, file) = match text.split_once('=') {
            None => (text, None),
            Some((_, "")) => return Err("after = the name of a file is missing".into()),
            Some((name, file)) => (name, Some(file.into())),
        };
        let format = match name {
            "off" if file.is_some() => return Err("off writes no file".into()),
            "off" => AccessFormat::Off,
            "plain" => AccessFormat::Plain,
            "combined" => AccessFormat::Combined,
            "json" => AccessFormat::Json,
            _ => return Err("the forms are off, plain, combined and json".into()),
        };
        Ok(Self { format, file })
    }
}

/// The threads that write what the program logs.
#[derive(Debug)]
pub(super) struct Logs {
    log: LogThread,
    access: Option<LogThread>,
    format: AccessFormat,
    /// Where access lines go, if they are read.
    pipe: Option<LogPipe>,
}

impl Logs {
    /// Sends the log to `file`, or to stderr, and access lines where `access` says. `RUST_LOG` says what is logged; the
    /// default is `info`. Access lines with a file of their own are always logged.
    pub(super) fn start(file: Option<PathBuf>, access: AccessOption) -> Result<Self, Failure> {
        let (pipe, log) = open(file, "--log")?;
        init(pipe.clone());
        let is_read = log::log_enabled!(target: ACCESS, log::Level::Info);
        let (pipe, access_thread) = match access.file {
            Some(file) => {
                let (pipe, thread) = open(Some(file), "--access-log")?;
                (Some(pipe), Some(thread))
            }
            None => (is_read.then_some(pipe), None),
        };
        Ok(Self {
            log,
            access: access_thread,
            format: access.format,
            pipe,
        })
    }

    /// Has the server write its access lines here.
    pub(super) fn of(&self, server: &mut Server) {
        server.log_access(self.format, self.pipe.clone());
    }

    /// Opens the files again by their paths.
    pub(super) fn reopen(&self) {
        self.log.reopen();
        if let Some(access) = &self.access {
            access.reopen();
        }
    }

    /// Waits until everything is written, but not for ever.
    pub(super) fn finish(self) {
        if let Some(access) = self.access {
            access.finish();
        }
        self.log.finish();
    }
}

/// Opens the file that this option names, or stderr.
fn open(file: Option<PathBuf>, option: &str) -> Result<(LogPipe, LogThread), Failure> {
    let target = file.clone().map_or(LogTarget::Stderr, LogTarget::File);
    let opened = log_writer::start(target, WAITING_BYTES_MAX);
    opened.map_err(|error| match file.as_deref().map(Path::display) {
        Some(path) => {
            format!("cannot write the log {path}: {error}; choose another file with {option}")
                .into()
        }
        None => format!("cannot start the log's thread: {error}").into(),
    })
}

fn init(pipe: LogPipe) {
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
