//! A queue with several lines, which are served in turn.
//!
//! A client with a hundred jobs makes the others wait for one of them, not for a hundred. If the queue is full, the
//! longest line gives up its newest job for a new job whose own line is shorter by two or more: with a smaller
//! difference the refusal would only move from one client to the other.

use std::collections::{HashMap, VecDeque};

/// The client that a job is for; without a number it is for the server and its handlers. That line never gives way.
pub(super) type Line = Option<u128>;

/// Waiting items, in lines.
#[derive(Debug)]
pub(super) struct Lines<T> {
    /// No line is empty.
    items: HashMap<Line, VecDeque<T>>,
    /// Each line once, the next to be served first.
    turns: VecDeque<Line>,
    len: usize,
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self {
            items: HashMap::new(),
            turns: VecDeque::new(),
            len: 0,
        }
    }
}

impl<T> Lines<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, line: Line, item: T) {
        let items = self.items.entry(line).or_default();
        if items.is_empty() {
            self.turns.push_back(line);
        }
        items.push_back(item);
        self.len += 1;
    }

    /// The oldest item of the line whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let line = self.turns.pop_front()?;
        let items = self.items.get_mut(&line)?;
        let item = items.pop_front();
        self.len -= 1;
        if items.is_empty() {
            self.items.remove(&line);
        } else {
            self.turns.push_back(line);
        }
        item
    }

    /// The newest item of the longest line, if it has to give way to a new item in `line`.
    ///
    /// Looks at each line, so call it only when the queue is full.
    pub(super) fn make_way(&mut self, line: Line) -> Option<T> {
        let len = |line: &Line| self.items.get(line).map_or(0, VecDeque::len);
        let gives_way = self.turns.iter().filter(|line| line.is_some());
        let longest = *gives_way.max_by_key(|line| len(line))?;
        if len(&longest) <= len(&line) + 1 {
            return None;
        }
        self.len -= 1;
        // At least one item stays in the line, so the line keeps its turn.
        self.items.get_mut(&longest)?.pop_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items are named after their lines, `_` for the one without a number, and numbered.
    fn lines(names: &str) -> Lines<String> {
        let mut lines = Lines::default();
        for (number, name) in names.chars().enumerate() {
            lines.push(line(name), format!("{name}{number}"));
        }
        lines
    }

    fn line(name: char) -> Line {
        (name != '_').then_some(name as u128)
    }

    #[test]
    fn lines_are_served_in_turn() {
        for (names, expected) in [
            ("", ""),
            ("aaa", "a0 a1 a2"),
            ("aaab", "a0 b3 a1 a2"),
            ("aabbcc", "a0 b2 c4 a1 b3 c5"),
            ("aaaa_b", "a0 _4 b5 a1 a2 a3"),
        ] {
            let mut lines = lines(names);
            assert_eq!(lines.len(), names.len());
            let served: Vec<String> = std::iter::from_fn(|| lines.pop()).collect();
            assert_eq!(served.join(" "), expected, "{names}");
            assert!(lines.is_empty() && lines.items.is_empty() && lines.turns.is_empty());
        }
    }

    #[test]
    fn the_longest_line_gives_way_to_one_that_has_much_less() {
        for (names, newcomer, gave_way) in [
            ("", 'x', None),
            ("a", 'x', None),
            ("aa", 'x', Some("a1")),
            ("aab", 'b', None),
            ("aaab", 'b', Some("a2")),
            ("aaabb", 'x', Some("a2")),
            ("aaa", 'a', None),
            ("aaa", '_', Some("a2")),
            ("____", 'x', None),
            ("____aa", 'x', Some("a5")),
            ("abcd", 'x', None),
        ] {
            let mut lines = lines(names);
            let got = lines.make_way(line(newcomer));
            assert_eq!(got.as_deref(), gave_way, "{names} {newcomer}");
            let rest = std::iter::from_fn(|| lines.pop()).count();
            assert_eq!(rest, names.len() - usize::from(got.is_some()));
        }
    }
}
