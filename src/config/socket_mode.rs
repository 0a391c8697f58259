//! Which users of the machine may connect to a unix socket.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The permission bits of a unix socket, written in octal as in chmod(1). Connecting needs write
/// permission.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketMode(u32);

impl SocketMode {
    /// The server's own user.
    pub const OWNER: Self = Self(0o600);
    /// The server's own user and group: a proxy joins the group.
    pub const OWNER_AND_GROUP: Self = Self(0o660);

    /// As chmod(2) takes them.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl Default for SocketMode {
    fn default() -> Self {
        Self::OWNER_AND_GROUP
    }
}

impl std::str::FromStr for SocketMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `from_str_radix` alone accepts a sign.
        let is_octal = !text.is_empty() && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit));
        let bits = is_octal.then(|| u32::from_str_radix(text, 8).ok());
        match bits.flatten() {
            Some(bits) if bits <= 0o777 && bits & 0o600 == 0o600 => Ok(Self(bits)),
            Some(bits) if bits <= 0o777 => {
                Err("the server's own user must be able to connect: 0600, 0660 or 0666")
            }
            _ => Err("expected permissions in octal, as in 0600, 0660 or 0666"),
        }
    }
}

impl fmt::Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_people_write_them() {
        for (text, bits) in [
            ("0600", 0o600),
            ("660", 0o660),
            ("0666", 0o666),
            ("0770", 0o770),
        ] {
            let mode: SocketMode = text.parse().unwrap();
            assert_eq!(mode.bits(), bits);
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        for wrong in [
            "",
            "rw",
            "0o660",
            "+660",
            "-660",
            "0860",
            "1660",
            "0066",
            "0400",
            "77777777777",
        ] {
            assert!(
                wrong.parse::<SocketMode>().is_err(),
                "{wrong:?} was accepted"
            );
        }
    }
}
