//! What a worker finds out that would not come out the same a second time. A recording writes it down, and a replay
//! gives it back.
//!
//! The caller of [`Worker::work`](super::Worker::work) owns the list, and the seams that are asked during the work get
//! it: on a recording they add what they found, in a replay they take what was found then. Others leave it alone.

use std::collections::VecDeque;

use super::store::{Page, StoreError};
use super::verdict::Checked;

/// One answer of the world's.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// Of a password.
    Checked(Checked),
    /// Of a group of transactions.
    Committed(Result<(), StoreError>),
    /// Of a reading.
    Read(Result<Page, StoreError>),
}

/// The findings of one piece of work, in their order.
pub type Findings = VecDeque<Finding>;
