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
//! outside and uses the crate as strangers do. Inside a floor, no file imports one that imports it, directly or through others.

use std::collections::{BTreeMap, BTreeSet};
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

    /// The module that it is, from the root of the crate.
    fn module(&self) -> Vec<String> {
        let name = self.name.trim_end_matches(".rs").trim_end_matches("/mod");
        name.split('/').map(str::to_owned).collect()
    }

    /// All paths in it that begin at the crate or relative to it, and whether they are said to be its own as well.
    fn paths(&self) -> Vec<(Vec<String>, bool)> {
        let begins = ["crate::", "super::", "self::"];
        let mut paths = Vec::new();
        for (at, _) in self.code.match_indices("::") {
            let (before, _) = self.code.split_at(at + 2);
            let Some(begin) = begins.iter().find(|begin| before.ends_with(**begin)) else {
                continue;
            };
            let before = &before[..before.len() - begin.len()];
            // In the middle of a path, or of a word, none begins.
            if before.ends_with(|c: char| c == ':' || c == '_' || c.is_alphanumeric()) {
                continue;
            }
            let statement = before.rsplit([';', '}']).next().unwrap_or_default();
            let is_re_export =
                statement.trim_start().starts_with("pub") && statement.trim_end().ends_with("use");
            let rest = &self.code[before.len()..];
            paths.extend(expand(rest).into_iter().map(|path| (path, is_re_export)));
        }
        // What a module takes from those below it may be said without `self`.
        for (at, found) in self.code.match_indices("pub use ") {
            let rest = &self.code[at + found.len()..];
            let is_relative = begins.iter().any(|begin| rest.starts_with(begin));
            if !is_relative && rest.starts_with(char::is_lowercase) {
                let paths_of = expand(rest).into_iter();
                paths.extend(paths_of.map(|path| ([vec!["self".to_owned()], path].concat(), true)));
            }
        }
        paths
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

/// Which file has which module, and what each file takes from which other.
struct Imports<'s> {
    sources: &'s [Source],
    /// The place of a module's file: `["net", "desk"]`.
    modules: BTreeMap<Vec<String>, usize>,
}

impl<'s> Imports<'s> {
    fn of(sources: &'s [Source]) -> Self {
        let modules = sources.iter().enumerate();
        let modules = modules.map(|(at, source)| (source.module(), at)).collect();
        Self { sources, modules }
    }

    /// The files that a file imports from, without itself.
    fn from(&self, at: usize) -> BTreeSet<usize> {
        let own = self.sources[at].module();
        let paths = self.sources[at].paths().into_iter();
        let paths = paths.filter(|(_, is_re_export)| !is_re_export);
        let found = paths.filter_map(|(path, _)| self.file_of(&absolute(&own, &path), 8));
        found.filter(|file| *file != at).collect()
    }

    /// The file that defines what a path names: re-exports are followed, so many at most.
    fn file_of(&self, path: &[String], re_exports: usize) -> Option<usize> {
        let known = (1..=path.len()).rev();
        let length = known
            .clone()
            .find(|length| self.modules.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(length);
        let file = self.modules[module];
        let Some(item) = rest.first().filter(|_| re_exports > 0) else {
            return Some(file);
        };
        let mut elsewhere = self.sources[file].paths().into_iter();
        let elsewhere =
            elsewhere.find(|(path, is_re_export)| *is_re_export && path.last() == Some(item));
        elsewhere
            .and_then(|(path, _)| self.file_of(&absolute(module, &path), re_exports - 1))
            .or(Some(file))
    }

    /// Every file from which one comes back to it.
    fn circles(&self) -> Vec<String> {
        let imports: Vec<_> = (0..self.sources.len()).map(|at| self.from(at)).collect();
        let mut reached = imports.clone();
        loop {
            let before: usize = reached.iter().map(BTreeSet::len).sum();
            for at in 0..reached.len() {
                let further = reached[at].iter().flat_map(|next| reached[*next].clone());
                let further: Vec<usize> = further.collect();
                reached[at].extend(further);
            }
            if before == reached.iter().map(BTreeSet::len).sum::<usize>() {
                break;
            }
        }
        let mut circles = Vec::new();
        for (at, source) in self.sources.iter().enumerate() {
            let back = imports[at]
                .iter()
                .filter(|next| reached[**next].contains(&at));
            let names: Vec<&str> = back.map(|next| &*self.sources[*next].name).collect();
            if !names.is_empty() {
                circles.push(format!("src/{} imports {}", source.name, names.join(", ")));
            }
        }
        circles
    }
}

/// A path as it is from the root of the crate; `own` is the module that says it.
fn absolute(own: &[String], path: &[String]) -> Vec<String> {
    let mut absolute = match path.first().map(String::as_str) {
        Some("self" | "super") => own.to_vec(),
        _ => Vec::new(),
    };
    for word in path {
        match &**word {
            "crate" | "self" => {}
            "super" => drop(absolute.pop()),
            word => absolute.push(word.to_owned()),
        }
    }
    absolute
}

/// The paths of `crate::{a::B, c}`, each word by word.
fn expand(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        let word = first_word(rest);
        if word.is_empty() {
            break;
        }
        rest = &rest.trim_start()[word.len()..];
        words.push(word);
        let Some(after) = rest.strip_prefix("::") else {
            break;
        };
        let after = after.trim_start();
        let Some(group) = after.strip_prefix('{') else {
            rest = after;
            continue;
        };
        let (mut depth, mut from) = (1, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && c == ',') {
                for path in expand(&group[from..at]) {
                    paths.push([words.clone(), path].concat());
                }
                from = at + 1;
            }
            if depth == 0 {
                return paths;
            }
        }
    }
    if !words.is_empty() {
        paths.push(words);
    }
    paths
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
fn no_file_imports_one_that_imports_it() {
    let sources = sources();
    let imports = Imports::of(&sources);
    // A story, its world, its clients and what judges them are one machine, told in several files.
    let is_of_a_story = |circle: &String| circle.starts_with("src/simulation/");
    let (of_stories, wrong): (Vec<_>, Vec<_>) =
        imports.circles().into_iter().partition(is_of_a_story);
    assert!(wrong.is_empty(), "circles of imports: {wrong:#?}");
    assert!(!of_stories.is_empty(), "there is none left to be allowed");

    // What this test sees: a file's own imports, those through a re-export, and those inside of a group.
    let at = |name: &str| {
        sources
            .iter()
            .position(|source| source.name == name)
            .expect(name)
    };
    for (who, whom) in [
        ("net/service.rs", "net/desk.rs"),
        ("net/service.rs", "app/hub/feed.rs"),
        ("net/desk.rs", "work/pool.rs"),
        ("reactor/dispatch.rs", "reactor/mod.rs"),
        ("app/login.rs", "http/status.rs"),
    ] {
        assert!(
            imports.from(at(who)).contains(&at(whom)),
            "{who} imports {whom}"
        );
    }
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
    // What lies about beside it is the user's own.
    let listed = std::process::Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let Some(listed) = listed.ok().filter(|listed| listed.status.success()) else {
        return println!("skipped: git does not know which files are the repository's");
    };
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let names = listed
        .split_terminator('\0')
        .filter_map(|path| path.split('/').next());
    let names: BTreeSet<&str> = names.filter(|name| !name.starts_with('.')).collect();
    let found: Vec<&str> = names.into_iter().collect();
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
