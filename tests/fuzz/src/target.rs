use std::fmt::Write as _;

use loopgate::http::{Method, Target, percent_decode};

/// Request targets, queries and percent-decoding, of any text.
///
/// - A target that is read is in the text, begins with `/` or is `*`, and is read the same again
///   from its parts.
/// - Decoding agrees with one written the plain way; NUL never comes out; what is encoded comes back.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for method in [Method::Get, Method::Options] {
        if let Ok(target) = Target::parse(method, text) {
            check(method, text, target);
        }
    }
    let decoded = percent_decode(text).ok();
    assert_eq!(decoded.as_deref(), decode(text.as_bytes()).as_deref());
    if !text.contains('\0') {
        let mut encoded = String::new();
        for byte in text.bytes() {
            let _ = write!(encoded, "%{byte:02x}");
        }
        assert_eq!(percent_decode(&encoded).as_deref(), Ok(text));
    }
}

fn check(method: Method, text: &str, target: Target<'_>) {
    let Target {
        path,
        query,
        authority,
    } = target;
    assert!(text.is_ascii() && !text.contains('#'));
    assert!(path.starts_with('/') || (path == "*" && method == Method::Options));
    assert!(!path.contains('?'));
    let query_text = query.map_or(String::new(), |query| format!("?{query}"));
    let again = format!("{path}{query_text}");
    let read = Target::parse(method, &again).expect("its parts are a target");
    assert_eq!((read.path, read.query, read.authority), (path, query, None));
    if let Some(authority) = authority {
        assert!(!authority.is_empty() && !authority.contains(['@', '/', '?', ' ']));
        let path = if path == "*" { "" } else { path };
        let absolute = format!("http://{authority}{path}{query_text}");
        assert_eq!(Target::parse(method, &absolute), Ok(target));
    }
    if let Ok(path) = target.decoded_path() {
        assert!(!path.contains('\0'));
    }
    let names = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    for (name, _) in names.take(4) {
        let value = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .find(|(other, _)| *other == name)
            .map(|(_, value)| value);
        assert_eq!(target.query_value(&name), value);
    }
    if query.is_none() {
        assert_eq!(target.query_value(""), None);
    }
}

/// The plain way.
fn decode(text: &[u8]) -> Option<String> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let mut byte = text[at];
        at += 1;
        if byte == b'%' {
            let digits = text.get(at..at + 2)?;
            if !digits.iter().all(u8::is_ascii_hexdigit) {
                return None;
            }
            byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            at += 2;
        }
        if byte == 0 {
            return None;
        }
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}
