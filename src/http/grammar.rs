//! The pieces of grammar that several files need (RFC 9110, section 5.6).

/// `tchar`: the bytes of which names of fields, methods and options consist.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// `1*tchar`
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Whether a field value may contain this byte: a tab, or anything but control bytes.
pub(super) const fn is_value_byte(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}

/// The elements of a comma-separated list without the white space around them, and without the
/// empty ones that a recipient must ignore (section 5.6.1.2).
pub(crate) fn list_elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// Optional white space is only spaces and tabs; form feeds and the like are content.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_bytes_are_the_77_of_the_rfc() {
        let count = (0..=u8::MAX).filter(|byte| is_token_byte(*byte)).count();
        assert_eq!(count, 77);
        for delimiter in b"\"(),/:;<=>?@[\\]{} \t" {
            assert!(!is_token_byte(*delimiter), "{delimiter}");
        }
    }

    #[test]
    fn lists_ignore_white_space_and_empty_elements() {
        let elements =
            |value: &'static str| -> Vec<&[u8]> { list_elements(value.as_bytes()).collect() };
        assert_eq!(elements(""), [b""; 0]);
        assert_eq!(elements(" , ,\t,"), [b""; 0]);
        assert_eq!(elements("a"), [b"a"]);
        assert_eq!(elements(",a , b\t,, c d "), [&b"a"[..], b"b", b"c d"]);
        assert_eq!(elements("a\x0b"), [b"a\x0b"]);
    }
}
