//! `loopgate replay`.

use std::io::{self, BufRead as _, Write as _};

use loopgate::recording::{self, Options};

use super::options::ReplayOptions;
use super::{Failure, Outcome, say};

pub(super) fn replay(options: &ReplayOptions) -> Result<Outcome, Failure> {
    let mut tell = |turn: &str| {
        say(turn);
        !options.step || goes_on()
    };
    let told = options.show || options.step;
    let outcome = recording::replay(
        &options.file,
        Options {
            turns_max: options.turns,
            listener: told.then_some(&mut tell),
        },
    )?;
    let recording::Outcome {
        turns,
        states,
        digest,
        ended,
        masked,
    } = outcome;
    let [.., a, b, c, d] = digest;
    let digest = u32::from_be_bytes([a, b, c, d]);
    let ended = match (ended, states) {
        (Some(why), _) => format!("the recording ends here: {why}"),
        (None, _) if turns == options.turns => "that is as far as was asked".into(),
        (None, _) => "here it was stopped, or the recording breaks off".into(),
    };
    say(format_args!(
        "{turns} turns as they were recorded, {states} states compared and the same; state {digest:08x}; {ended}"
    ));
    if !masked {
        say("passwords and signatures are in this recording: do not give it away");
    }
    Ok(Outcome::Done)
}

/// Waits for Enter. The end of the input, or `q`, ends the replay.
fn goes_on() -> bool {
    let _ = io::stdout().flush();
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    read.is_ok_and(|count| count > 0) && !line.starts_with('q')
}
