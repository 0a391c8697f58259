//! What the disk says.

use super::StoreError;

/// The seam through which a disk fails. On a real one `SQLite` finds out by itself, so it is asked
/// nothing; a written world's answers what its story wants.
pub trait Disk: Send {
    /// A group is about to be committed.
    ///
    /// # Errors
    /// Nothing of the group is stored.
    fn commits(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Events are about to be read.
    ///
    /// # Errors
    /// They are not.
    fn reads(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Whatever `SQLite` writes to.
pub(super) struct Real;

impl Disk for Real {}
