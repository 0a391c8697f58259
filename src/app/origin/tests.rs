//! Which pages belong to this site, and what proxies say, as tables.

use super::*;

/// The whole table of [`same_origin`]: each row is an `Origin`, each column a `Sec-Fetch-Site`.
#[test]
fn a_page_of_another_site_is_told_apart() {
    let columns = [
        &[][..],
        &["same-origin"],
        &["none"],
        &["same-site"],
        &["cross-site"],
        &[""],
        &["SAME-ORIGIN"],
        &["same-origin, none"],
        &["same-origin", "same-origin"],
    ];
    for (origins, expected) in [
        (&[][..], "-yy------"),
        (&["https://example.com"], "yyy------"),
        (&["HTTPS://EXAMPLE.com:443"], "yyy------"),
        (&["null"], "-y-------"),
        (&["NULL"], "---------"),
        (&["null, null"], "---------"),
        (&["null", "null"], "---------"),
        (&[""], "---------"),
        (&["https://evil.org"], "---------"),
        (&["https://www.example.com"], "---------"),
        (&["https://example.com:8443"], "---------"),
        (&["https://example.com", "https://example.com"], "---------"),
        (&["https://example.com", "https://evil.org"], "---------"),
        (&["null", "https://example.com"], "---------"),
    ] {
        let site = Site {
            host: Some(b"example.com"),
            over_tls: true,
        };
        let answers = columns.iter().map(|fetched_from| {
            let bytes = |values: &'static [&str]| values.iter().map(|value| value.as_bytes());
            let same = same_origin(site, bytes(origins), bytes(fetched_from));
            if same { 'y' } else { '-' }
        });
        assert_eq!(answers.collect::<String>(), expected, "Origin {origins:?}");
    }
}

#[test]
fn an_origin_is_this_site_by_scheme_host_and_port() {
    let name = Some("example.com");
    for (host, origin, if_plain, over_tls) in [
        (name, "https://example.com", true, true),
        (name, "http://example.com", true, false),
        (name, "HTTPS://EXAMPLE.com", true, true),
        (name, "https://example.com:443", true, true),
        (name, "https://example.com:80", false, false),
        (name, "http://example.com:80", true, false),
        (name, "http://example.com:443", false, false),
        (name, "https://example.com:8443", false, false),
        (name, "https://www.example.com", false, false),
        (name, "https://example.com.", false, false),
        (Some("my-site_1"), "https://my-site_1", true, true),
        (name, "https://example.com.evil.org", false, false),
        (name, "https://evil.org", false, false),
        (name, "", false, false),
        (name, "example.com", false, false),
        (name, "ftp://example.com", false, false),
        (name, "wss://example.com", false, false),
        (name, "https://", false, false),
        (name, "https://example.com/", false, false),
        (name, "https://example.com#@evil.org", false, false),
        (name, "https://evil.org@example.com", false, false),
        (name, "https://example.com https://evil.org", false, false),
        (name, " https://example.com", false, false),
        (name, "https://example.com:", false, false),
        (name, "https://example.com:+443", false, false),
        (name, "https://example.com:65979", false, false), // 443 in sixteen bits
        (None, "https://example.com", false, false),
        (Some(""), "https://", false, false),
        // A proxy may add or remove the port in Host.
        (Some("example.com:443"), "https://example.com", true, true),
        (Some("example.com:443"), "http://example.com", false, false),
        (Some("example.com:80"), "http://example.com", true, false),
        (Some("example.com:80"), "https://example.com", false, false),
        (
            Some("EXAMPLE.COM:8443"),
            "https://example.com:8443",
            true,
            true,
        ),
        (
            Some("example.com:08443"),
            "https://example.com:8443",
            true,
            true,
        ),
        (Some("localhost:8080"), "http://localhost:8080", true, false),
        (Some("localhost:8080"), "http://localhost", false, false),
        // Addresses.
        (Some("192.0.2.1"), "https://192.0.2.1", true, true),
        (Some("[::1]:8080"), "http://[::1]:8080", true, false),
        (Some("[::1]"), "http://[::1]:80", true, false),
        (Some("[::1]"), "https://[::1]", true, true),
        (Some("[0:0:0:0:0:0:0:1]"), "https://[::1]", true, true),
        (
            Some("[2001:DB8::A]:443"),
            "https://[2001:db8::a]",
            true,
            true,
        ),
        (Some("[::1]"), "http://[::2]", false, false),
        (Some("[::1"), "http://[::1", false, false),
        (Some("[::1]x"), "http://[::1]x", false, false),
    ] {
        for (is_over_tls, expected) in [(false, if_plain), (true, over_tls)] {
            let site = Site {
                host: host.map(str::as_bytes),
                over_tls: is_over_tls,
            };
            assert_eq!(
                site.is_at(origin.as_bytes()),
                expected,
                "{origin} at {host:?}, over TLS: {is_over_tls}"
            );
        }
    }
}

