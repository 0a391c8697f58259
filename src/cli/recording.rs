//! `loopgate serve --record` and `loopgate replay`.

use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use loopgate::recording::{self, Options, RecordOptions};

use super::output::{count, print};
use super::{Ending, Failure};

#[derive(Args, Debug)]
pub(super) struct RecordingOptions {
    /// Write everything that the server meets into this new file, without passwords and signatures, for
    /// `loopgate replay`
    #[arg(long, env = "LOOPGATE_RECORD", value_name = "FILE")]
    record: Option<PathBuf>,
    /// Stop recording when the file has so many bytes
    #[arg(
        long,
        env = "LOOPGATE_RECORD_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 256 * 1024 * 1024,
        value_parser = clap::value_parser!(u64).range(1..=1 << 40)
    )]
    record_bytes_max: u64,
    /// Keep passwords, signatures and the keys that sign in the recording: a reader of the file can log in with them
    #[arg(
        long,
        env = "LOOPGATE_RECORD_SECRETS",
        requires = "record",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    record_secrets: bool,
}

impl RecordingOptions {
    /// The options of a recording, if one is wanted.
    pub(super) fn options(&self) -> Option<RecordOptions> {
        Some(RecordOptions {
            path: self.record.clone()?,
            bytes_max: self.record_bytes_max,
            secrets: self.record_secrets,
        })
    }
}

#[derive(Args, Debug)]
pub(super) struct ReplayOptions {
    /// The recording
    pub(super) file: PathBuf,
    /// Tell what happened, turn by turn
    #[arg(long)]
    pub(super) show: bool,
    /// The same, and wait for Enter after each turn; `q` ends it
    #[arg(long)]
    pub(super) step: bool,
    /// Play so many turns at most
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub(super) turns: u64,
}

pub(super) fn replay(options: &ReplayOptions) -> Result<Ending, Failure> {
    let mut printed = Ok(());
    let mut tell = |turn: &str| {
        printed = print(turn);
        printed.is_ok() && (!options.step || goes_on())
    };
    let told = options.show || options.step;
    let outcome = recording::replay(
        &options.file,
        Options {
            turns_max: options.turns,
            listener: told.then_some(&mut tell),
        },
    )?;
    printed?;
    let recording::Replayed {
        turns,
        states,
        digest,
        ended,
        played_all,
        masked,
    } = outcome;
    let [.., a, b, c, d] = digest;
    let digest = u32::from_be_bytes([a, b, c, d]);
    let ended = match ended {
        Some(why) => format!("the recording ends here: {why}"),
        None if played_all => {
            "the recording breaks off here: the server was killed, or the file was cut".into()
        }
        None if turns == options.turns => "that is as far as was asked".into(),
        None => "here it was stopped".into(),
    };
    let (turns, states) = (
        count(turns, "turn", "turns"),
        count(states, "state", "states"),
    );
    print(format_args!(
        "{turns} as recorded, {states} compared and the same; state {digest:08x}; {ended}"
    ))?;
    if !masked {
        print("passwords and signatures are in this recording: do not give it away")?;
    }
    Ok(Ending::Done)
}

/// Waits for Enter. The end of the input, or `q`, ends the replay.
fn goes_on() -> bool {
    let _ = io::stdout().flush();
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.is_ok_and(|count| count > 0) && !line.starts_with('q')
}
