//! The users, in memory: read from the store at start, found by name or id.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::config::{PASSWORD_BYTES_MAX, USERNAME_CHARS_MAX};
use crate::planted::{Bug, planted};
use crate::work::UserRow;
use crate::work::password::{Kind, Kinds};

/// A user that can log in.
#[derive(Clone)]
pub struct User {
    /// Assigned by the store, and never reused.
    pub id: i64,
    /// Unique, case-sensitive.
    pub name: String,
    /// What they may do: `user`, `producer`, `admin`.
    pub role: String,
    /// The password's hash, a PHC string.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, role, .. } = self;
        write!(f, "User({id}, {name:?}, {role})")
    }
}

/// All users.
#[derive(Debug, Default)]
pub struct Users {
    by_id: HashMap<i64, User>,
    id_by_name: HashMap<String, i64>,
    kinds: Kinds,
}

impl FromIterator<UserRow> for Users {
    fn from_iter<I: IntoIterator<Item = UserRow>>(rows: I) -> Self {
        let mut users = Self::default();
        users.extend(rows);
        users
    }
}

impl Extend<UserRow> for Users {
    fn extend<I: IntoIterator<Item = UserRow>>(&mut self, rows: I) {
        for UserRow {
            id,
            name,
            role,
            password,
            ..
        } in rows
        {
            self.id_by_name.insert(name.clone(), id);
            self.kinds.add(&password);
            self.by_id.insert(
                id,
                User {
                    id,
                    name,
                    role,
                    password,
                },
            );
        }
    }
}

impl Users {
    /// The user of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&User> {
        if planted(Bug::AnyCase) {
            let mut users = self.by_id.values();
            return users.find(|user| user.name.eq_ignore_ascii_case(name));
        }
        self.by_id.get(self.id_by_name.get(name)?)
    }

    /// The user of that id.
    #[must_use]
    pub fn get(&self, id: i64) -> Option<&User> {
        self.by_id.get(&id)
    }

    /// Forgets a user, if there is one of that id.
    pub fn remove(&mut self, id: i64) {
        if let Some(user) = self.by_id.remove(&id) {
            self.id_by_name.remove(&user.name);
            self.kinds.remove(&user.password);
        }
    }

    /// Replaces the password hash by one that was committed.
    pub fn set_password(&mut self, id: i64, password: String) {
        if let Some(user) = self.by_id.get_mut(&id) {
            self.kinds.remove(&user.password);
            self.kinds.add(&password);
            user.password = password;
        }
    }

    /// The kinds of hashes that a failed login computes, for any name.
    #[must_use]
    pub fn kinds_of_hashes(&self) -> Arc<[Kind]> {
        self.kinds.imitated()
    }

    /// Users whose hash costs too much for that: the time that a failed login takes reveals that they exist.
    #[must_use]
    pub fn told_by_time(&self) -> usize {
        self.kinds.beyond()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// Whether `name` can be a user's: 1 to [`USERNAME_CHARS_MAX`] characters, no control
/// characters, no white space around it.
///
/// # Errors
/// What is wrong with it, for the user.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    const _: () = assert!(USERNAME_CHARS_MAX == 128, "the message says 128");
    if name.is_empty() {
        Err("the user name is empty")
    } else if name.chars().count() > USERNAME_CHARS_MAX {
        Err("the user name is longer than 128 characters")
    } else if name.chars().any(char::is_control) {
        Err("the user name contains a control character")
    } else if name.trim() != name {
        // Header fields lose white space at their ends: " alice" would arrive behind /verify as "alice".
        Err("the user name begins or ends with white space")
    } else {
        Ok(())
    }
}

/// Whether `password` can be a password: 1 to [`PASSWORD_BYTES_MAX`] bytes.
///
/// # Errors
/// What is wrong with it, for the user.
pub fn check_password(password: &[u8]) -> Result<(), &'static str> {
    const _: () = assert!(PASSWORD_BYTES_MAX == 1024, "the message says 1024");
    match password.len() {
        0 => Err("the password is empty"),
        1..=PASSWORD_BYTES_MAX => Ok(()),
        _ => Err("the password is longer than 1024 bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_passwords_have_limits() {
        for (name, fine) in [
            ("a", true),
            ("Ærøskøbing", true),
            ("a b", true),
            (&"é".repeat(128), true),
            ("", false),
            (" a", false),
            ("a\u{a0}", false),
            (&"a".repeat(129), false),
            ("a\nb", false),
            ("a\u{85}b", false),
            ("\u{0}", false),
        ] {
            assert_eq!(check_name(name).is_ok(), fine, "{name:?}");
        }
        for (length, fine) in [(0, false), (1, true), (1024, true), (1025, false)] {
            assert_eq!(
                check_password(&vec![b'x'; length]).is_ok(),
                fine,
                "{length}"
            );
        }
    }
}
