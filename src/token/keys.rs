//! The keys that sign: one current, and former ones until they retire.
//!
//! `key_file` stores them.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::files::Exposed;

/// Bytes of a secret: as many as the MAC has (RFC 7518, section 3.2).
pub const SECRET_BYTES: usize = 32;

/// A secret, the name by which tokens refer to it, and its times.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    pub(super) id: u32,
    pub(super) secret: [u8; SECRET_BYTES],
    pub(super) created_s: i64,
    pub(super) retires_s: Option<i64>,
}

/// The key that signs now, and former keys whose tokens are still valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub(super) current: Key,
    pub(super) retired: Vec<Key>,
}

/// Why keys cannot be read or changed.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file system failed. The contents of the file are unchanged.
    #[error("could not {doing} the key file {path}: {error}")]
    Io {
        /// The key file.
        path: PathBuf,
        /// The operation, such as "read".
        doing: &'static str,
        /// The error of the file system.
        #[source]
        error: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error("the key file {0}")]
    Exposed(Exposed),
    /// The file is not what this program writes. The reason never quotes the file.
    #[error(
        "the key file {path} is damaged: {reason}; restore it from a backup, or remove it, which ends all sessions"
    )]
    Damaged {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A new key has the id of one that is still known.
    #[error("the key id {0:08x} is already in use")]
    IdTaken(u32),
}

impl Key {
    pub(super) fn new(id: u32, secret: [u8; SECRET_BYTES], now_s: i64) -> Self {
        Self {
            id,
            secret,
            created_s: now_s,
            retires_s: None,
        }
    }

    /// The number by which sessions refer to their key.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The id as tokens carry it, in the header `kid`: eight lower-case hex digits.
    #[must_use]
    pub fn kid(&self) -> String {
        format!("{:08x}", self.id)
    }

    /// When the key was made, in seconds since 1970.
    #[must_use]
    pub fn created_s(&self) -> i64 {
        self.created_s
    }

    /// The time from which its tokens are refused, in seconds since 1970; `None` for the current key.
    #[must_use]
    pub fn retires_s(&self) -> Option<i64> {
        self.retires_s
    }

    pub(super) fn is_valid(&self, now_s: i64) -> bool {
        self.retires_s.is_none_or(|retires_s| now_s < retires_s)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid())
            .field("created_s", &self.created_s)
            .field("retires_s", &self.retires_s)
            .finish_non_exhaustive() // the secret stays out of logs and panics
    }
}

/// The id that a `kid` names: exactly eight lower-case hex digits.
pub(super) fn parse_kid(kid: &str) -> Option<u32> {
    let canonical = kid.len() == 8 && kid.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    // `from_str_radix` alone would accept a sign and capitals, and a key would have several names.
    canonical.then(|| u32::from_str_radix(kid, 16).ok())?
}

impl Keys {
    /// A single key without a file: its tokens end with the process.
    #[must_use]
    pub fn ephemeral(id: u32, secret: [u8; SECRET_BYTES], now_s: i64) -> Self {
        Self {
            current: Key::new(id, secret, now_s),
            retired: Vec::new(),
        }
    }

    /// Keys with the same ids and times and with public secrets: for replaying a recorded server without being able
    /// to sign for it.
    #[cfg(feature = "simulation")]
    #[must_use]
    pub(crate) fn with_known_secrets(&self) -> Self {
        let known = |key: &Key| Key {
            secret: [b'?'; SECRET_BYTES],
            ..key.clone()
        };
        Self {
            current: known(&self.current),
            retired: self.retired.iter().map(known).collect(),
        }
    }

    /// The key that signs.
    #[must_use]
    pub fn current(&self) -> &Key {
        &self.current
    }

    /// Whether tokens of this key are valid at `now_s`, in seconds since 1970.
    #[must_use]
    pub fn valid(&self, id: u32, now_s: i64) -> bool {
        self.find(id, now_s).is_some()
    }

    /// The time until which tokens of this key are valid, in seconds since 1970; `i64::MAX` for the current key,
    /// `None` for a key that has retired or never existed.
    #[must_use]
    pub fn valid_until_s(&self, id: u32, now_s: i64) -> Option<i64> {
        let key = self.find(id, now_s)?;
        Some(key.retires_s.unwrap_or(i64::MAX))
    }

    pub(super) fn find(&self, id: u32, now_s: i64) -> Option<&Key> {
        self.iter()
            .find(|key| key.id == id)
            .filter(|key| key.is_valid(now_s))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.current).chain(&self.retired)
    }
}
