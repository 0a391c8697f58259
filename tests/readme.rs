//! The documentation is true: the console blocks of the README and of the tour are run against the real program, and what
//! all pages name exists.
//!
//! A block fenced ```` ```console ```` has lines that begin with `$ `, which are commands, each
//! followed by its output. All blocks of a page run in its order, in one bash, with the real curl,
//! against one server started with `--demo`. Only standard output is compared, line by line, without
//! carriage returns at the end of lines and without empty lines at the end of an output.
//!
//! Four placeholders stand for what varies; any other text in angle brackets is itself:
//!
//! | placeholder | matches |
//! |---|---|
//! | `<sign>` | three runs of base64url characters with dots between them |
//! | `<id>` | one run of base64url characters |
//! | `<time>` | `2026-11-22T05:48:00.123Z` |
//! | `<date>` | `Sun, 22 Nov 2026 05:48:00 GMT` |
//!
//! The same placeholder twice in one output need not stand for the same text.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use loopgate::config::LIMITS;
use loopgate::http::Fault;

/// Where the pages say that the server is.
const SHOWN_ADDRESS: &str = "http://127.0.0.1:8080";
/// The README leads to the other pages, which have room for more.
const README_LINES_MAX: usize = 250;
/// For all commands of a page together; they take well under a second.
const PATIENCE: Duration = Duration::from_secs(60);
/// Stands before the number of each command in bash's output. No answer contains it.
const MARK: char = '\u{1e}';

/// A command of a console block, and what it prints.
struct Step {
    line: usize,
    command: String,
    output: Vec<String>,
}

#[test]
fn the_readmes_console_blocks_print_what_they_show() {
    console_blocks_print_what_they_show("README.md", 10);
}

#[test]
fn the_tours_console_blocks_print_what_they_show() {
    console_blocks_print_what_they_show("docs/tour.md", 34);
}

/// Runs all console blocks of a page. Fewer than `commands_min` commands, as many as it had when this was written, mean
/// that blocks are not found.
fn console_blocks_print_what_they_show(page: &str, commands_min: usize) {
    let missing: Vec<&str> = ["bash", "cat", "curl", "cut", "grep", "sleep", "tee"]
        .into_iter()
        .filter(|tool| !is_installed(tool))
        .collect();
    if !missing.is_empty() {
        let required = std::env::var_os("LOOPGATE_TEST_REQUIRE_TOOLS").is_some_and(|v| v == "1");
        assert!(!required, "not installed: {}", missing.join(", "));
        // Not `println!`, which is shown only where a test fails.
        let missing = missing.join(", ");
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: {page} was not run; not installed: {missing}"
        );
        return;
    }
    let steps = steps(&read(page));
    assert!(
        steps.len() >= commands_min,
        "only {} commands were found",
        steps.len()
    );
    let server = Demo::start();
    let outputs = run(&steps, &server.address);
    let mut differences = String::new();
    for (step, printed) in steps.iter().zip(&outputs) {
        let fits = step.output.len() == printed.len()
            && step.output.iter().zip(printed).all(|(s, p)| matches(s, p));
        if !fits {
            let (shown, printed) = (step.output.join("\n"), printed.join("\n"));
            let _ = writeln!(
                differences,
                "{page}:{}: $ {}\n--- shown\n{shown}\n--- printed\n{printed}\n",
                step.line, step.command
            );
        }
    }
    assert!(differences.is_empty(), "\n{differences}");
}

