//! Masks JSON in a body in place: what is known to be public stays, and the rest keeps its length and its faults, so
//! that the server gives the same verdict on it.

use std::ops::Range;

use serde::de::IgnoredAny;

use super::secrets::{mask_character, mask_letters};

/// How to mask the value of a field of the outermost object.
pub(super) enum Value {
    /// It is public, like the field's name.
    Shown,
    /// This string replaces it, in as many bytes.
    Replaced(String),
    /// It is masked.
    Hidden,
}

/// Masks a body that should be an object: the names of its fields, except those that are `known`, and their values as
/// `judge` says, which gets the name and the value as text (a string's content, anything else as it stands).
///
/// In invalid JSON everything is masked except known names before the fault: the server reads as far as that, and may
/// reject a name first, or the lack of one.
pub(super) fn mask_json(body: &mut [u8], known: &[&str], judge: impl Fn(&str, &str) -> Value) {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return hide(body);
    }
    let fault = serde_json::from_slice::<IgnoredAny>(body).err();
    let fault_at = fault.map(|fault| place_of(&fault, body));
    let mut at = 0;
    while let Some(quote) = body[at..].iter().position(|byte| *byte == b'"') {
        let name = string_at(body, at + quote);
        if fault_at.is_some_and(|fault_at| fault_at < name.end) {
            break;
        }
        let start = name.end
            + body[name.end..]
                .iter()
                .take_while(|byte| b" \t\r\n:".contains(byte))
                .count();
        let value = start..end_of_value(body, start);
        hide(&mut body[at..name.start]);
        at = value.end;
        let text = text_of(&body[name.clone()]);
        let judged = match fault_at {
            None => judge(&text, &text_of(&body[value.clone()])),
            Some(_) => Value::Hidden,
        };
        if !known.contains(&&*text) {
            hide(&mut body[name]);
        }
        match judged {
            Value::Shown => {}
            // An invalid string, such as one with half a surrogate pair, stays invalid: the server detects it.
            Value::Replaced(instead) if is_string(&body[value.clone()]) => {
                put_into_string(&mut body[value], &instead);
            }
            Value::Replaced(_) | Value::Hidden => hide(&mut body[value]),
        }
    }
    hide(&mut body[at..]);
}

/// Where the parser stopped: the position of the byte that it could not take, or the end.
fn place_of(fault: &serde_json::Error, body: &[u8]) -> usize {
    if fault.is_eof() {
        return body.len();
    }
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    let before: usize = lines.take(fault.line() - 1).map(<[u8]>::len).sum();
    before + fault.column().saturating_sub(1)
}

/// The content of a string, or any other value as it stands.
fn text_of(value: &[u8]) -> String {
    serde_json::from_slice(value).unwrap_or_else(|_| String::from_utf8_lossy(value).into_owned())
}

/// Whether this is a string with valid escapes.
fn is_string(value: &[u8]) -> bool {
    serde_json::from_slice::<String>(value).is_ok()
}

