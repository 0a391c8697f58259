//! The file that holds the keys.
//!
//! It is JSON, `{"keys":[{"kid":"00c0ffee","secret":"…","created":…,"retires":null}]}`, the current
//! key first, secrets in base64url. It is read at start and written when a key is made. It is never
//! changed in place, so that a crash leaves either the old file or the new one.

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
    /// If it cannot be read, if other users may read it (any bit for group or others), or if it is not
    /// exactly what [`create`](Self::create) and [`rotate`](Self::rotate) write. The file is not changed.
    pub fn load(path: &Path) -> Result<Option<Self>, KeyError> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(path, "open", error)),
        };
        // Of the open file, since the name could lead elsewhere by now.
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

    /// Makes a key file with one key, with mode 0600 from the beginning; durable on return.
    ///
    /// # Errors
    /// If it cannot be written, or exists: this never overwrites a file.
    pub fn create(
        path: &Path,
        id: u32,
        secret: [u8; SECRET_BYTES],
        now_s: i64,
    ) -> Result<Self, KeyError> {
        let keys = Self::ephemeral(id, secret, now_s);
        // A link fails if the name is taken; a rename would replace the file. File systems
        // without links have no file modes either, and a key file does not belong there.
        keys.write(path, |whole| {
            fs::hard_link(whole, path)?;
            fs::remove_file(whole)
        })?;
        Ok(keys)
    }

    /// Makes a new key the current one. The previous key stays valid for `retire_after_s` seconds, older keys
    /// until their own time; keys whose time is over are dropped.
    ///
    /// # Errors
    /// If the id is taken or the file cannot be replaced. Then `self` is unchanged.
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

    /// Writes a whole file beside `path` and lets `publish` give it its name.
    fn write(
        &self,
        path: &Path,
        publish: impl FnOnce(&Path) -> io::Result<()>,
    ) -> Result<(), KeyError> {
        // Each key has its own name, so that a file left by a crash does not get in the way.
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.new", self.current.kid()));
        let whole = path.with_file_name(name);
        let written = write_durably(&whole, &self.to_json())
            .and_then(|()| publish(&whole))
            .and_then(|()| durable::sync_name(path));
        written.map_err(|error| {
            // After a failed publish it is a leftover with a secret in it; otherwise it is gone already.
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
    /// Parses the output of [`to_json`](Self::to_json).
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
    // Only the position: serde's messages quote values, and a value may be a secret.
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