#[test]
fn placeholders_match_what_they_name_and_nothing_else() {
    for (pattern, text, expected) in [
        ("plain", "plain", true),
        ("plain", "plainer", false),
        ("<title>x</title>", "<title>x</title>", true),
        ("id=<id>;", "id=a-_9;", true),
        ("id=<id>;", "id=;", false),
        ("id=<id>;", "id=a b;", false),
        ("<id>,<id>", "a,b", true),
        (
            "session=<sign>; Path=/",
            "session=e30.e30.x-_; Path=/",
            true,
        ),
        ("session=<sign>; Path=/", "session=e30.e30; Path=/", false),
        ("session=<sign>; Path=/", "session=; Path=/", false),
        ("\"<time>\"", "\"2026-11-22T05:48:00.123Z\"", true),
        ("\"<time>\"", "\"2026-11-22 05:48:00.123Z\"", false),
        ("Date: <date>", "Date: Sun, 22 Nov 2026 05:48:00 GMT", true),
        ("Date: <date>", "Date: Sun, 22 Nov 2026 05:48:00", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
    }
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines");
}

#[test]
fn paths_and_links_in_the_documentation_lead_somewhere() {
    let mut dead = String::new();
    let mut found = 0;
    for page in pages() {
        let text = read(&page);
        let folder = Path::new(&page).parent().expect("a page is in a folder");
        let files = links(&text).filter(|(file, _)| !file.is_empty());
        let links = files.map(|(file, _)| folder.join(file));
        let paths = paths(&text).map(PathBuf::from);
        for target in links.chain(paths) {
            found += 1;
            if !root().join(&target).exists() {
                let _ = writeln!(dead, "{page}: {}", target.display());
            }
        }
    }
    assert!(found >= 60, "only {found} paths were found");
    assert!(dead.is_empty(), "these do not exist:\n{dead}");
}

#[test]
fn links_to_headings_in_the_documentation_lead_to_one() {
    let mut dead = String::new();
    let mut found = 0;
    for page in pages() {
        let text = read(&page);
        let folder = Path::new(&page).parent().expect("a page is in a folder");
        for (file, anchor) in links(&text) {
            let Some(anchor) = anchor else { continue };
            found += 1;
            let target = match file {
                "" => text.clone(),
                _ => fs::read_to_string(root().join(folder).join(file)).unwrap_or_default(),
            };
            if !anchors(&target).contains(anchor) {
                let _ = writeln!(dead, "{page}: {file}#{anchor}");
            }
        }
    }
    assert!(found >= 20, "only {found} links to headings were found");
    assert!(dead.is_empty(), "these do not exist:\n{dead}");
}

#[test]
fn headings_have_the_anchors_that_github_gives_them() {
    let page = "# One, two\n```sh\n# no heading\n```\n## `/ps`, `/ps/ID`\n#no\n### As_it is\n";
    let expected = ["one-two", "ps-psid", "as_it-is"].map(str::to_owned);
    assert_eq!(anchors(page), BTreeSet::from(expected));
}

#[test]
fn a_request_and_a_login_are_told_in_eight_files_each() {
    let page = read("docs/architecture.md");
    for heading in [
        "## One request, in eight files",
        "## One login, in eight files",
    ] {
        let (_, section) = page.split_once(heading).expect(heading);
        let section = section.split("\n## ").next().expect("a section");
        let mut files = BTreeSet::new();
        for row in section.lines().filter(|line| line.contains("| `")) {
            let quoted: Vec<&str> = row.split('`').skip(1).step_by(2).take(2).collect();
            let [function, file] = quoted[..] else {
                panic!("{row}")
            };
            let code = read(file);
            let mut beginnings = [format!("fn {function}("), format!("fn {function}<")].into_iter();
            let is_there = beginnings.any(|beginning| code.contains(&beginning));
            assert!(is_there, "{heading}: no function {function} in {file}");
            files.insert(file);
        }
        assert_eq!(files.len(), 8, "{heading}: {files:?}");
    }
}

#[test]
fn every_test_that_the_page_on_security_names_is_there() {
    let page = read("docs/security.md");
    let mut sources = String::new();
    let mut folders = vec![root().join("src"), root().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &fs::read_to_string(path).expect("UTF-8");
            }
        }
    }
    let mut named = 0;
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let shown_by = line.trim_end_matches(" |").rsplit(" | ").next();
        for name in shown_by.unwrap_or_default().split('`').skip(1).step_by(2) {
            named += 1;
            assert!(
                sources.contains(&format!("fn {name}()")),
                "no such test: {name}"
            );
        }
    }
    assert!(named > 50, "{named} tests are named");
}

