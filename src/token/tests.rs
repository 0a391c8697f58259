//! How tokens are signed and verified, and that every changed token is refused.

use super::*;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

const NOW_S: i64 = 1_795_326_480;
const SECRET: [u8; 32] = [7; 32];

fn keys() -> Keys {
    Keys::ephemeral(0x00c0_ffee, SECRET, NOW_S)
}

fn claims() -> Claims {
    Claims {
        iss: "loopgate".into(),
        sub: "42".into(),
        sid: "000102030405060708090a0b0c0d0e0f".into(),
        iat: NOW_S,
        exp: NOW_S + 86_400,
    }
}

/// A correctly signed token with any header and claims.
fn forged(header: &str, claims: &str) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = hs256(&SECRET, signed.as_bytes());
    format!("{signed}.{signature}")
}

#[test]
fn the_example_of_rfc_7515_appendix_a_1_is_signed_as_printed() {
    let secret = URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let signing_input = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    assert_eq!(
        hs256(&secret, signing_input.as_bytes()),
        "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
}

#[test]
fn a_token_says_what_was_signed() {
    let token = sign(&claims(), keys().current());
    assert_eq!(verify(&token, &keys(), NOW_S), Ok(claims()));
    assert_eq!(
        token
            .split('.')
            .next()
            .map(|header| decode(header).unwrap()),
        Some(br#"{"alg":"HS256","typ":"JWT","kid":"00c0ffee"}"#.to_vec())
    );
}

#[test]
fn another_implementation_reads_it_and_refuses_a_changed_one() {
    let token = sign(&claims(), keys().current());
    let mut rules = Validation::new(Algorithm::HS256);
    rules.validate_exp = false; // it would read the real clock
    rules.set_issuer(&["loopgate"]);
    let read = |token: &str, secret: &[u8]| {
        jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(secret), &rules)
    };
    let decoded = read(&token, &SECRET).unwrap();
    assert_eq!(decoded.claims, claims());
    assert_eq!(decoded.header.kid.as_deref(), Some("00c0ffee"));
    assert!(read(&token, &[8; 32]).is_err());
    let other = Claims {
        sub: "1".into(),
        ..claims()
    };
    let spliced = format!(
        "{}.{}",
        sign(&other, keys().current()).rsplit_once('.').unwrap().0,
        token.rsplit_once('.').unwrap().1
    );
    assert!(read(&spliced, &SECRET).is_err());
    assert_eq!(verify(&spliced, &keys(), NOW_S), Err(TokenError::Signature));
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let token = sign(&claims(), keys().current());
    for at in 0..token.len() {
        for byte in (0x20..0x7f).chain([0, b'\n']) {
            let mut bytes = token.clone().into_bytes();
            if bytes[at] == byte {
                continue;
            }
            bytes[at] = byte;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verify(&changed, &keys(), NOW_S).is_err(), "{changed}");
        }
    }
}

#[test]
fn no_byte_can_be_added_or_left_out() {
    let token = sign(&claims(), keys().current());
    for at in 0..=token.len() {
        for byte in ["=", ".", "A", " ", "\n", "-"] {
            let mut longer = token.clone();
            longer.insert_str(at, byte);
            assert!(verify(&longer, &keys(), NOW_S).is_err(), "{longer}");
        }
        assert!(verify(&token[..at], &keys(), NOW_S).is_err() || at == token.len());
    }
}