/// The string that begins with the quote at `from`, including its quotes; if the last quote is missing, to the end.
fn string_at(body: &[u8], from: usize) -> Range<usize> {
    let mut at = from + 1;
    while at < body.len() {
        match body[at] {
            b'"' => return from..at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    from..body.len()
}

/// Where the value that begins at `from` ends, in valid JSON.
fn end_of_value(body: &[u8], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0_usize);
    while at < body.len() {
        match body[at] {
            b'"' => at = string_at(body, at).end,
            b'{' | b'[' => (at, depth) = (at + 1, depth + 1),
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => (at, depth) = (at + 1, depth - 1),
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// Masks all strings, numbers and words. `true`, `false` and `null` are no secrets, and neither is the beginning of a
/// word that could have become one of them: the server detects the fault behind it.
fn hide(bytes: &mut [u8]) {
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'"' => {
                let string = string_at(bytes, at);
                hide_string(&mut bytes[string.clone()]);
                string.end
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                let end = at + bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                hide_number(&mut bytes[at..end]);
                end
            }
            byte if byte.is_ascii_alphabetic() => {
                let end = at
                    + bytes[at..]
                        .iter()
                        .take_while(|byte| byte.is_ascii_alphanumeric())
                        .count();
                hide_word(&mut bytes[at..end]);
                end
            }
            byte => {
                if !byte.is_ascii() {
                    bytes[at] = 0xff;
                }
                at + 1
            }
        };
        at = end;
    }
}

fn hide_word(word: &mut [u8]) {
    let literal = ["true", "false", "null"]
        .into_iter()
        .find(|literal| literal.as_bytes()[0] == word[0])
        .unwrap_or_default();
    let known = word
        .iter()
        .zip(literal.bytes())
        .take_while(|(byte, known)| *byte == known);
    let known = known.count();
    mask_letters(&mut word[known..]);
}

/// Masks a number, which stays a number: a leading zero, its sign, point and exponent stay.
fn hide_number(number: &mut [u8]) {
    let (mut digits, mut has_exponent) = (0, false);
    for byte in number {
        match *byte {
            b'0' if digits == 0 => digits += 1,
            b'0'..=b'9' => {
                *byte = b'1';
                digits += 1;
            }
            b'e' | b'E' if digits > 0 && !has_exponent => has_exponent = true,
            b'e' | b'E' => *byte = b'x',
            _ => {}
        }
    }
}

/// Masks a string, which includes its quotes. Escapes stay escapes, invalid ones stay invalid, and so does invalid
/// UTF-8.
fn hide_string(string: &mut [u8]) {
    let end = string.len() - usize::from(string.len() > 1 && string.ends_with(b"\""));
    let mut at = 1;
    while at < end {
        let rest = &mut string[at..end];
        at += match rest {
            [b'\\', b'u', ..] => hide_unit(rest),
            [b'\\', escaped, ..] => {
                *escaped = match *escaped {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => b'/',
                    b'0'..=b'9' => b'1',
                    control if control.is_ascii_control() => control, // a line end is a control character
                    _ => b'x',
                };
                2
            }
            [byte, ..] if byte.is_ascii() => {
                if !byte.is_ascii_control() && *byte != b'\\' {
                    *byte = b'x';
                }
                1
            }
            rest => mask_character(rest),
        };
    }
}

/// The code unit of an escape `\uXXXX` at the front.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
    let are_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| are_hex)?;
    u16::from_str_radix(digits, 16).ok()
}

/// Masks the escape at the front, or both of a surrogate pair; returns the length.
fn hide_unit(bytes: &mut [u8]) -> usize {
    let second = bytes.get(6..).and_then(unit);
    let (instead, length): (&[u8], usize) = match unit(bytes) {
        None => {
            let end = bytes.len().min(6);
            mask_letters(&mut bytes[2..end]);
            // A quote or a backslash among them begins something else.
            let whole = bytes[2..end]
                .iter()
                .take_while(|byte| !b"\"\\".contains(byte));
            return 2 + whole.count();
        }
        Some(0xd800..=0xdbff) if second.is_some_and(|unit| (0xdc00..=0xdfff).contains(&unit)) => {
            (br"\ud83d\ude00", 12)
        }
        Some(0xd800..=0xdbff) => (br"\ud800", 6),
        Some(0xdc00..=0xdfff) => (br"\udc00", 6),
        Some(0) => (br"\u0000", 6),
        Some(_) => (br"\u0078", 6),
    };
    bytes[..length].copy_from_slice(instead);
    length
}

/// Writes the characters of `instead` over those of a string, escaped where these were.
fn put_into_string(string: &mut [u8], instead: &str) {
    let end = string.len() - usize::from(string.len() > 1 && string.ends_with(b"\""));
    let (mut at, mut instead) = (1, instead.chars());
    while at < end {
        let c = instead.next().unwrap_or('x');
        let room = match &string[at..end] {
            [b'\\', b'u', ..] => unicode_escape(&mut string[at..end], c),
            [b'\\', _, ..] => {
                // A control character such as `\n` has its own escape; `\/` stands for any other character of one byte.
                if !c.is_control() {
                    string[at + 1] = b'/';
                }
                2
            }
            rest => {
                let length = c.len_utf8().min(rest.len());
                c.encode_utf8(&mut [0; 4]).as_bytes()[..length]
                    .iter()
                    .zip(&mut string[at..])
                    .for_each(|(byte, place)| *place = *byte);
                length
            }
        };
        at += room;
    }
}

