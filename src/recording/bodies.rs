//! Masks in place the bodies of requests that the server acts on: a form or JSON keeps its length, and everything
//! keeps its position.

use super::json::{Value, mask_json};
use super::public::mask_escaped;
use super::secrets::Secrets;
use crate::event::is_name;

/// Masks a login's form (URL Standard, section 5.1). Only the two field names and the names of users are public.
pub(super) fn mask_login_form(body: &mut [u8], secrets: &Secrets) {
    for pair in body.split_mut(|byte| *byte == b'&') {
        let sign = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = pair.split_at_mut(sign.unwrap_or(pair.len()));
        let decoded = |text: &[u8]| {
            let text = [text, b"="].concat();
            let first = form_urlencoded::parse(&text).next();
            first.map_or(String::new(), |(name, _)| name.into_owned())
        };
        let known = decoded(name);
        if !matches!(&*known, "username" | "password") {
            mask_escaped(name, false);
            mask_escaped(value, false);
        } else if let [_, value @ ..] = value {
            let text = decoded(value);
            if text.contains('\u{fffd}') {
                // The server refuses it because of that, and nothing else in it matters.
                mask_escaped(value, false);
            } else if let Some(instead) = secrets.instead(&known, &text) {
                put_into_form(value, instead.as_bytes());
            }
        }
    }
}