#[test]
fn what_proxies_say_of_tls_is_a_list_and_doubt_is_tls() {
    for (lines, over_tls) in [
        (&[][..], false),
        (&[""], false),
        (&[" , ,"], false),
        (&["https"], true),
        (&["HTTPS"], true),
        (&["http"], false),
        (&["Http"], false),
        (&["https, https"], true),
        (&["https,http"], true),
        (&["http ,\thttps"], true),
        (&["http, http"], false),
        (&[",https,"], true),
        (&["http", "https"], true),
        (&["https", "http"], true),
        (&["", "http"], false),
        (&["wss"], true),
        (&["ws"], false),
        // Unknown schemes.
        (&["\"https\""], true),
        (&["https;http"], true),
        (&["on"], true),
    ] {
        let lines_given = lines.iter().map(|line| line.as_bytes());
        assert_eq!(forwarded_over_tls(lines_given), over_tls, "{lines:?}");
    }
}

/// `trusted` are 10.0.0.1 and 10.0.0.2, and one more in IPv6.
fn client(peer: &str, lines: &[&str]) -> String {
    let trusted = ["10.0.0.1", "::ffff:10.0.0.2", "2001:db8::1"].map(|t| t.parse().unwrap());
    let lines = lines.iter().map(|line| line.as_bytes());
    let address = client_address(peer.parse().ok(), lines, &trusted);
    address.map_or("nobody".into(), |address| address.to_string())
}

#[test]
fn a_forwarded_address_is_believed_from_the_right() {
    for (peer, lines, expected) in [
        // not a proxy: its fields are ignored
        ("192.0.2.9", &["1.2.3.4"][..], "192.0.2.9"),
        ("192.0.2.9", &["10.0.0.1"], "192.0.2.9"),
        // one proxy
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
        ("::ffff:10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
        ("10.0.0.2", &["::ffff:1.2.3.4"], "1.2.3.4"),
        ("2001:db8::1", &["2001:db8:5::7"], "2001:db8:5::7"),
        // an entry that the client wrote itself
        ("10.0.0.1", &["9.9.9.9, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", &["9.9.9.9", "1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", &["10.0.0.2, 1.2.3.4"], "1.2.3.4"),
        ("10.0.0.1", &["garbage\u{ff}", "1.2.3.4"], "1.2.3.4"),
        // two proxies
        ("10.0.0.1", &["9.9.9.9,1.2.3.4 ,\t10.0.0.2"], "1.2.3.4"),
        (
            "10.0.0.1",
            &["1.2.3.4", "10.0.0.2", "2001:db8::1"],
            "1.2.3.4",
        ),
        ("10.0.0.1", &["2001:db8::1, 10.0.0.2"], "2001:db8::1"),
        // not an address
        ("10.0.0.1", &["1.2.3.4, unknown"], "10.0.0.1"),
        ("10.0.0.1", &["1.2.3.4, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", &["1.2.3.4,"], "10.0.0.1"),
        ("10.0.0.1", &["1.2.3.4", ""], "10.0.0.1"),
        ("10.0.0.1", &["1.2.3"], "10.0.0.1"),
        ("10.0.0.1", &["1.2.3.4.5"], "10.0.0.1"),
        ("10.0.0.1", &["01.2.3.4"], "10.0.0.1"),
        ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
        // with ports
        ("10.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
        ("10.0.0.1", &["[2001:db8:5::7]:5678"], "2001:db8:5::7"),
        ("10.0.0.1", &["[2001:db8:5::7]"], "2001:db8:5::7"),
        ("10.0.0.1", &["[1.2.3.4]"], "10.0.0.1"),
        ("10.0.0.1", &["1.2.3.4:99999"], "10.0.0.1"),
        // a unix socket
        ("", &[], "nobody"),
        ("", &["1.2.3.4"], "1.2.3.4"),
        ("", &["9.9.9.9, 1.2.3.4, 10.0.0.1"], "1.2.3.4"),
        ("", &["unknown"], "nobody"),
    ] {
        assert_eq!(client(peer, lines), expected, "{peer:?} {lines:?}");
    }
}

#[test]
fn without_proxies_no_forwarded_address_is_believed() {
    let header = || [&b"1.2.3.4"[..]].into_iter();
    assert_eq!(client_address(None, header(), &[]), None);
    let peer = "::ffff:192.0.2.9".parse().ok();
    let expected = "192.0.2.9".parse().ok();
    assert_eq!(client_address(peer, header(), &[]), expected);
}
