//! What the fuzzer kept, without the fuzzer.

use std::fs;
use std::path::Path;

use super::checks;

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let files = fs::read_dir(folder.join(target)).expect("a corpus");
    let mut count = 0;
    for file in files {
        let path = file.expect("an entry").path();
        println!("{}", path.display()); // shown where the test fails
        check(&fs::read(&path).expect("a file"));
        count += 1;
    }
    assert!(count > 5, "only {count} files for {target}");
}

#[test]
fn heads() {
    replay("head", checks::head);
}

#[test]
fn targets() {
    replay("target", checks::target);
}

#[test]
fn frames() {
    replay("websocket", checks::websocket);
}

#[test]
fn tokens() {
    replay("token", checks::token);
}

#[test]
fn stores() {
    replay("store", checks::store);
}

#[test]
fn streams() {
    replay("streams", checks::streams);
}

#[test]
fn connections() {
    replay("connection", checks::connection);
}
