//! What happened, in words: nothing is written unless somebody reads.

use std::io::Write;

/// Tells a story line by line, or keeps silent.
pub(super) struct Story {
    out: Option<Box<dyn Write>>,
}

impl std::fmt::Debug for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Story").finish_non_exhaustive()
    }
}

impl Story {
    pub(super) fn to(out: Option<Box<dyn Write>>) -> Self {
        Self { out }
    }

    pub(super) fn is_told(&self) -> bool {
        self.out.is_some()
    }

    pub(super) fn say(&mut self, line: impl FnOnce() -> String) {
        if let Some(out) = &mut self.out {
            // Whoever stopped reading misses the rest.
            let _ = writeln!(out, "{}", line());
        }
    }
}
