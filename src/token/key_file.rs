//! The file that the keys live in.
//!
//! It is JSON, `{"keys":[{"kid":"00c0ffee","secret":"…","created":…,"retires":null}]}`, the current
//! key first, secrets in base64url. It is read at start and written when a key is made; it is never
//! changed in place, so that a crash leaves the old file or the new one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::files;

use super::keys::{Key, KeyError, Keys, SECRET_BYTES, parse_kid};
use crate::files::durable;

/// Longest key file that is read, in bytes; several hundred keys.
const FILE_BYTES_MAX: u64 = 64 * 1024;

impl Keys {
    /// Reads a key file; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read, when others may (any bit for group or others), or when it is not
    /// exactly what [`create`](Self::create) and [`rotate`](Self::rotate) write. It is left alone.
    pub fn load(path: &Path) -> Result<Option<Self>, KeyError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(path, "open", error)),
        };
        // Asked of the open file: the name could lead elsewhere by now.
        let metadata = file
            .metadata()
            .map_err(|error| io_error(path, "read", error))?;
        if metadata.is_dir() {
            let error = io::ErrorKind::IsADirectory.into();
            return Err(io_error(path, "read", error));
        }
        files::check(path, &metadata).map_err(KeyError::Exposed)?;
        let mut text = Vec::new();
        Read::by_ref(&mut file)
            .take(FILE_BYTES_MAX)
            .read_to_end(&mut text)
            .map_err(|error| io_error(path, "read", error))?;
        match parse(&text) {
            Ok(keys) => Ok(Some(keys)),
            Err(reason) => Err(KeyError::Damaged {
                path: path.to_owned(),
                reason,
            }),
        }
    }

    /// Makes a key file with one key, of mode 0600 from its first moment; durable on return.
    ///
    /// # Errors
    /// When it cannot be written, or exists: nothing is ever overwritten here.
    pub fn create(
        path: &Path,
        id: u32,
        secret: [u8; SECRET_BYTES],
        now_s: i64,
    ) -> Result<Self, KeyError> {
        let keys = Self::ephemeral(id, secret, now_s);
        // A link fails if the name is taken, where a rename would replace it. File systems
        // without links have no file modes either, and a key file has no place there.
        keys.write(path, |whole| {
            fs::hard_link(whole, path)?;
            fs::remove_file(whole)
        })?;
        Ok(keys)
    }

    /// Makes a new key the current one. The former current one stays valid for `retire_after_s`
    /// seconds, former ones until their own time; those whose time is over are dropped.
    ///
    /// # Errors
    /// When the id is taken or the file cannot be replaced. Then `self` is as before.
    pub fn rotate(
        &mut self,
        path: &Path,
        id: u32,
        secret: [u8; SECRET_BYTES],
        now_s: i64,
        retire_after_s: i64,
    ) -> Result<(), KeyError> {
        let mut former = self.current.clone();
        former.retires_s = Some(now_s.saturating_add(retire_after_s));
        let mut retired = vec![former];
        retired.extend(self.retired.iter().cloned());
        retired.retain(|key| key.is_valid(now_s));
        if retired.iter().any(|key| key.id == id) {
            return Err(KeyError::IdTaken(id));
        }
        let next = Self {
            current: Key::new(id, secret, now_s),
            retired,
        };
        next.write(path, |whole| fs::rename(whole, path))?;
        *self = next;
        Ok(())
    }

    /// Writes a whole file beside `path` and has `publish` give it its name.
    fn write(
        &self,
        path: &Path,
        publish: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), KeyError> {
        // Its own name for each key: what a crash left behind is in nobody's way.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", self.current.kid()));
        let whole = path.with_file_name(name);
        let written = write_durably(&whole, &self.to_json())
            .and_then(|()| publish(&whole))
            .and_then(|()| durable::sync_name(path));
        written.map_err(|error| {
            // After a failed publish it is litter with a secret in it; else it is gone already.
            let _ = fs::remove_file(&whole);
            io_error(path, "write", error)
        })
    }

    /// The keys as their file has them.
    pub(crate) fn to_json(&self) -> String {
        let keys = self.iter().map(|key| KeyRecord {
            kid: key.kid(),
            secret: URL_SAFE_NO_PAD.encode(key.secret),
            created: key.created_s,
            retires: key.retires_s,
        });
        let file = KeyFile {
            keys: keys.collect(),
        };
        let mut text = serde_json::to_string(&file).expect("strings and integers always serialize");
        text.push('\n');
        text
    }
}

impl Keys {
    /// What [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    /// What is wrong with it; the text is not quoted.
    #[cfg(feature = "simulation")]
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        parse(text.as_bytes())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    keys: Vec<KeyRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyRecord {
    kid: String,
    secret: String,
    created: i64,
    retires: Option<i64>,
}

fn parse(text: &[u8]) -> Result<Keys, String> {
    // Only the place: serde's messages quote values, and a value may be a secret.
    let file: KeyFile = serde_json::from_slice(text).map_err(|error| {
        format!(
            "not a list of keys at line {}, column {}",
            error.line(),
            error.column()
        )
    })?;
    let mut keys = Vec::with_capacity(file.keys.len());
    for (number, record) in (1..).zip(&file.keys) {
        let key = parse_record(record).map_err(|what| format!("key {number} {what}"))?;
        if keys.iter().any(|other: &Key| other.id == key.id) {
            return Err(format!("key {number} repeats an id"));
        }
        if key.retires_s.is_none() != (number == 1) {
            return Err("the first key, and no other, must be without a time to retire".into());
        }
        keys.push(key);
    }
    let mut keys = keys.into_iter();
    let current = keys.next().ok_or("it contains no key")?;
    Ok(Keys {
        current,
        retired: keys.collect(),
    })
}

fn parse_record(record: &KeyRecord) -> Result<Key, &'static str> {
    let secret = URL_SAFE_NO_PAD
        .decode(&record.secret)
        .map_err(|_| "has a secret that is not base64url")?;
    Ok(Key {
        id: parse_kid(&record.kid).ok_or("has an id that is not eight lower-case hex digits")?,
        secret: secret
            .try_into()
            .map_err(|_| "has a secret that is not 32 bytes long")?,
        created_s: record.created,
        retires_s: record.retires,
    })
}

fn write_durably(path: &Path, text: &str) -> io::Result<()> {
    let mut file = files::options().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    durable::sync(&file)
}

fn io_error(path: &Path, doing: &'static str, error: io::Error) -> KeyError {
    let path = path.to_owned();
    KeyError::Io { path, doing, error }
}

#[cfg(test)]
mod tests;
