//! The floors of the house: which folder may import which, checked in the source itself; and what stands at the top level.
//!
//! | floor | |
//! |---|---|
//! | 0 | `config`, `event`, `files`, `ledger`, `planted` |
//! | 1 | `reactor`, `http`, `websocket`, `token`, `work` |
//! | 2 | `app` |
//! | 3 | `net` |
//! | 4 | `server` |
//! | 5 | `simulation`, `recording` |
//!
//! Each may name what is on a lower floor, and nothing else but `planted`. The program, `main` and `cli`, stands
//! outside and uses the crate as strangers do.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FLOORS: [&[&str]; 6] = [
    &["config", "event", "files", "ledger", "planted"],
    &["reactor", "http", "websocket", "token", "work"],
    &["app"],
    &["net"],
    &["server"],
    &["simulation", "recording"],
];
/// Lines of a file without its unit tests. What belongs together stays together; beyond this, it is two things.
const LINES_MAX: usize = 600;

/// A file of `src`, without what is not code of the crate: comments, strings, tests.
struct Source {
    /// Relative to `src`, with slashes.
    name: String,
    lines: usize,
    code: String,
}

impl Source {
    /// The module of the top floor that it belongs to: `http` for `http/head.rs`.
    fn top(&self) -> &str {
        let top = self.name.split('/').next().unwrap_or_default();
        top.strip_suffix(".rs").unwrap_or(top)
    }

    fn is_program(&self) -> bool {
        ["main", "cli"].contains(&self.top())
    }

    /// The modules of the crate that its paths begin with.
    fn uses(&self) -> Vec<String> {
        let mut used = Vec::new();
        for (at, found) in self.code.match_indices("crate::") {
            let rest = &self.code[at + found.len()..];
            if rest.starts_with('{') {
                // `use crate::{a::B, c}`: the first word of each item between the outer braces.
                let mut depth = 0;
                let mut item = String::new();
                for c in rest.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 || (depth == 1 && c == ',') {
                        used.push(first_word(&item));
                        item.clear();
                    } else if !(c == '{' && item.is_empty()) {
                        item.push(c);
                    }
                    if depth == 0 {
                        break;
                    }
                }
            } else {
                used.push(first_word(rest));
            }
        }
        // A file directly in `src` has its neighbours one step up; deeper ones may not climb so far.
        let depth = self.name.matches('/').count();
        let climbs = "super::".repeat(depth + usize::from(!self.name.ends_with("/mod.rs")));
        for (at, found) in self.code.match_indices(&climbs) {
            used.push(first_word(&self.code[at + found.len()..]));
        }
        used.retain(|word| FLOORS.iter().any(|floor| floor.contains(&&**word)));
        used
    }
}

fn first_word(text: &str) -> String {
    let word = text
        .trim_start()
        .split(|c: char| !c.is_alphanumeric() && c != '_');
    word.into_iter().next().unwrap_or_default().to_owned()
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

fn sources() -> Vec<Source> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    let is_test = |name: &str| name.ends_with("tests.rs") || name.contains("/tests/");
    let sources = paths.iter().filter_map(|path| {
        let name = path
            .strip_prefix(&root)
            .expect("it is below")
            .to_str()?
            .to_owned();
        let text = fs::read_to_string(path).expect("UTF-8");
        let lines = before_tests(&text).lines().count();
        (!is_test(&name)).then(|| Source {
            code: code(&text),
            lines,
            name,
        })
    });
    let mut sources: Vec<_> = sources.collect();
    sources.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(sources.len() > 30, "is this the crate's source?");
    sources
}

fn before_tests(text: &str) -> &str {
    let mut parts = text.split("\n#[cfg(test)]\nmod tests {");
    parts.next().unwrap_or_default()
}

/// The code before the unit tests, without comments and without what is in strings.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in before_tests(text).lines() {
        let mut in_string = false;
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '/' if !in_string && chars.peek() == Some(&'/') => break,
                '\'' if !in_string && chars.peek() == Some(&'"') => drop(chars.next()),
                '\\' if in_string => drop(chars.next()),
                '"' => in_string = !in_string,
                _ if in_string => {}
                _ => code.push(c),
            }
        }
        code.push('\n');
    }
    code
}

/// Which sources, but for those that may, contain one of the words.
fn files_that_name(words: &[&str], may: impl Fn(&Source) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !may(source)) {
        for (number, line) in (1..).zip(source.code.lines()) {
            if words.iter().any(|word| names(line, word)) {
                wrong.push(format!("src/{}:{number}: {}", source.name, line.trim()));
            }
        }
    }
    wrong
}

/// Whether `line` has `word` with nothing that goes on with it on either side.
fn names(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !part(before.chars().next_back()) && !part(after.chars().next())
    })
}

