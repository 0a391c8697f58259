//! Targets, escapes and hosts, one in each row.

use super::*;

#[test]
fn targets_are_split() {
    use Method::{Get, Options};
    for (method, text, path, query, authority) in [
        (Get, "/", "/", None, None),
        (Get, "/a/b", "/a/b", None, None),
        (Get, "/a?", "/a", Some(""), None),
        (Get, "/a?b=c?d/e", "/a", Some("b=c?d/e"), None),
        (Get, "//evil.example/a", "//evil.example/a", None, None),
        (Get, "/../%2e%2e/a%2Fb", "/../%2e%2e/a%2Fb", None, None),
        (Get, "/http://a/", "/http://a/", None, None),
        (Get, "http://a", "/", None, Some("a")),
        (Get, "HTTPS://a:1/b?c", "/b", Some("c"), Some("a:1")),
        (Get, "http://[::1]?c", "/", Some("c"), Some("[::1]")),
        (Options, "*", "*", None, None),
        (Options, "http://a:8001", "*", None, Some("a:8001")),
        (Options, "http://a/", "/", None, Some("a")),
        (Options, "http://a?b", "/", Some("b"), Some("a")),
    ] {
        let expected = Target {
            path,
            query,
            authority,
        };
        assert_eq!(Target::parse(method, text), Ok(expected), "{text:?}");
    }
}

#[test]
fn targets_without_a_form_are_refused() {
    for text in [
        "",
        "a",
        "a/b",
        "?a",
        "a:80",
        "*",
        "*/",
        "/a#",
        "/a?b#c",
        "#",
        "http:",
        "http:/a",
        "http://",
        "http:///a",
        "http://?a",
        "http://u@a/",
        "http://u:p@a/",
        "http://a:b/",
        "http://a b/",
        "http://a,b/",
        "http://:80/",
        "ftp://a/",
        "file:///etc/passwd",
        "javascript://a/",
        "://a/",
        " http://a/",
        "/\u{e9}",
        "http://\u{e9}/",
    ] {
        assert_eq!(
            Target::parse(Method::Get, text),
            Err(Fault::BAD_TARGET),
            "{text:?}"
        );
    }
    for text in [
        "/%",
        "/%4",
        "/%zz",
        "/a%00b",
        "/a?b=%",
        "/a?b=%00",
        "/%+1",
        "/%%41",
        "/%4\u{31}%4",
    ] {
        assert_eq!(
            Target::parse(Method::Get, text),
            Err(Fault::BAD_ESCAPE),
            "{text:?}"
        );
    }
}

#[test]
fn escapes_are_decoded() {
    for (text, decoded) in [
        ("", ""),
        ("/plain+text", "/plain+text"),
        ("%41%6a%6A", "Ajj"),
        ("/a%2Fb%3F", "/a/b?"),
        ("100%25", "100%"),
        ("%2541", "%41"),
        ("gr%C3%BCn", "gr\u{fc}n"),
        ("gr\u{fc}n%20", "gr\u{fc}n "),
        ("%F0%9F%A6%80", "\u{1f980}"),
        ("%01%7F", "\u{1}\u{7f}"),
    ] {
        assert_eq!(percent_decode(text).as_deref(), Ok(decoded), "{text:?}");
    }
    assert!(matches!(percent_decode("/plain"), Ok(Cow::Borrowed(_))));
}

#[test]
fn bad_escapes_are_refused() {
    for text in [
        "%",
        "a%",
        "%4",
        "%4g",
        "%g4",
        "%+4",
        "% 4",
        "%-1",
        "%0x",
        "%u0041",
        "%%41",
        "%00",
        "a%00",
        "\0",
        "a\0%41", // NUL, encoded or not
        "%ff",
        "%C3",
        "%C3%28",
        "%C0%80",
        "%ED%A0%80",
        "%F4%90%80%80", // not UTF-8
        "%\u{661}1",
        "%4\u{e9}",
    ] {
        assert_eq!(percent_decode(text), Err(Fault::BAD_ESCAPE), "{text:?}");
    }
}

#[test]
fn query_values_are_found_and_decoded() {
    let text = "/events?since=42&limit=&q=a+b%26c&since=43&flag&%6eame=x&bad=%ff";
    let target = Target::parse(Method::Get, text).unwrap();
    for (name, value) in [
        ("since", Some("42")),
        ("limit", Some("")),
        ("q", Some("a b&c")),
        ("flag", Some("")),
        ("name", Some("x")),
        ("bad", Some("\u{fffd}")),
        ("SINCE", None),
        ("", None),
    ] {
        assert_eq!(target.query_value(name).as_deref(), value, "{name:?}");
    }
    let without = Target::parse(Method::Get, "/events").unwrap();
    assert_eq!(without.query_value("since"), None);
}

#[test]
fn a_path_is_decoded_on_demand() {
    let decoded = |text| Target::parse(Method::Get, text).unwrap().decoded_path();
    assert_eq!(decoded("/a%20b?c=%20").as_deref(), Ok("/a b"));
    assert_eq!(decoded("/%ff"), Err(Fault::BAD_ESCAPE));
}

#[test]
fn hosts_are_names_or_addresses_with_a_port() {
    for host in [
        "",
        "a",
        "localhost:8080",
        "127.0.0.1",
        "a.example.",
        "a_b-c~d",
        "a:",
        "a:0",
        "a:65535",
        "[::1]",
        "[::1]:443",
        "[2001:db8::7]:",
        "[::ffff:1.2.3.4]",
    ] {
        assert!(is_host_and_port(host.as_bytes()), "{host:?} was refused");
    }
    for host in [
        ":",
        ":80",
        "a:65536",
        "a:+1",
        "a:-1",
        "a:8 0",
        "a:80:80",
        "a:8:",
        "::1",
        "[::1",
        "::1]",
        "[]",
        "[::1]a",
        "[::1]80",
        "[a]",
        "[::1%25eth0]",
        "[v1.a]",
        "a/",
        "a\\b",
        "u@a",
        "a,b",
        "a b",
        " a",
        "a?b",
        "a#b",
        "a%41",
        "a\t",
        "\u{fc}",
        "a:\u{661}",
        "http://a",
        "a<b",
        "\"a\"",
    ] {
        assert!(!is_host_and_port(host.as_bytes()), "{host:?} was accepted");
    }
}
