//! What a program sees of its loop when it observes it.

use super::attention::Occasion;
use super::description::SourceInfo;
use super::turn::Turn;

/// A loop that is observed, while nothing else happens in it.
pub struct View<'v, M> {
    /// The occasion of this observation.
    pub occasion: Occasion,
    /// Requests to the loop.
    pub turn: Turn<'v, M>,
    pub(super) sources: &'v dyn Sources,
    /// Some sources were described.
    pub(super) described: bool,
}

/// The sources of a loop, independent of its program.
pub(super) trait Sources {
    fn slots(&self) -> usize;
    fn describe(&self, from: usize, to: usize) -> Vec<SourceInfo>;
}

impl<M> View<'_, M> {
    /// Looks at the sources in at most so many slots, from the slot `from` on; also returns where to continue, if there
    /// are more.
    pub fn sources(&mut self, from: usize, slots: usize) -> (Vec<SourceInfo>, Option<usize>) {
        self.described = true;
        let to = self.sources.slots().min(from + slots);
        let next = (to < self.sources.slots()).then_some(to);
        (self.sources.describe(from, to), next)
    }

    /// Keeps the loop from sleeping before the next turn, since there is more to describe. For [`Occasion::Delivered`].
    pub fn stay_awake(&mut self) {
        self.turn.core.events_left = true;
    }

    /// All sources, regardless of their number: for a loop that is held anyway.
    #[must_use]
    pub fn all_sources(&self) -> Vec<SourceInfo> {
        self.sources.describe(0, self.sources.slots())
    }
}

impl<M> std::fmt::Debug for View<'_, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("occasion", &self.occasion)
            .finish_non_exhaustive()
    }
}