#[test]
fn each_floor_knows_only_those_below() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| !source.is_program() && source.top() != "lib")
    {
        let own =
            floor(source.top()).unwrap_or_else(|| panic!("src/{} is on no floor", source.name));
        for used in source.uses().iter().filter(|used| *used != source.top()) {
            // What is nothing but in one test may be planted anywhere.
            if used != "planted" && floor(used).is_none_or(|floor| floor >= own) {
                wrong.push(format!("src/{} (floor {own}) uses {used}", source.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_floor_is_seen_by_this_test() {
    let mut uses = BTreeMap::<String, Vec<String>>::new();
    for source in sources() {
        uses.entry(source.top().into())
            .or_default()
            .extend(source.uses());
    }
    for (who, whom) in [
        ("server", "net"),
        ("server", "app"),
        ("net", "app"),
        ("net", "reactor"),
        ("app", "http"),
        ("app", "work"),
        ("work", "config"),
        ("work", "event"),
        ("reactor", "ledger"),
    ] {
        assert!(
            uses[who].iter().any(|used| used == whom),
            "{who} uses {whom}"
        );
    }
}

#[test]
fn only_the_reactor_and_net_name_mio_and_only_http_names_httparse() {
    for (word, tops) in [
        ("mio", &["reactor", "net"][..]),
        ("httparse", &["http"]),
        ("tungstenite", &["websocket"]),
        ("rusqlite", &["work"]),
        ("argon2", &["work"]),
        // The judge of the simulation looks at signatures by itself.
        ("hmac", &["token", "simulation"]),
        ("clap", &["cli"]),
    ] {
        let wrong = files_that_name(&[word], |source| tops.contains(&source.top()));
        assert!(wrong.is_empty(), "{word}: {wrong:#?}");
        assert!(
            !files_that_name(&[word], |_| false).is_empty(),
            "no file names {word}"
        );
    }
}

#[test]
fn no_bug_is_planted_in_the_reactor() {
    let wrong = files_that_name(&["planted"], |source| source.top() != "reactor");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_its_engine_names_sqlite() {
    let wrong = files_that_name(&["rusqlite"], |source| {
        source.name.starts_with("work/store/sqlite/")
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_work_spawns_threads() {
    let words = ["thread::spawn", "thread::Builder", "thread::scope"];
    let wrong = files_that_name(&words, |source| source.top() == "work");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(!files_that_name(&words, |_| false).is_empty());
}

#[test]
fn only_the_reactors_clock_reads_the_clock() {
    let words = [
        "Instant::now",
        "SystemTime::now",
        "UNIX_EPOCH.elapsed",
        "clock_gettime",
    ];
    let wrong = files_that_name(&words, |source| source.name == "reactor/clock.rs");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(!files_that_name(&words, |_| false).is_empty());
}

#[test]
fn only_main_exits_and_nothing_is_unsafe() {
    let wrong = files_that_name(&["process::exit", "process::abort"], |source| {
        source.name == "main.rs"
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
    let wrong = files_that_name(&["unsafe", "allow(unsafe_code)"], |_| false);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_file_is_too_long_to_be_read() {
    let long = sources()
        .into_iter()
        .filter(|source| source.lines > LINES_MAX);
    let wrong: Vec<_> = long
        .map(|source| format!("src/{}: {} lines", source.name, source.lines))
        .collect();
    assert!(
        wrong.is_empty(),
        "longer than {LINES_MAX} lines: {wrong:#?}"
    );
}

/// The root of the repository: nothing is there that has a place below it.
#[test]
fn the_top_level_has_only_what_it_should() {
    let expected = [
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "benches",
        "docs",
        "src",
        "tests",
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ignored = fs::read_to_string(root.join(".gitignore")).expect("UTF-8");
    let is_ignored = |name: &str| {
        ignored.lines().any(|pattern| {
            pattern.strip_prefix('/') == Some(name)
                || pattern
                    .strip_prefix('*')
                    .is_some_and(|end| name.ends_with(end))
        })
    };
    let mut found: Vec<String> = fs::read_dir(root)
        .expect("a directory")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("UTF-8")
        })
        .filter(|name| !name.starts_with('.') && !is_ignored(name))
        .collect();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn every_example_is_registered_under_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("UTF-8");
    let mut examples = 0;
    for entry in fs::read_dir(root.join("docs/examples")).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        examples += 1;
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .expect("UTF-8");
        let entry = format!("[[example]]\nname = \"{name}\"\npath = \"docs/examples/{name}.rs\"\n");
        assert!(
            manifest.contains(&entry),
            "Cargo.toml does not register {name}"
        );
    }
    assert!(examples >= 3, "{examples} examples");
}

#[test]
fn lints_and_formatting_are_settled_in_the_manifest_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["rustfmt.toml", "clippy.toml"] {
        for name in [name.to_owned(), format!(".{name}")] {
            assert!(!root.join(&name).exists(), "{name}");
        }
    }
}
