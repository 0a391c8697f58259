//! The result of checking a password.

/// What [`verify`](super::password::verify) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not the password.
    Wrong,
    /// The password.
    Right,
    /// The password, but hashed at less than today's cost: hash it again while it is at hand.
    RightButWeak,
}

/// The result of checking a password against a stored hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether it is the right one.
    pub verdict: Verdict,
    /// The same password, hashed again, if the stored hash is weaker than it should be.
    pub rehashed: Option<String>,
}
