//! `loopgate key`.

use loopgate::config::StorePath;
use loopgate::reactor::{Clock, OsClock, OsEntropy, random};
use loopgate::server::key_path;
use loopgate::token::Keys;

use super::options::KeyCommand;
use super::output::print;
use super::{Ending, Failure};

pub(super) fn key(store: &StorePath, command: &KeyCommand) -> Result<Ending, Failure> {
    let KeyCommand::Rotate { retire_after } = command;
    let path = key_path(store).ok_or("a store in memory has no key file; name one with --store")?;
    let Some(mut keys) = Keys::load(&path)? else {
        let path = path.display();
        return Err(format!("{path} is not there; a server makes it at its first start").into());
    };
    let now_s = (OsClock::default().unix_ms() / 1000).cast_signed();
    let retire_after_s = retire_after.as_secs().cast_signed();
    let (id, secret) = (
        u32::from_le_bytes(random(&mut OsEntropy)),
        random(&mut OsEntropy),
    );
    keys.rotate(&path, id, secret, now_s, retire_after_s)?;
    print(format_args!(
        "new key {} in {}",
        keys.current().kid(),
        path.display()
    ))?;
    let old = if retire_after.is_zero() {
        "is valid no longer".to_owned()
    } else {
        format!("stays valid for {retire_after:?}")
    };
    print(format_args!(
        "a server that runs uses it after SIGHUP; the old key {old}"
    ))?;
    Ok(Ending::Done)
}
