//! How the file is written, refused and rotated.

use super::*;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::token::{Claims, TokenError, sign, verify};

const NOW_S: i64 = 1_795_326_480;

fn directory() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("loopgate.key");
    (directory, path)
}

fn names(directory: &tempfile::TempDir) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn keys_come_back_from_their_file_as_they_were() {
    let (directory, path) = directory();
    assert_eq!(Keys::load(&path).unwrap(), None);
    let mut keys = Keys::create(&path, 1, [1; 32], NOW_S).unwrap();
    assert_eq!(Keys::load(&path).unwrap().as_ref(), Some(&keys));
    keys.rotate(&path, 2, [2; 32], NOW_S + 1, 100).unwrap();
    keys.rotate(&path, 3, [3; 32], NOW_S + 2, 100).unwrap();
    assert_eq!(Keys::load(&path).unwrap().as_ref(), Some(&keys));
    assert_eq!(names(&directory), ["loopgate.key"]);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let (directory, path) = directory();
    let keys = Keys::create(&path, 1, [1; 32], NOW_S).unwrap();
    let error = Keys::create(&path, 2, [2; 32], NOW_S).unwrap_err();
    assert!(
        matches!(&error, KeyError::Io { error, .. } if error.kind() == io::ErrorKind::AlreadyExists)
    );
    assert_eq!(Keys::load(&path).unwrap(), Some(keys));
    assert_eq!(names(&directory), ["loopgate.key"]);
}

