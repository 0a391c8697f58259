//! Splits bytes into lines of bounded length.

/// Splits the bytes that arrive into lines.
#[derive(Debug)]
pub(in crate::net) struct Lines {
    bytes_max: usize,
    /// The beginning of a line whose end has not arrived.
    part: Vec<u8>,
    /// The line is too long, and has been reported; its rest is skipped.
    skipping: bool,
}

/// A line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::net) enum Line {
    /// Text; invalid UTF-8 is replaced by `U+FFFD`.
    Text(String),
    /// The line was longer than allowed; this is its beginning.
    TooLong(String),
}

impl Lines {
    /// Lines of at most so many bytes.
    pub(in crate::net) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            part: Vec::new(),
            skipping: false,
        }
    }

    /// Calls `line` for every line that these bytes complete. Empty lines are skipped.
    pub(in crate::net) fn feed(&mut self, bytes: &[u8], mut line: impl FnMut(Line)) {
        let mut pieces = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            self.add(piece, &mut line);
            if pieces.peek().is_some() {
                self.end(&mut line);
            }
        }
    }

    /// No more bytes will come: an unfinished line counts as one.
    pub(in crate::net) fn finish(&mut self, mut line: impl FnMut(Line)) {
        self.end(&mut line);
    }

    fn add(&mut self, piece: &[u8], line: &mut impl FnMut(Line)) {
        if self.skipping {
            return;
        }
        // One byte more than a line has: the carriage return before its end is not part of it.
        let room = self.bytes_max + 1 - self.part.len();
        let taken = piece.len().min(room);
        self.part.extend_from_slice(&piece[..taken]);
        let is_over = self.part.len() > self.bytes_max && self.part.last() != Some(&b'\r');
        if is_over || taken < piece.len() {
            self.part.truncate(self.bytes_max);
            line(Line::TooLong(self.take()));
            self.skipping = true;
        }
    }

    fn end(&mut self, line: &mut impl FnMut(Line)) {
        if std::mem::take(&mut self.skipping) {
            return;
        }
        if self.part.last() == Some(&b'\r') {
            self.part.pop();
        }
        if !self.part.is_empty() {
            line(Line::Text(self.take()));
        }
    }

    fn take(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.part)).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = |text: &str| Line::Text(text.to_owned());
        let long = |text: &str| Line::TooLong(text.to_owned());
        for (bytes, lines) in [
            (&b"one\ntwo\n"[..], vec![text("one"), text("two")]),
            (b"one\r\ntwo", vec![text("one"), text("two")]),
            (b"\n\n\r\none\n\n", vec![text("one")]),
            (b"12345678\n", vec![text("12345678")]),
            (b"12345678\r\n", vec![text("12345678")]),
            (b"12345678\r", vec![text("12345678")]),
            (b"12345678\r\r\n1", vec![long("12345678"), text("1")]),
            (b"123456789\nnext\n", vec![long("12345678"), text("next")]),
            (b"1234567890123456789012", vec![long("12345678")]),
            (b"a\xffb\n", vec![text("a\u{fffd}b")]),
            (b"", vec![]),
        ] {
            for cut in 0..=bytes.len() {
                let (mut reader, mut read) = (Lines::new(8), Vec::new());
                reader.feed(&bytes[..cut], |line| read.push(line));
                reader.feed(&bytes[cut..], |line| read.push(line));
                reader.finish(|line| read.push(line));
                assert_eq!(read, lines, "{bytes:?} cut at {cut}");
            }
        }
    }
}
