//! The file format of a recording: blocks, so that a changed byte is detected, and is not taken for the end of the
//! recording.
//!
//! After the first line of the file, block follows block:
//!
//! ```text
//! length of the content (4 bytes) | check of that and of the block's number (4) | check of the content (4) | content
//! ```
//!
//! Numbers are little-endian; a check is FNV-1a of 32 bits, which detects a change of any single byte. The number
//! detects a block that is missing or out of order. The first block is the head; each other block has what was
//! recorded in one turn.

/// Bytes before the content of a block.
const HEADER_BYTES: usize = 12;

/// A block that is being written.
#[derive(Debug, Default)]
pub(super) struct Block {
    number: u32,
    /// Empty, or a header with room for its numbers and the content so far.
    bytes: Vec<u8>,
}

impl Block {
    /// Lets `add` append to the content; returns by how many bytes the file grows.
    pub(super) fn extend(&mut self, add: impl FnOnce(Vec<u8>) -> Vec<u8>) -> usize {
        let before = self.bytes.len();
        if self.bytes.is_empty() {
            self.bytes.resize(HEADER_BYTES, 0);
        }
        self.bytes = add(std::mem::take(&mut self.bytes));
        self.bytes.len() - before
    }

    /// The finished block, to be taken out, so that the next one begins. Empty without content.
    pub(super) fn close(&mut self) -> &mut Vec<u8> {
        if let Some((header, content)) = self.bytes.split_at_mut_checked(HEADER_BYTES) {
            header.copy_from_slice(&header_of(self.number, content));
            self.number = self.number.wrapping_add(1);
        }
        &mut self.bytes
    }
}

fn header_of(number: u32, content: &[u8]) -> [u8; HEADER_BYTES] {
    let length = (content.len() as u32).to_le_bytes();
    let of_length = check([length, number.to_le_bytes()].as_flattened());
    let numbers = [
        length,
        of_length.to_le_bytes(),
        check(content).to_le_bytes(),
    ];
    let mut header = [0; HEADER_BYTES];
    header.copy_from_slice(numbers.as_flattened());
    header
}

fn check(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// Reads the contents of blocks, one after the other.
#[derive(Debug)]
pub(super) struct Blocks<'b> {
    number: u32,
    rest: &'b [u8],
}

/// A block differs from what was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damaged {
    /// Bytes from its beginning to the end of the file.
    pub(super) bytes_left: usize,
}

impl<'b> Blocks<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self {
            number: 0,
            rest: bytes,
        }
    }

    /// The content of the next block; `None` at the end of the file, even if that cuts a block.
    pub(super) fn next(&mut self) -> Result<Option<&'b [u8]>, Damaged> {
        let Some((header, rest)) = self.rest.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let damaged = Err(Damaged {
            bytes_left: self.rest.len(),
        });
        let [l0, l1, l2, l3, of_length @ .., _, _, _, _] = *header;
        let length = [l0, l1, l2, l3];
        let expected = check([length, self.number.to_le_bytes()].as_flattened());
        if u32::from_le_bytes(of_length) != expected {
            return damaged;
        }
        let length = u32::from_le_bytes(length) as usize;
        let Some((content, rest)) = rest.split_at_checked(length) else {
            return Ok(None);
        };
        if *header != header_of(self.number, content) {
            return damaged;
        }
        self.number = self.number.wrapping_add(1);
        self.rest = rest;
        Ok(Some(content))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(contents: &[&[u8]]) -> Vec<u8> {
        let (mut block, mut file) = (Block::default(), Vec::new());
        for content in contents {
            block.extend(|mut bytes| {
                bytes.extend_from_slice(content);
                bytes
            });
            file.append(block.close());
        }
        assert!(block.close().is_empty());
        file
    }

    fn read(bytes: &[u8]) -> Result<Vec<&[u8]>, Damaged> {
        let (mut blocks, mut contents) = (Blocks::new(bytes), Vec::new());
        while let Some(content) = blocks.next()? {
            contents.push(content);
        }
        Ok(contents)
    }

    const CONTENTS: [&[u8]; 3] = [b"head", b"a turn", b"and the next one"];

    #[test]
    fn what_was_written_is_read_as_far_as_it_goes() {
        let whole = file(&CONTENTS);
        let ends = [0, 16, 16 + 18, whole.len()];
        for cut in 0..=whole.len() {
            let blocks = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(read(&whole[..cut]).unwrap(), CONTENTS[..blocks], "{cut}");
        }
    }

    #[test]
    fn every_byte_that_has_changed_is_found() {
        let whole = file(&CONTENTS);
        for at in 0..whole.len() {
            for flipped in [0x01, 0x55, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= flipped;
                assert!(read(&changed).is_err(), "{flipped:#x} at {at}");
            }
        }
    }

    #[test]
    fn a_block_that_is_missing_or_stands_elsewhere_is_found() {
        let whole = file(&CONTENTS);
        let missing = [&whole[..16], &whole[34..]].concat();
        assert_eq!(read(&missing), Err(Damaged { bytes_left: 28 }));
        let twice = [&whole[..16], &whole].concat();
        assert!(read(&twice).is_err());
    }
}
