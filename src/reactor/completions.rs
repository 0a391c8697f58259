//! The way back from worker threads: a channel, and a waker that ends the loop's sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};

use super::seams::Wake;

/// Completions taken in one turn, so that a flood of them cannot starve the other phases.
const COMPLETIONS_PER_TURN: usize = 256;

/// Hands completions to the loop from any thread. Cheap to clone.
pub struct Completer<T> {
    sender: Sender<T>,
    /// Set while the loop has been woken and has not yet taken the completions: one wake serves them all.
    waiting: Arc<AtomicBool>,
    waker: Arc<dyn Wake>,
}

impl<T> Clone for Completer<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            waiting: Arc::clone(&self.waiting),
            waker: Arc::clone(&self.waker),
        }
    }
}

impl<T> std::fmt::Debug for Completer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Completer").finish_non_exhaustive()
    }
}

impl<T> Completer<T> {
    /// Delivers `completion` in the completions phase of the loop's next turn. When the loop has
    /// ended, it is dropped.
    pub fn complete(&self, completion: T) {
        let _ = self.sender.send(completion);
        if !self.waiting.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }
}

/// The loop's end of the channel.
#[derive(Debug)]
pub(super) struct Completions<T> {
    receiver: Receiver<T>,
    waiting: Arc<AtomicBool>,
}

pub(super) fn channel<T>(waker: Arc<dyn Wake>) -> (Completer<T>, Completions<T>) {
    let (sender, receiver) = mpsc::channel();
    let waiting = Arc::new(AtomicBool::new(false));
    let completions = Completions {
        receiver,
        waiting: Arc::clone(&waiting),
    };
    (
        Completer {
            sender,
            waiting,
            waker,
        },
        completions,
    )
}

impl<T> Completions<T> {
    /// Whether completions wait, so that the loop must not sleep.
    pub(super) fn waiting(&self) -> bool {
        self.waiting.load(Ordering::Acquire)
    }

    /// Takes the waiting completions, up to this turn's share.
    pub(super) fn take(&self, into: &mut Vec<T>) {
        // Cleared before the channel is emptied: a completion that is sent meanwhile sets it again,
        // and is found in the next turn at the latest.
        if !self.waiting.swap(false, Ordering::AcqRel) {
            return;
        }
        into.extend(self.receiver.try_iter().take(COMPLETIONS_PER_TURN));
        if into.len() == COMPLETIONS_PER_TURN {
            self.waiting.store(true, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Clone, Default)]
    struct Count(Arc<AtomicUsize>);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn one_wake_serves_all_that_wait() {
        let wakes = Count::default();
        let (completer, completions) = channel(Arc::new(wakes.clone()));
        for n in 0..10 {
            completer.complete(n);
        }
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let mut taken = Vec::new();
        completions.take(&mut taken);
        assert_eq!(taken, (0..10).collect::<Vec<_>>());
        completer.complete(10);
        assert_eq!(
            wakes.0.load(Ordering::SeqCst),
            2,
            "the next one wakes again"
        );
    }

    #[test]
    fn a_flood_is_taken_in_shares_and_nothing_is_left_behind() {
        let (completer, completions) = channel(Arc::new(Count::default()));
        let total = COMPLETIONS_PER_TURN * 2 + 1;
        (0..total).for_each(|n| completer.complete(n));
        let mut all = Vec::new();
        while completions.waiting() {
            let mut taken = Vec::new();
            completions.take(&mut taken);
            assert!(taken.len() <= COMPLETIONS_PER_TURN);
            all.extend(taken);
        }
        assert_eq!(all, (0..total).collect::<Vec<_>>());
    }
}