#[test]
fn the_page_on_limits_has_the_table_of_the_code() {
    let page = read("docs/limits.md");
    let (before, rest) = page.split_once("|---|---|---|---|\n").expect("a table");
    let (_, after) = rest.split_once("<!-- end -->").expect("its end");
    let mut rows = String::new();
    for limit in LIMITS {
        let (option, default) = (limit.option(), limit.default_text());
        let (range, text) = (limit.range_text(), limit.text());
        let _ = writeln!(rows, "| `--{option}` | {default} | {range} | {text} |");
    }
    let written = format!("{before}|---|---|---|---|\n{rows}<!-- end -->{after}");
    if std::env::var_os("LOOPGATE_TEST_WRITE").is_some_and(|value| value == "1") {
        fs::write(root().join("docs/limits.md"), written).expect("it is writable");
    } else {
        assert!(
            written == page,
            "docs/limits.md is not what src/config/limits.rs says: run this with LOOPGATE_TEST_WRITE=1"
        );
    }
}

#[test]
fn every_limit_has_an_option_and_a_variable() {
    let output = Command::new(env!("CARGO_BIN_EXE_loopgate"))
        .args(["serve", "--help"])
        .output()
        .expect("the program runs");
    let help = String::from_utf8(output.stdout).expect("it prints UTF-8");
    let (_, limits) = help.split_once("\nLimits:").expect("there is a heading");
    for limit in LIMITS {
        let option = format!(" --{} <{}>\n", limit.option(), limit.unit());
        assert!(limits.contains(&option), "{option:?} is not in {limits}");
        let variable = format!("[env: {}=]", limit.variable());
        assert!(limits.contains(&variable), "{variable} is not in {limits}");
    }
}

#[test]
fn every_fault_is_in_the_table_of_codes_with_its_status() {
    let page = read("docs/http.md");
    for fault in Fault::ALL {
        let row = format!("\n| {} | `{}` |", fault.status.code(), fault.code);
        assert!(page.contains(&row), "docs/http.md has no row {row:?}");
    }
}

/// The commands of all console blocks, in order.
fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut inside) = (Vec::<Step>::new(), false);
    for (index, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = !inside && line == "```console";
        } else if let Some(command) = line.strip_prefix("$ ").filter(|_| inside) {
            steps.push(Step {
                line: index + 1,
                command: command.to_owned(),
                output: Vec::new(),
            });
        } else if inside {
            let step = steps.last_mut().expect("a block begins with a command");
            step.output.push(line.to_owned());
        }
    }
    for step in &mut steps {
        trim_end(&mut step.output);
    }
    steps
}

/// Runs all commands in one bash; what each printed.
fn run(steps: &[Step], address: &str) -> Vec<Vec<String>> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut script = String::new();
    for (number, step) in steps.iter().enumerate() {
        let command = step.command.replace(SHOWN_ADDRESS, address);
        let _ = writeln!(script, "{command}\nprintf '\\036%d\\n' {number}");
    }
    let script_path = directory.path().join("script");
    fs::write(&script_path, script).expect("the script is written");
    let stderr = directory.path().join("stderr");
    let mut bash = Command::new("bash")
        .args(["--noprofile", "--norc"])
        .arg(&script_path)
        .current_dir(&directory)
        // The user's own settings of curl and of the shell play no part in this.
        .env("HOME", directory.path())
        .env("CURL_HOME", directory.path())
        .env("LC_ALL", "C")
        .env("NO_PROXY", "*")
        .env_remove("BASH_ENV")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&stderr).expect("a file"))
        .spawn()
        .expect("bash starts");
    let mut stdout = bash.stdout.take().expect("it is piped");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = stdout.read_to_string(&mut text);
        let _ = sender.send(read.map(|_| text));
    });
    let outcome = receiver.recv_timeout(PATIENCE);
    let _ = bash.kill();
    let _ = bash.wait();
    let said = fs::read_to_string(&stderr).unwrap_or_default();
    let text = outcome
        .unwrap_or_else(|_| panic!("the commands did not end within {PATIENCE:?}:\n{said}"))
        .expect("they print UTF-8");
    let mut outputs = Vec::new();
    let mut rest = text.as_str();
    for number in 0..steps.len() {
        let (output, after) = rest
            .split_once(&format!("{MARK}{number}\n"))
            .unwrap_or_else(|| panic!("command {number} did not end:\n{said}"));
        let mut lines: Vec<String> = output
            .lines()
            .map(|line| line.trim_end_matches('\r').to_owned())
            .collect();
        trim_end(&mut lines);
        outputs.push(lines);
        rest = after;
    }
    outputs
}

fn trim_end(lines: &mut Vec<String>) {
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
}