#[test]
fn a_file_that_others_may_use_is_refused_with_the_remedy() {
    let (_directory, path) = directory();
    Keys::create(&path, 1, [1; 32], NOW_S).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o601, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let message = Keys::load(&path).unwrap_err().to_string();
        assert!(message.contains("chmod 600 "), "{message}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(Keys::load(&path).is_ok());
}

#[test]
fn a_directory_is_refused_without_a_remedy_that_would_lock_its_owner_out() {
    let (directory, _path) = directory();
    let message = Keys::load(directory.path()).unwrap_err().to_string();
    assert!(
        message.contains("directory") && !message.contains("chmod"),
        "{message}"
    );
}

#[test]
fn a_damaged_file_is_refused_left_alone_and_not_quoted() {
    let (_directory, path) = directory();
    let secret = URL_SAFE_NO_PAD.encode([0x5a; 32]);
    let key = |kid: &str, secret: &str, retires: &str| {
        format!(r#"{{"kid":"{kid}","secret":"{secret}","created":1,"retires":{retires}}}"#)
    };
    let good = key("00000001", &secret, "null");
    let list = |keys: &str| format!(r#"{{"keys":[{keys}]}}"#);
    for text in [
        String::new(),
        list(&good).replace("]}", "]"),
        list(""),
        list(&key("00000001", &secret[..40], "null")),
        list(&key("00000001", "", "null")),
        list(&key("00000001", &format!("{secret}="), "null")),
        list(&key("1", &secret, "null")),
        list(&key("0000000A", &secret, "null")),
        list(&key("00000001", &secret, "5")),
        list(&format!("{good},{good}")),
        list(&format!("{good},{}", key("00000001", &secret, "5"))),
        list(&good).replace("\"created\":1", &format!("\"created\":\"{secret}\"")),
        list(&good) + "garbage",
    ] {
        write(&path, &text, 0o600);
        let message = Keys::load(&path).unwrap_err().to_string();
        assert!(message.contains("is damaged"), "{text}: {message}");
        assert!(!message.contains(&secret), "{message}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    write(&path, &list(&good), 0o600);
    assert!(Keys::load(&path).is_ok());
}

#[test]
fn tokens_of_a_former_key_are_good_until_it_retires() {
    let (_directory, path) = directory();
    let mut keys = Keys::create(&path, 1, [1; 32], NOW_S).unwrap();
    let claims = Claims {
        iss: String::new(),
        sub: String::new(),
        sid: String::new(),
        iat: NOW_S,
        exp: NOW_S + 1_000_000,
    };
    let old = sign(&claims, keys.current());
    keys.rotate(&path, 2, [2; 32], NOW_S, 3_600).unwrap();
    let new = sign(&claims, keys.current());
    assert_ne!(old, new);
    for keys in [&keys, &Keys::load(&path).unwrap().unwrap()] {
        assert!(verify(&old, keys, NOW_S + 3_599).is_ok());
        assert_eq!(
            verify(&old, keys, NOW_S + 3_600),
            Err(TokenError::UnknownKey)
        );
        assert!(verify(&new, keys, NOW_S + 3_600).is_ok());
        assert!(keys.valid(1, NOW_S) && !keys.valid(1, NOW_S + 3_600));
        assert!(keys.valid(2, NOW_S + 3_600) && !keys.valid(3, NOW_S));
        assert_eq!(keys.valid_until_s(1, NOW_S), Some(NOW_S + 3_600));
        assert_eq!(keys.valid_until_s(1, NOW_S + 3_600), None);
        assert_eq!(keys.valid_until_s(2, NOW_S), Some(i64::MAX));
    }
}

#[test]
fn keys_are_dropped_when_their_time_is_over() {
    let (_directory, path) = directory();
    let mut keys = Keys::create(&path, 1, [1; 32], NOW_S).unwrap();
    keys.rotate(&path, 2, [2; 32], NOW_S, 10).unwrap();
    assert!(matches!(
        keys.rotate(&path, 1, [3; 32], NOW_S + 9, 10),
        Err(KeyError::IdTaken(1))
    ));
    keys.rotate(&path, 1, [3; 32], NOW_S + 10, 10).unwrap();
    let ids: Vec<u32> = keys.iter().map(Key::id).collect();
    assert_eq!(ids, [1, 2]);
    assert!(keys.valid(1, NOW_S + 1_000_000));
}

#[test]
fn a_rotation_that_fails_changes_nothing() {
    let (_directory, path) = directory();
    let mut keys = Keys::create(&path, 1, [1; 32], NOW_S).unwrap();
    let before = keys.clone();
    let nowhere = path.with_file_name("absent").join("loopgate.key");
    assert!(keys.rotate(&nowhere, 2, [2; 32], NOW_S, 10).is_err());
    assert_eq!(keys, before);
    assert_eq!(Keys::load(&path).unwrap(), Some(before));
}

#[test]
fn a_secret_is_never_printed() {
    let keys = Keys::ephemeral(1, [0xab; 32], NOW_S);
    let text = format!("{keys:?} {keys:#?}");
    assert!(!text.contains("171") && !text.contains("secret"), "{text}");
    assert!(text.contains("00000001"), "which key is no secret: {text}");
}

#[test]
fn a_key_says_when_it_was_made_and_when_it_retires() {
    let (_directory, path) = directory();
    let mut keys = Keys::create(&path, 1, [1; 32], NOW_S).unwrap();
    keys.rotate(&path, 2, [2; 32], NOW_S + 5, 100).unwrap();
    let times: Vec<_> = keys
        .iter()
        .map(|key| (key.id(), key.created_s(), key.retires_s()))
        .collect();
    assert_eq!(times, [(2, NOW_S + 5, None), (1, NOW_S, Some(NOW_S + 105))]);
}

#[test]
fn a_file_that_cannot_be_opened_is_not_taken_for_none() {
    let (_directory, path) = directory();
    fs::write(&path, "a file where a directory should be").unwrap();
    let error = Keys::load(&path.join("loopgate.key")).unwrap_err();
    assert!(error.to_string().contains("could not open"), "{error}");
    let source = std::error::Error::source(&error);
    assert!(source.is_some(), "what the system said goes with it");
}

#[test]
fn several_hundred_keys_are_read_and_a_longer_file_is_refused() {
    let (_directory, path) = directory();
    let former = |id| Key {
        retires_s: Some(NOW_S),
        ..Key::new(id, [1; 32], NOW_S)
    };
    for (count, read) in [(400, true), (1_000, false)] {
        let keys = Keys {
            current: Key::new(0, [0; 32], NOW_S),
            retired: (1..count).map(former).collect(),
        };
        write(&path, &keys.to_json(), 0o600);
        match Keys::load(&path) {
            Ok(loaded) => assert!(read && loaded == Some(keys), "{count} keys"),
            Err(error) => assert!(!read, "{count} keys: {error}"),
        }
    }
}

#[test]
#[cfg(feature = "simulation")]
fn keys_for_playing_a_server_again_have_its_names_and_times_but_no_secret_of_it() {
    let (_directory, path) = directory();
    let mut keys = Keys::create(&path, 1, [1; 32], NOW_S).unwrap();
    keys.rotate(&path, 2, [2; 32], NOW_S, 100).unwrap();
    let known = keys.with_known_secrets();
    assert_eq!(format!("{known:?}"), format!("{keys:?}"));
    for (known, key) in known.iter().zip(keys.iter()) {
        assert_ne!(known.secret, key.secret);
    }
}

#[test]
fn a_file_without_a_directory_in_its_name_is_in_the_working_directory() {
    durable::sync_name(Path::new("loopgate.key")).expect("the working directory is there");
}