/// Writes `c` as `\uXXXX`, or as two of them if it needs two; returns how many bytes it wrote.
fn unicode_escape(place: &mut [u8], c: char) -> usize {
    use std::fmt::Write as _;

    let mut escapes = String::new();
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(escapes, "\\u{unit:04x}");
    }
    let length = escapes.len().min(place.len());
    place[..length].copy_from_slice(&escapes.as_bytes()[..length]);
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(json: &[u8]) -> String {
        let mut body = json.to_vec();
        hide(&mut body);
        assert_eq!(body.len(), json.len());
        let again = body.clone();
        hide(&mut body);
        assert_eq!(body, again, "what is masked stays as it is");
        // The server gives the same verdict on it.
        let said =
            |json: &[u8]| serde_json::from_slice::<IgnoredAny>(json).map_err(|why| why.to_string());
        assert_eq!(said(&body).is_ok(), said(json).is_ok());
        if let (Err(was), Err(is)) = (said(json), said(&body)) {
            assert_eq!(was, is, "{}", String::from_utf8_lossy(json));
        }
        String::from_utf8_lossy(&body).into_owned()
    }

    #[test]
    fn what_is_hidden_has_the_shape_and_the_faults_that_it_had() {
        for (json, expected) in [
            (
                r#"{"a": "hunter2", "b": [1.50, -20, 1e5, 0, null, true]}"#,
                r#"{"x": "xxxxxxx", "x": [1.11, -11, 1e1, 0, null, true]}"#,
            ),
            (
                r#"{"a":"p@ss \"w\" \u00e9\ud83d\ude00\n"}"#,
                r#"{"x":"xxxxx\/x\/x\u0078\ud83d\ude00\/"}"#,
            ),
            (
                "{\"a\":\"h\u{e9}\u{4e16}\u{1f512}\"}",
                "{\"x\":\"x\u{d7}\u{2026}\u{1f600}\"}",
            ),
            (r#"{"a":hunter2}"#, r#"{"x":xxxxxx1}"#),
            (r#"{"a":trustno1}"#, r#"{"x":truxxxx1}"#),
            (r#"{"a":0123}"#, r#"{"x":0111}"#),
            (r#"{"a":"hun"ter2"}"#, r#"{"x":"xxx"txx1"x"#),
            (
                r#"{"a":"\q\u12g4\ud800 \udc00""#,
                r#"{"x":"\x\u11x1\ud800x\udc00""#,
            ),
            (r#"{"a":"hunter2"#, r#"{"x":"xxxxxxx"#),
            ("'hunter2'", "'xxxxxx1'"),
        ] {
            assert_eq!(hidden(json.as_bytes()), expected, "{json}");
        }
        assert_eq!(
            hidden(b"{\"a\":\"\xffhunter\"}"),
            "{\"x\":\"\u{fffd}xxxxxx\"}"
        );
        for end in 0..40 {
            hidden(&br#"{"a":"\ud83d\ude00x\u0041","b":[tru,12e3]}"#[..end]);
        }
    }

    #[test]
    fn fields_of_the_outermost_object_are_judged() {
        let known = ["shown", "replaced", "known"];
        let judge = |name: &str, value: &str| match (name, value) {
            ("shown", _) | ("known", "known") => Value::Shown,
            ("replaced", _) => Value::Replaced("instead".into()),
            _ => Value::Hidden,
        };
        for (json, expected) in [
            (
                r#"{"shown":{"a":"b"}, "other":{"shown":"b"}}"#,
                r#"{"shown":{"a":"b"}, "xxxxx":{"xxxxx":"x"}}"#,
            ),
            (
                r#"{"re\u0070laced" : "hunter2"}"#,
                r#"{"re\u0070laced" : "instead"}"#,
            ),
            (r#"{"replaced":12}"#, r#"{"replaced":11}"#),
            (
                r#"{"known":"known","known":"hunter2"}"#,
                r#"{"known":"known","known":"xxxxxxx"}"#,
            ),
            (r#"["shown","hunter2"]"#, r#"["xxxxx","xxxxxxx"]"#),
            ("{}", "{}"),
            // Invalid JSON: names before the fault stay.
            (r#"{"shown":"hunter2""#, r#"{"shown":"xxxxxxx""#),
            (
                r#"{"known":"hunter2","other":[{"shown":1}]}hunter2"shown":"known""#,
                r#"{"known":"xxxxxxx","xxxxx":[{"xxxxx":1}]}xxxxxx1"xxxxx":"xxxxx""#,
            ),
            (
                "{\n\"known\":\"a\",\n\"known\" \"shown\":\"b\"}",
                "{\n\"known\":\"x\",\n\"known\" \"xxxxx\":\"x\"}",
            ),
            (r#"{hunter2,"known":"a"}"#, r#"{xxxxxx1,"xxxxx":"x"}"#),
        ] {
            let mut body = json.as_bytes().to_vec();
            mask_json(&mut body, &known, judge);
            assert_eq!(String::from_utf8(body).unwrap(), expected, "{json}");
        }
    }
}
