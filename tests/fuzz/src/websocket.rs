use loopgate::websocket::{Heard, Incoming, Message, Violation};

use super::choice;

/// Longest message that is read here, in bytes: short enough to be exceeded.
const MESSAGE_BYTES_MAX: usize = 200;

#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    heard: Vec<Heard>,
    violation: Option<Violation>,
    answered: Vec<u8>,
}

/// Frames: the first byte chooses how long the pieces are.
///
/// - The same messages, violation and answers however the bytes are cut.
/// - No message is longer than allowed, text is not kept back, nothing is heard after the end.
pub fn websocket(data: &[u8]) {
    let (choice, bytes) = choice(data);
    let whole = read([bytes]);
    assert_eq!(read(bytes.chunks(1 + usize::from(choice))), whole);
    assert_eq!(read(bytes.chunks(1)), whole);
    for heard in &whole.heard {
        let length = match heard {
            Heard::Message(Message::Text(text)) => text.len(),
            Heard::Message(Message::Binary(bytes)) => bytes.len(),
            Heard::Pong | Heard::Closed => 0,
        };
        assert!(length <= MESSAGE_BYTES_MAX, "a message of {length} bytes");
    }
    let closed = whole.heard.iter().position(|heard| *heard == Heard::Closed);
    if let Some(at) = closed {
        assert_eq!(at + 1, whole.heard.len(), "something behind the end");
        assert_eq!(whole.violation, None, "a violation behind the end");
    }
    assert!(
        whole.answered.len() <= bytes.len(),
        "answers are shorter than their frames"
    );
}

fn read<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> Outcome {
    let mut incoming = Incoming::new(MESSAGE_BYTES_MAX);
    let mut outcome = Outcome {
        heard: Vec::new(),
        violation: None,
        answered: Vec::new(),
    };
    for piece in pieces {
        let mut input = piece;
        loop {
            let before = input.len();
            match incoming.next(&mut input, &mut outcome.answered) {
                Ok(Some(heard)) => {
                    assert!(input.len() < before, "something out of nothing");
                    outcome.heard.push(heard);
                }
                Ok(None) => break,
                Err(violation) => {
                    assert_eq!(outcome.violation.replace(violation), None, "one is enough");
                    break;
                }
            }
        }
        assert!(input.is_empty(), "everything is taken");
    }
    outcome
}
