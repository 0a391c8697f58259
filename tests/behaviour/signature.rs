//! `user_sign` is a token that any library of its kind can verify, and none can change.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use crate::harness::{Program, TestServer, login, signed};

#[test]
fn another_library_verifies_a_signature_with_the_key_of_the_file() {
    let program = Program::start(&["--issuer", "example", "--session-absolute", "2h"]);
    let confirmed = program.connect().ask(login("alice", "password")).json();
    let sign = confirmed["user_sign"].as_str().unwrap();
    let header = decode_header(sign).expect("a header");
    assert_eq!(
        (header.alg, header.typ.as_deref()),
        (Algorithm::HS256, Some("JWT"))
    );

    let file = std::fs::read(program.directory().store().with_extension("key")).unwrap();
    let file: Value = serde_json::from_slice(&file).expect("a key file is JSON");
    let key = &file["keys"][0];
    assert_eq!(header.kid.as_deref(), key["kid"].as_str());
    let secret = URL_SAFE_NO_PAD
        .decode(key["secret"].as_str().unwrap())
        .unwrap();
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_issuer(&["example"]);
    validation.set_required_spec_claims(&["iss", "sub", "exp"]);
    let claims = decode::<Value>(sign, &DecodingKey::from_secret(&secret), &validation)
        .expect("it is valid")
        .claims;

    let now_s = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    assert_eq!(claims["sub"], confirmed["user_id"]);
    let (issued_s, expires_s) = (
        claims["iat"].as_u64().unwrap(),
        claims["exp"].as_u64().unwrap(),
    );
    assert!(now_s.abs_diff(issued_s) <= 20, "{claims}");
    assert_eq!(expires_s - issued_s, 2 * 60 * 60);
    let sessions = program
        .connect()
        .ask(signed("GET", "/sessions", sign))
        .json();
    assert_eq!(claims["sid"], sessions["sessions"][0]["id"]);
    let names: Vec<_> = claims.as_object().unwrap().keys().collect();
    assert_eq!(names, ["exp", "iat", "iss", "sid", "sub"]);

    let mut wrong = secret;
    wrong[0] ^= 1;
    assert!(decode::<Value>(sign, &DecodingKey::from_secret(&wrong), &validation).is_err());
}

#[test]
fn a_signature_with_any_byte_changed_is_refused() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("alice");
    for place in 0..sign.len() {
        for other in ["A", "B", "."] {
            let mut changed = sign.clone();
            changed.replace_range(place..=place, other);
            if changed != sign {
                let status = client.ask(signed("GET", "/session", &changed)).status;
                assert_eq!(status, 401, "byte {place} is {other}");
            }
        }
    }
    assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 200);
}

#[test]
fn a_signature_for_another_algorithm_is_refused() {
    let server = TestServer::start();
    let mut client = server.connect();
    let sign = client.log_in("alice");
    let (_, rest) = sign.split_once('.').unwrap();
    let (claims, signature) = rest.split_once('.').unwrap();
    for header in [r#"{"alg":"none","typ":"JWT"}"#, r#"{"alg":"HS256"}"#, "{}"] {
        let header = URL_SAFE_NO_PAD.encode(header);
        for signature in ["", signature] {
            let forged = format!("{header}.{claims}.{signature}");
            assert_eq!(client.ask(signed("GET", "/session", &forged)).status, 401);
        }
    }
}
