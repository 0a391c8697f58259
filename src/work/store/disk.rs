//! What the disk says.

use super::{Page, StoreError};
use crate::work::Findings;

/// The seam through which a disk fails. On a real one `SQLite` finds out by itself, so it is asked
/// nothing; a written world's answers what its story wants, and one may watch what comes of a real one. `found` is that
/// of the [worker](crate::work::Worker::work) that asks.
pub trait Disk: Send {
    /// A group is about to be committed.
    ///
    /// # Errors
    /// Nothing of the group is stored.
    fn commits(&mut self, _found: &mut Findings) -> Result<(), StoreError> {
        Ok(())
    }

    /// A group was committed, or was not.
    fn committed(&mut self, _outcome: Result<(), &StoreError>, _found: &mut Findings) {}

    /// Events are about to be read.
    ///
    /// # Errors
    /// They are not.
    fn reads(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Events were read, or were not. What is returned is what was read.
    ///
    /// # Errors
    /// They were not.
    fn read(
        &self,
        page: Result<Page, StoreError>,
        _found: &mut Findings,
    ) -> Result<Page, StoreError> {
        page
    }
}

/// Whatever `SQLite` writes to.
pub(super) struct Real;

impl Disk for Real {}
