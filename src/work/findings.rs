//! What a worker found out that would not come out the same a second time: for whoever writes down what a
//! server met, and plays it again.
//!
//! A seam that is asked on a worker's thread notes what it found there. Whoever had the worker work takes that
//! afterwards, or gives it beforehand what it is to find.

use std::cell::RefCell;
use std::collections::VecDeque;

use super::password::Checked;
use super::store::{Page, StoreError};

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

thread_local! {
    static FINDINGS: RefCell<VecDeque<Finding>> = const { RefCell::new(VecDeque::new()) };
}

/// This thread's worker has found out something.
pub fn note(finding: Finding) {
    FINDINGS.with_borrow_mut(|findings| findings.push_back(finding));
}

/// Everything that this thread's workers have found out since this was asked last.
#[must_use]
pub fn take() -> Vec<Finding> {
    FINDINGS.with_borrow_mut(|findings| findings.drain(..).collect())
}

/// This thread's next worker is to find this.
pub fn give(all: Vec<Finding>) {
    FINDINGS.with_borrow_mut(|findings| *findings = all.into());
}

/// The next of those.
#[must_use]
pub fn next() -> Option<Finding> {
    FINDINGS.with_borrow_mut(VecDeque::pop_front)
}
