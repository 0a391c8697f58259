//! The table of sources, and the tokens by which they are found.
//!
//! A token is a slot's index and its generation. When a slot is freed its generation increases, so
//! a token that outlives its source finds nothing instead of another source.

use std::fmt;

/// A source's name: slot and generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token {
    index: u32,
    generation: u32,
}

impl Token {
    /// The program's own work, which belongs to no source: no slot ever has this token.
    pub const PROGRAM: Self = Self {
        index: u32::MAX,
        generation: 0,
    };

    /// The token as one number, as the selector and the ledger hold it.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The token that [`Token::as_u64`] made into `number`.
    #[must_use]
    pub fn from_u64(number: u64) -> Self {
        Self {
            index: number as u32,
            generation: (number >> 32) as u32,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[derive(Debug)]
enum Slot<T> {
    Occupied { generation: u32, value: T },
    Vacant { generation: u32, next: Option<u32> },
}

/// A table whose rows are named by tokens; freed rows are reused, freed tokens are not.
#[derive(Debug)]
pub struct Slots<T> {
    rows: Vec<Slot<T>>,
    vacant: Option<u32>,
    occupied: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            vacant: None,
            occupied: 0,
        }
    }
}

impl<T> Slots<T> {
    /// How many slots are occupied.
    #[must_use]
    pub fn len(&self) -> usize {
        self.occupied
    }

    /// Whether no slot is occupied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// Puts `value` into a slot and returns its token.
    ///
    /// # Panics
    /// With 2³² − 1 occupied slots.
    pub fn insert(&mut self, value: T) -> Token {
        self.occupied += 1;
        let Some(index) = self.vacant else {
            let index = u32::try_from(self.rows.len()).expect("fewer than 2^32 slots");
            assert!(index != u32::MAX, "the last index names the program itself");
            self.rows.push(Slot::Occupied {
                generation: 1,
                value,
            });
            return Token {
                index,
                generation: 1,
            };
        };
        let slot = &mut self.rows[index as usize];
        let Slot::Vacant { generation, next } = *slot else {
            unreachable!("the list of vacant slots led to an occupied one")
        };
        self.vacant = next;
        *slot = Slot::Occupied { generation, value };
        Token { index, generation }
    }

    /// What `token` names, if it is still there.
    #[must_use]
    pub fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        match self.rows.get_mut(token.index as usize) {
            Some(Slot::Occupied { generation, value }) if *generation == token.generation => {
                Some(value)
            }
            _ => None,
        }
    }

    /// What `token` names, if it is still there.
    #[must_use]
    pub fn get(&self, token: Token) -> Option<&T> {
        match self.rows.get(token.index as usize) {
            Some(Slot::Occupied { generation, value }) if *generation == token.generation => {
                Some(value)
            }
            _ => None,
        }
    }

    /// Frees the slot that `token` names. Its generation increases, so the token names nothing
    /// until 2³² more values have been in this slot.
    pub fn remove(&mut self, token: Token) -> Option<T> {
        self.get_mut(token)?;
        let next = Slot::Vacant {
            // Generation 0 is skipped: it belongs to the program's token.
            generation: token.generation.checked_add(1).unwrap_or(1),
            next: self.vacant,
        };
        let Slot::Occupied { value, .. } =
            std::mem::replace(&mut self.rows[token.index as usize], next)
        else {
            unreachable!("get_mut found it occupied")
        };
        self.vacant = Some(token.index);
        self.occupied -= 1;
        Some(value)
    }

    /// All values, with their tokens.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Token, &mut T)> {
        self.rows
            .iter_mut()
            .enumerate()
            .filter_map(|(index, slot)| match slot {
                Slot::Occupied { generation, value } => {
                    let token = Token {
                        index: index as u32,
                        generation: *generation,
                    };
                    Some((token, value))
                }
                Slot::Vacant { .. } => None,
            })
    }

    /// How many slots there are, occupied or not.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.rows.len()
    }

    /// The value in the slot of that index, and its token.
    #[must_use]
    pub fn in_slot(&self, index: usize) -> Option<(Token, &T)> {
        match self.rows.get(index)? {
            Slot::Occupied { generation, value } => {
                let token = Token {
                    index: index as u32,
                    generation: *generation,
                };
                Some((token, value))
            }
            Slot::Vacant { .. } => None,
        }
    }

    /// The tokens of all occupied slots.
    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        let occupied = (0..self.slots()).filter_map(|index| self.in_slot(index));
        occupied.map(|(token, _)| token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_token_finds_nothing() {
        let mut slots = Slots::default();
        let first = slots.insert("first");
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert("second");
        assert_eq!(second.index, first.index, "the slot is used again");
        assert_eq!(slots.get(first), None);
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get(second), Some(&"second"));
        assert_eq!(slots.len(), 1);
    }

    #[test]
    fn freed_slots_are_used_before_new_ones() {
        let mut slots = Slots::default();
        let tokens: Vec<Token> = (0..100).map(|value| slots.insert(value)).collect();
        for token in &tokens {
            slots.remove(*token);
        }
        assert!(slots.is_empty());
        for value in 0..100 {
            assert!(slots.insert(value).index < 100);
        }
        assert_eq!(slots.tokens().count(), 100);
    }

    #[test]
    fn a_token_survives_the_way_through_a_number() {
        let token = Token {
            index: 7,
            generation: u32::MAX,
        };
        assert_eq!(Token::from_u64(token.as_u64()), token);
    }

    #[test]
    fn a_token_is_shown_as_slot_and_generation() {
        let token = Token {
            index: 7,
            generation: 3,
        };
        assert_eq!(format!("{token} {token:?}"), "7.3 7.3");
    }

    #[test]
    fn all_that_is_there_is_counted_and_found_by_its_slot() {
        let mut slots = Slots::default();
        let tokens = ["first", "second", "third"].map(|value| slots.insert(value));
        slots.remove(tokens[1]);
        assert_eq!((slots.len(), slots.slots()), (2, 3));
        assert!(!slots.is_empty());
        let there = [(tokens[0], "first"), (tokens[2], "third")];
        let found: Vec<_> = slots
            .iter_mut()
            .map(|(token, value)| (token, *value))
            .collect();
        assert_eq!(found, there);
        assert_eq!(
            slots.tokens().collect::<Vec<_>>(),
            there.map(|(token, _)| token)
        );
        let by_slot = [0, 1, 2, 3].map(|index| slots.in_slot(index));
        assert_eq!(
            by_slot,
            [
                Some((tokens[0], &"first")),
                None,
                Some((tokens[2], &"third")),
                None
            ]
        );
    }

    #[test]
    fn nothing_is_named_like_the_program() {
        let mut slots = Slots::default();
        slots.insert(());
        assert_eq!(slots.get(Token::PROGRAM), None);
    }
}