/// Writes the decoded bytes `instead` over a value, escaped where the value was.
fn put_into_form(value: &mut [u8], instead: &[u8]) {
    let (mut at, mut instead) = (0, instead.iter().copied());
    while at < value.len() {
        let escape = value.get(at..at + 3).filter(|escape| {
            let hex = |byte: &u8| byte.is_ascii_hexdigit();
            escape[0] == b'%' && hex(&escape[1]) && hex(&escape[2])
        });
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

/// Masks a login's JSON.
pub(super) fn mask_login_json(body: &mut [u8], secrets: &Secrets) {
    mask_json(body, &["username", "password"], |name, value| match name {
        "username" | "password" => match secrets.instead(name, value) {
            Some(instead) => Value::Replaced(instead),
            None => Value::Shown,
        },
        _ => Value::Hidden,
    });
}

/// Masks a published event. The event itself is in the recording, with all its data: docs/recording.md says so.
pub(super) fn mask_event(body: &mut [u8]) {
    mask_json(
        body,
        &["name", "data", "user_id"],
        |name, value| match name {
            "data" => Value::Shown,
            "name" if is_name(value) => Value::Shown,
            "user_id" if value.bytes().all(|byte| byte.is_ascii_digit()) => Value::Shown,
            _ => Value::Hidden,
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::users::{check_name, check_password};
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
            ("remember=me&password=a", "xxxxxxxx=xx&password=x"),
            ("Password=hunter2", "Xxxxxxxx=xxxxxx1"),
            ("%70assword=a%ffb", "%70assword=x%ffx"),
            ("hunter2", "xxxxxx1"),
            (r#"{"password":"hunter2"}"#, r#"{"xxxxxxxx":"xxxxxx1"}"#),
        ] {
            let mut body = form.as_bytes().to_vec();
            mask_login_form(&mut body, &secrets());
            let masked = String::from_utf8(body).unwrap();
            assert_eq!(masked.to_ascii_lowercase(), expected.to_ascii_lowercase());
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
                r#"{"password" : "a\"b\\\u00e9"}"#,
                r#"{"password" : "x\/x\/\u00d7"}"#,
            ),
            // Neither a name nor a password may have these.
            (
                r#"{"username":"alice\n","password":"\ta\u0000"}"#,
                r#"{"username":"RFPMS\n","password":"\tx\u0000"}"#,
            ),
            (
                r#"{"password":"\ud83d\ude00x"}"#,
                r#"{"password":"\ud83d\ude00x"}"#,
            ),
            (r#"{"password":123456}"#, r#"{"password":111111}"#),
            (r#"{"a":"password","b":"c"}"#, r#"{"x":"xxxxxxxx","x":"x"}"#),
            ("{\"password\":\"s\u{e9}\"}", "{\"password\":\"x\u{d7}\"}"),
            (r#"{"password":null}"#, r#"{"password":null}"#),
            (
                r#"{"password":["hunter2"],"pass":"hunter2"}"#,
                r#"{"password":["xxxxxxx"],"xxxx":"xxxxxxx"}"#,
            ),
            (
                r#"{"username":"\ud83dalice","password":"secret\udc00"}"#,
                r#"{"username":"\ud800xxxxx","password":"xxxxxx\udc00"}"#,
            ),
            (
                r#"{"username":"alice","password":"secret"}""#,
                r#"{"username":"xxxxx","password":"xxxxxx"}""#,
            ),
            (
                r#"{"username":"alice","username":"secret",secret}"#,
                r#"{"username":"xxxxx","username":"xxxxxx",xxxxxx}"#,
            ),
        ] {
            let mut body = json.as_bytes().to_vec();
            mask_login_json(&mut body, &secrets());
            assert_eq!(String::from_utf8(body).unwrap(), expected);
        }
    }

    /// The server's verdict on a login in JSON.
    fn said(body: &[u8]) -> Result<(bool, bool), String> {
        #[derive(serde::Deserialize)]
        struct Login {
            username: String,
            password: String,
        }
        let login: Login = serde_json::from_slice(body).map_err(|why| why.to_string())?;
        let password = check_password(login.password.as_bytes());
        Ok((check_name(&login.username).is_ok(), password.is_ok()))
    }

    /// Pieces that logins in JSON are made of, or that break them. Numbers are left out: see docs/recording.md.
    const PIECES: [&str; 28] = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        " ",
        "\n",
        "x",
        "\u{e9}",
        "null",
        "tru",
        r"\n",
        r"\q",
        r"\ud83d",
        r"\ude00",
        r"\u0000",
        r#""username""#,
        r#""password""#,
        r#""username":"alice""#,
        r#""username":"secret""#,
        r#""password":"secret""#,
        r#""username":"alice","password":"secret""#,
        r#"{"username":"alice","password":"secret"}"#,
        r#""a":{"b":["secret"]}"#,
        r#""p\u0061ssword":"secret""#,
    ];

    proptest::proptest! {
        #[test]
        fn of_a_masked_login_the_server_says_the_same(
            pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..12),
            is_object in proptest::bool::weighted(0.8),
        ) {
            let body = [if is_object { "{" } else { "" }, &pieces.concat()].concat().into_bytes();
            let mut masked = body.clone();
            mask_login_json(&mut masked, &secrets());
            if body.trim_ascii_start().first() == Some(&b'{') {
                proptest::prop_assert_eq!(said(&masked), said(&body));
            }
            let shown = String::from_utf8_lossy(&masked);
            proptest::prop_assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn an_unknown_name_is_replaced() {
        let mut body = b"username=hunter2&password=a".to_vec();
        mask_login_form(&mut body, &secrets());
        assert!(!body.windows(7).any(|part| part == b"hunter2"));
    }

    #[test]
    fn an_event_is_shown_and_what_is_none_is_not() {
        for (json, expected) in [
            (
                r#"{"name":"tick","data":{"n":1},"user_id":"7"}"#,
                r#"{"name":"tick","data":{"n":1},"user_id":"7"}"#,
            ),
            (
                r#"{"username":"alice","password":"hunter2"}"#,
                r#"{"xxxxxxxx":"xxxxx","xxxxxxxx":"xxxxxxx"}"#,
            ),
            (r#"{"name":"hunter 2"}"#, r#"{"name":"xxxxxxxx"}"#),
            (r#"{"name":"tick","data":12"#, r#"{"name":"xxxx","data":11"#),
        ] {
            let mut body = json.as_bytes().to_vec();
            mask_event(&mut body);
            assert_eq!(String::from_utf8(body).unwrap(), expected);
        }
    }
}
