//! Results of workers that would not be the same in a second run. A recording stores them, and a replay returns them.
//!
//! The caller of [`Worker::work`](super::Worker::work) owns the list and passes it to the seams that are called during
//! the work: in a recording they add what they found, in a replay they take what was found then. Otherwise they ignore
//! it.

use std::collections::VecDeque;

use super::store::{Page, StoreError};
use super::verdict::Checked;

/// One answer of the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// The check of a password.
    Checked(Checked),
    /// The commit of a group of transactions.
    Committed(Result<(), StoreError>),
    /// A page of events.
    Read(Result<Page, StoreError>),
}

/// The findings of one piece of work, in their order.
pub type Findings = VecDeque<Finding>;