#[test]
fn only_the_header_that_we_write_is_read() {
    let claims = serde_json::to_string(&claims()).unwrap();
    for (header, expected) in [
        (r#"{"alg":"HS256","typ":"JWT","kid":"00c0ffee"}"#, None),
        (
            r#"{"alg":"none","typ":"JWT","kid":"00c0ffee"}"#,
            Some(TokenError::Algorithm),
        ),
        (
            r#"{"alg":"HS384","typ":"JWT","kid":"00c0ffee"}"#,
            Some(TokenError::Algorithm),
        ),
        (
            r#"{"alg":"hs256","typ":"JWT","kid":"00c0ffee"}"#,
            Some(TokenError::Algorithm),
        ),
        (
            r#"{"alg":"HS256","typ":"JWT","kid":"00c0ffef"}"#,
            Some(TokenError::UnknownKey),
        ),
        (
            r#"{"alg":"HS256","typ":"JWT","kid":"00C0FFEE"}"#,
            Some(TokenError::UnknownKey),
        ),
        (
            r#"{"alg":"HS256","typ":"JWT","kid":"+0c0ffee"}"#,
            Some(TokenError::UnknownKey),
        ),
        (
            r#"{"alg":"HS256","typ":"JWE","kid":"00c0ffee"}"#,
            Some(TokenError::Malformed),
        ),
        (
            r#"{"alg":"HS256","typ":"JWT"}"#,
            Some(TokenError::Malformed),
        ),
        (
            r#"{"alg":"HS256","alg":"none","typ":"JWT","kid":"00c0ffee"}"#,
            Some(TokenError::Malformed),
        ),
        (
            r#"{"alg":"HS256","typ":"JWT","kid":"00c0ffee","crit":["b64"]}"#,
            Some(TokenError::Malformed),
        ),
        ("", Some(TokenError::Malformed)),
    ] {
        let result = verify(&forged(header, &claims), &keys(), NOW_S);
        assert_eq!(result.err(), expected, "{header}");
    }
}

#[test]
fn an_empty_signature_is_refused() {
    let token = sign(&claims(), keys().current());
    let unsigned = &token[..=token.rfind('.').unwrap()];
    assert_eq!(verify(unsigned, &keys(), NOW_S), Err(TokenError::Signature));
}

#[test]
fn more_or_fewer_segments_are_refused() {
    let token = sign(&claims(), keys().current());
    for wrong in [
        String::new(),
        ".".into(),
        "..".into(),
        token.replace('.', ""),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.AAAA"),
        format!("{token}{token}"),
    ] {
        assert_eq!(
            verify(&wrong, &keys(), NOW_S),
            Err(TokenError::Malformed),
            "{wrong}"
        );
    }
}

#[test]
fn a_token_ends_in_the_second_in_which_it_expires() {
    let token = sign(&claims(), keys().current());
    assert!(verify(&token, &keys(), claims().exp - 1).is_ok());
    assert_eq!(
        verify(&token, &keys(), claims().exp),
        Err(TokenError::Expired)
    );
}

#[test]
fn a_fingerprint_is_the_sha_256() {
    assert_eq!(
        fingerprint(b"abc")[..4],
        [0xba, 0x78, 0x16, 0xbf] // FIPS 180-4, the one-block example
    );
}

#[test]
fn each_reason_to_refuse_a_token_is_told_in_words_of_its_own() {
    let reasons = [
        TokenError::Malformed,
        TokenError::Algorithm,
        TokenError::UnknownKey,
        TokenError::Signature,
        TokenError::Expired,
    ]
    .map(|reason| reason.to_string());
    for (at, reason) in reasons.iter().enumerate() {
        assert!(reason.contains("token"), "{reason:?}");
        assert!(!reasons[..at].contains(reason), "{reason} is told twice");
    }
}

#[test]
fn bytes_have_one_text_in_base64url_and_come_back_from_it() {
    for (bytes, text) in [
        (*b"foobar", "Zm9vYmFy"), // RFC 4648, section 10
        ([0xff; 6], "________"),
        ([0xfb, 0xef, 0xbe, 0xfb, 0xef, 0xbe], "--------"),
    ] {
        assert_eq!(base64url(&bytes), text);
        assert_eq!(from_base64url(text), Some(bytes));
    }
    for wrong in [
        "",
        "Zm9vYmF",
        "Zm9vYmFyYg",
        "Zm9vYmFy=",
        "////////",
        "Zm9vYm\n",
    ] {
        assert_eq!(from_base64url::<6>(wrong), None, "{wrong:?}");
    }
}

#[test]
#[cfg(feature = "simulation")]
fn a_token_is_signed_again_with_other_keys_only_if_it_is_ours() {
    let others = keys().with_known_secrets();
    let token = sign(&claims(), keys().current());
    let again = sign_again(&token, &keys(), &others);
    assert_eq!(again, Some(sign(&claims(), others.current())));
    let foreign = sign(&claims(), others.current());
    assert_eq!(sign_again(&foreign, &keys(), &others), None);
    let of_another_name = Keys::ephemeral(1, SECRET, NOW_S);
    assert_eq!(sign_again(&token, &keys(), &of_another_name), None);
}
