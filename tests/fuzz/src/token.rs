use loopgate::token::{Claims, Keys, base64url, from_base64url, sign, verify};

use super::choice;

const NOW_S: i64 = 1_795_326_480;

/// Signatures: the first byte chooses what the rest is.
///
/// - As a token: believed only if it is what we sign for what it says.
/// - As changes to a good token: never believed, unless they change nothing.
/// - As claims: what is signed is read back, with this key and no other.
pub fn token(data: &[u8]) {
    let keys = Keys::ephemeral(0x00c0_ffee, [7; 32], NOW_S);
    let (choice, bytes) = choice(data);
    match choice % 3 {
        0 => believe_only_our_own(&String::from_utf8_lossy(bytes), &keys),
        1 => believe_no_change(bytes, &keys),
        _ => read_back(bytes, &keys),
    }
}

fn believe_only_our_own(text: &str, keys: &Keys) {
    if let Ok(claims) = verify(text, keys, NOW_S) {
        assert_eq!(sign(&claims, keys.current()), text, "it was forged");
    }
    if let Some(bytes) = from_base64url::<16>(text) {
        assert_eq!(base64url(&bytes), text, "two spellings");
    }
}

fn claims() -> Claims {
    Claims {
        iss: "loopgate".into(),
        sub: "42".into(),
        sid: "AAECAwQFBgcICQoLDA0ODw".into(),
        iat: NOW_S,
        exp: NOW_S + 86_400,
    }
}

/// Four bytes a change: what to do, where (two bytes), with which byte.
fn believe_no_change(changes: &[u8], keys: &Keys) {
    let good = sign(&claims(), keys.current());
    let mut token = good.clone().into_bytes();
    for change in changes.chunks_exact(4) {
        let at = usize::from(u16::from_be_bytes([change[1], change[2]])) % (token.len() + 1);
        match change[0] % 6 {
            0 => token.insert(at, change[3]),
            1 if at < token.len() => drop(token.remove(at)),
            2 if at < token.len() => token[at] = change[3],
            3 if at < token.len() => token[at] ^= 1 << (change[3] % 8),
            4 => token.truncate(token.len().saturating_sub(usize::from(change[3] % 44))),
            _ => token.rotate_left(at),
        }
    }
    let believed = verify(&String::from_utf8_lossy(&token), keys, NOW_S);
    assert_eq!(believed.is_ok(), token == good.as_bytes());
}

fn read_back(bytes: &[u8], keys: &Keys) {
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.split('\n').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    let claims = Claims {
        iss: word(),
        sub: word(),
        sid: word(),
        iat: word().parse().unwrap_or(NOW_S),
        exp: word().parse().unwrap_or(NOW_S + 1),
    };
    let token = sign(&claims, keys.current());
    let read = verify(&token, keys, NOW_S).ok();
    assert_eq!(read, (claims.exp > NOW_S).then_some(claims));
    let stranger = Keys::ephemeral(0x00c0_ffee, [8; 32], NOW_S);
    assert!(verify(&token, &stranger, NOW_S).is_err(), "another's key");
}
