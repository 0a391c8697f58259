//! `loopgate key`.

use loopgate::config::{SessionTimes, StorePath};
use loopgate::reactor::{Clock, Entropy, OsClock, OsEntropy};
use loopgate::server::key_path;
use loopgate::token::Keys;

use super::options::KeyCommand;
use super::{Failure, Outcome, say};

pub(super) fn key(store: &StorePath, command: &KeyCommand) -> Result<Outcome, Failure> {
    let KeyCommand::Rotate = command;
    let path = key_path(store).ok_or("a store in memory has no key file; name one with --store")?;
    let Some(mut keys) = Keys::load(&path)? else {
        let path = path.display();
        return Err(format!("{path} is not there; a server makes it at its first start").into());
    };
    let now_s = (OsClock::default().unix_ms() / 1000).cast_signed();
    // No session outlives the key that signed it.
    let retire_after_s = SessionTimes::default().absolute.as_secs().cast_signed();
    let (id, secret) = (u32::from_le_bytes(OsEntropy.bytes()), OsEntropy.bytes());
    keys.rotate(&path, id, secret, now_s, retire_after_s)?;
    say(format_args!(
        "new key {} in {}",
        keys.current().kid(),
        path.display()
    ));
    say("a server that runs uses it after SIGHUP; the old key stays valid for 24 hours");
    Ok(Outcome::Done)
}
