//! The fields of a login, replaced in place: a form or JSON of the same length, in which everything stands where it
//! stood.

use std::fmt::Write as _;

use super::secrets::Secrets;

/// Replaces values in a form (URL Standard, section 5.1).
pub(super) fn mask_form(body: &mut [u8], secrets: &Secrets) {
    for pair in body.split_mut(|byte| *byte == b'&') {
        let sign = pair.iter().position(|byte| *byte == b'=');
        let Some(sign) = sign else { continue };
        let (name, value) = pair.split_at_mut(sign);
        let value = &mut value[1..];
        let decoded = |text: &[u8]| {
            let text = [text, b"="].concat();
            let first = form_urlencoded::parse(&text).next();
            first.map_or(String::new(), |(name, _)| name.into_owned())
        };
        if let Some(instead) = secrets.instead(&decoded(name), &decoded(value)) {
            put_into_form(value, instead.as_bytes());
        }
    }
}

/// Writes the decoded bytes `instead` over a value, escaped where that was.
fn put_into_form(value: &mut [u8], instead: &[u8]) {
    let (mut at, mut instead) = (0, instead.iter().copied());
    while at < value.len() {
        let escape = value.get(at..at + 3).filter(|escape| {
            let hex = |byte: &u8| byte.is_ascii_hexdigit();
            escape[0] == b'%' && hex(&escape[1]) && hex(&escape[2])
        });
        // What is not UTF-8 was decoded to something longer, and what is left of that is left out.
        let byte = instead.next().unwrap_or(b'x');
        if escape.is_some() {
            let digits = format!("{byte:02x}");
            value[at + 1..at + 3].copy_from_slice(digits.as_bytes());
            at += 3;
        } else {
            value[at] = byte;
            at += 1;
        }
    }
}

/// Replaces values in JSON, valid or not: the string, or number, behind the name of a field (RFC 8259).
pub(super) fn mask_json(body: &mut [u8], secrets: &Secrets) {
    let mut at = 0;
    while let Some(quote) = body[at..].iter().position(|byte| *byte == b'"') {
        let name = string_at(body, at + quote);
        at = name.end;
        let between = body[at..]
            .iter()
            .take_while(|byte| b" \t\r\n:".contains(byte));
        let value = at + between.count();
        if !body[at..value].contains(&b':') {
            continue;
        }
        let name: String = decoded(&body[name]);
        if body.get(value) == Some(&b'"') {
            let place = string_at(body, value);
            at = place.end;
            let text: String = decoded(&body[place.clone()]);
            if let Some(instead) = secrets.instead(&name, &text) {
                put_into_json(&mut body[place], &instead);
            }
        } else if name == "password" {
            let number = body[value..]
                .iter_mut()
                .take_while(|byte| !b",}".contains(byte));
            number
                .filter(|byte| byte.is_ascii_digit())
                .for_each(|byte| *byte = b'1');
        }
    }
}

/// The string that begins with the quote at `from`, with its quotes; without the last, to the end.
fn string_at(body: &[u8], from: usize) -> std::ops::Range<usize> {
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

/// What a string says; one that is no string says as much as can be read of it.
fn decoded(string: &[u8]) -> String {
    serde_json::from_slice(string).unwrap_or_else(|_| {
        let inner = string
            .trim_ascii_start()
            .strip_prefix(b"\"")
            .unwrap_or(string);
        String::from_utf8_lossy(inner).into_owned()
    })
}

/// Writes the characters of `instead` over those of a string, escaped where those were.
fn put_into_json(string: &mut [u8], instead: &str) {
    let end = string.len() - usize::from(string.len() > 1 && string.ends_with(b"\""));
    let (mut at, mut instead) = (1, instead.chars());
    while at < end {
        let c = instead.next().unwrap_or('x');
        let room = match &string[at..end] {
            [b'\\', b'u', ..] => unicode_escape(&mut string[at..end], c),
            [b'\\', _, ..] => {
                string[at + 1] = b'/'; // one of the escapes, and one byte
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

/// Writes `c` as `\uXXXX`, or as two of them where it needs two; returns how many bytes that were.
fn unicode_escape(place: &mut [u8], c: char) -> usize {
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
    use crate::config::Limits;
    use crate::token::Keys;
    use crate::work::{Snapshot, UserRow};

    fn secrets() -> Secrets {
        let alice = UserRow {
            id: 1,
            name: "alice".into(),
            role: "user".into(),
            password: String::new(),
            created_s: 0,
        };
        let store = Snapshot {
            users: vec![alice],
            sessions: Vec::new(),
            last_event_id: 0,
        };
        Secrets::new(
            Limits::default(),
            Keys::ephemeral(1, [1; 32], 0),
            &store,
            [0; 16],
        )
    }

    #[test]
    fn a_form_keeps_its_shape() {
        for (form, expected) in [
            (
                "username=alice&password=pass+word%21",
                "username=alice&password=xxxxxxxxx%78",
            ),
            ("password=%c3%a9", "password=%c3%97"),
            ("password=&username=alice", "password=&username=alice"),
            ("remember=me&password=a", "remember=me&password=x"),
        ] {
            let mut body = form.as_bytes().to_vec();
            mask_form(&mut body, &secrets());
            assert_eq!(String::from_utf8(body).unwrap(), expected);
        }
    }

    #[test]
    fn json_keeps_its_shape() {
        for (json, expected) in [
            (
                r#"{"username":"alice","password":"secret"}"#,
                r#"{"username":"alice","password":"xxxxxx"}"#,
            ),
            (
                r#"{"password" : "a\"b\n\u00e9"}"#,
                r#"{"password" : "x\/x\/\u00d7"}"#,
            ),
            (
                r#"{"password":"\ud83d\ude00x"}"#,
                r#"{"password":"\ud83d\ude00x"}"#,
            ),
            (r#"{"password":123456}"#, r#"{"password":111111}"#),
            (r#"{"a":"password","b":"c"}"#, r#"{"a":"password","b":"c"}"#),
            ("{\"password\":\"s\u{e9}\"}", "{\"password\":\"x\u{d7}\"}"),
            (r#"{"password":null}"#, r#"{"password":null}"#),
        ] {
            let mut body = json.as_bytes().to_vec();
            mask_json(&mut body, &secrets());
            assert_eq!(String::from_utf8(body).unwrap(), expected);
        }
    }

    #[test]
    fn a_name_that_nobody_has_is_replaced() {
        let mut body = b"username=hunter2&password=a".to_vec();
        mask_form(&mut body, &secrets());
        assert!(!body.windows(7).any(|part| part == b"hunter2"));
    }
}