/// Whether `text` is what `pattern` shows.
fn matches(pattern: &str, text: &str) -> bool {
    for (placeholder, taken) in PLACEHOLDERS {
        let Some((before, after)) = pattern.split_once(placeholder) else {
            continue;
        };
        if before.contains('<') && PLACEHOLDERS.iter().any(|(p, _)| before.contains(p)) {
            continue; // the first placeholder of the line is the one to start with
        }
        return text
            .strip_prefix(before)
            .and_then(|text| Some(&text[taken(text)?..]))
            .is_some_and(|text| matches(after, text));
    }
    pattern == text
}

/// How many bytes at the front of a text a placeholder stands for, if it fits.
type Taken = fn(&str) -> Option<usize>;

const PLACEHOLDERS: [(&str, Taken); 4] = [
    ("<sign>", |text| {
        let end = run_of(text, |b| is_base64url(b) || b == b'.');
        let parts: Vec<&str> = text[..end].split('.').collect();
        (parts.len() == 3 && parts.iter().all(|part| !part.is_empty())).then_some(end)
    }),
    ("<id>", |text| {
        let end = run_of(text, is_base64url);
        (end > 0).then_some(end)
    }),
    ("<time>", |text| shaped(text, "0000-00-00T00:00:00.000Z")),
    ("<date>", |text| {
        shaped(text, "Aaa, 00 Aaa 0000 00:00:00 GMT")
    }),
];

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn run_of(text: &str, is_part: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| is_part(*byte)).count()
}

/// Whether `text` begins like `shape`: digits for `0`, letters for `A` and `a`, the rest as it is.
fn shaped(text: &str, shape: &str) -> Option<usize> {
    let front = text.as_bytes().get(..shape.len())?;
    let fits = front
        .iter()
        .zip(shape.bytes())
        .all(|(byte, kind)| match kind {
            b'0' => byte.is_ascii_digit(),
            b'A' => byte.is_ascii_uppercase(),
            b'a' => byte.is_ascii_lowercase(),
            _ => *byte == kind,
        });
    fits.then_some(shape.len())
}

/// The program with `--demo`, on a port of its own, until this is dropped.
struct Demo {
    child: Child,
    address: String,
}

impl Demo {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopgate"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOOPGATE_")) {
            command.env_remove(name);
        }
        let mut child = command
            .args(["--demo", "--listen", "127.0.0.1:0"])
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let address = stdout
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        let mut demo = Self {
            child,
            address: String::new(),
        };
        demo.address = address.expect("the program says where it listens");
        demo
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_installed(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"))
}

/// Every page of documentation, from the root of the repository.
fn pages() -> Vec<String> {
    let mut pages = vec![
        "README.md".to_owned(),
        "benches/README.md".to_owned(),
        "benches/peers/README.md".to_owned(),
        "tests/conformance/README.md".to_owned(),
        "tests/fuzz/README.md".to_owned(),
        "src/lib.rs".to_owned(),
    ];
    for entry in fs::read_dir(root().join("docs")).expect("docs is a folder") {
        let path = entry.expect("it is readable").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.file_name().expect("it is in a folder");
            pages.push(format!("docs/{}", name.display()));
        }
    }
    pages
}

/// The targets of links to files and headings: the file relative to the page, empty for the page itself; the heading's anchor.
fn links(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| match target.split_once('#') {
            Some((file, anchor)) => (file, Some(anchor)),
            None => (target, None),
        })
        .filter(|(file, anchor)| {
            let is_file = file.contains('.') && !file.contains(':');
            is_file || (file.is_empty() && anchor.is_some())
        })
}

/// The anchors that GitHub gives the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut in_code = false;
    let headings = text.lines().filter_map(|line| {
        in_code ^= line.starts_with("```");
        let title = line.trim_start_matches('#').strip_prefix(' ')?;
        (line.starts_with('#') && !in_code).then_some(title)
    });
    headings.map(anchor).collect()
}

fn anchor(title: &str) -> String {
    let kept = title.to_lowercase().replace(' ', "-");
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_'))
        .collect()
}

/// What looks like a path from the root of the repository.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    text.split(move |c| !is_part(c))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| {
            ["src/", "docs/", "benches/", "tests/", ".ci/"]
                .iter()
                .any(|folder| word.starts_with(folder))
        })
}
