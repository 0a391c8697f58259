//! The rows that any server can be held to, sent to loopgate, nginx and axum: `cargo bench --bench conformance`.
//!
//! Of others no more is asked than the RFCs do: any status that a row allows, and of what must be refused
//! only that it is not answered as if it were good. Writes the table into `docs/conformance.md`.

#[expect(dead_code, reason = "nothing is cut here, and compared")]
mod answers;
mod judge;
#[expect(
    dead_code,
    reason = "no proxy is between the rows and the servers here"
)]
mod network;
#[expect(dead_code, reason = "no server is behind nginx here")]
mod nginx;
mod rows;
#[expect(dead_code, reason = "here is a network")]
mod world;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::judge::{Who, judge};
use crate::network::Loopgate;
use crate::nginx::Nginx;
use crate::rows::{End, Row};

const BEGIN: &str = "<!-- written by cargo bench --bench conformance -->\n";
const END: &str = "<!-- end -->";

/// nginx as a server of its own, which passes what it read to itself: where nothing needs a body, it
/// would answer without reading it.
const NGINX: &str = r#"
server {
    listen 127.0.0.1:@PORT@;
    location = /t { proxy_pass http://127.0.0.1:@PORT@/read; proxy_http_version 1.1; }
    location = /read { return 200 ""; }
    location = /next { return 200 "next"; }
    location = /hidden { return 200 "hidden"; }
    location = /probe { return 200 "probe"; }
    location / { return 404; }
}
"#;

/// axum on hyper, in a process that is killed at the end.
struct Axum(Child, SocketAddr);

impl Drop for Axum {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What one server made of the rows.
struct Column {
    name: String,
    /// Rows that do not hold, and why.
    failed: Vec<(String, String)>,
    failed_of_group: Vec<usize>,
}

fn main() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows = rows::all();
    let all = rows.len();
    let rows: Vec<Row> = rows.into_iter().filter(|row| !row.ours).collect();
    let mut groups: Vec<&str> = rows.iter().map(|row| row.group).collect();
    groups.dedup();

    let loopgate = Loopgate::start();
    let nginx = Nginx::start(NGINX)?;
    let axum = axum(root)?;
    let columns = [
        (
            format!("loopgate {}", env!("CARGO_PKG_VERSION")),
            loopgate.address,
            Who::Loopgate,
        ),
        (nginx_version(), nginx.address, Who::Another),
        (axum_version(root), axum.1, Who::Another),
    ]
    .map(|(name, address, who)| {
        eprintln!("{name}: {} rows", rows.len());
        column(name, address, who, &rows, &groups)
    });

    let text = table(&rows, all, &groups, &columns);
    println!("{text}");
    let page = root.join("docs/conformance.md");
    let old = std::fs::read_to_string(&page).map_err(|e| format!("docs/conformance.md: {e}"))?;
    let (before, rest) = old
        .split_once(BEGIN)
        .ok_or("the page has no place for it")?;
    let (_, after) = rest.split_once(END).ok_or("the page's place has no end")?;
    let new = format!("{before}{BEGIN}{text}{END}{after}");
    std::fs::write(&page, new).map_err(|e| format!("docs/conformance.md: {e}"))
}

fn column(name: String, address: SocketAddr, who: Who, rows: &[Row], groups: &[&str]) -> Column {
    let mut failed = Vec::new();
    let mut failed_of_group = vec![0; groups.len()];
    for row in rows {
        let seen = network::run(row, address, who);
        if let Err(why) = judge(row, &seen, who) {
            failed.push((row.name(), why));
            let group = groups.iter().position(|group| *group == row.group);
            failed_of_group[group.expect("it is one of them")] += 1;
        }
    }
    Column {
        name,
        failed,
        failed_of_group,
    }
}

fn table(rows: &[Row], all: usize, groups: &[&str], columns: &[Column]) -> String {
    let mut text = String::from("| rows |");
    for column in columns {
        let _ = write!(text, " {} |", column.name);
    }
    text += "\n|---|";
    text += &"---:|".repeat(columns.len());
    text += "\n";
    for (index, group) in groups.iter().enumerate() {
        let count = rows.iter().filter(|row| row.group == *group).count();
        let _ = write!(text, "| {group} |");
        for column in columns {
            let passed = count - column.failed_of_group[index];
            let _ = write!(text, " {passed} of {count} |");
        }
        text += "\n";
    }
    text += "| **all** |";
    for column in columns {
        let passed = rows.len() - column.failed.len();
        let share = 100 * passed / rows.len();
        let _ = write!(text, " **{passed} of {} ({share} %)** |", rows.len());
    }
    let refusals = rows.iter().filter(|row| row.end == End::Refused).count();
    let _ = write!(
        text,
        "\n\n{refusals} of these rows must be refused. {} more are about loopgate's own limits, routes and choices.\n\n",
        all - rows.len(),
    );
    for column in columns.iter().filter(|column| !column.failed.is_empty()) {
        let _ = write!(text, "What {} makes of the rest:\n\n", column.name);
        for (name, why) in &column.failed {
            let _ = writeln!(text, "- {name}: {why}");
        }
        text += "\n";
    }
    text
}

fn axum(root: &Path) -> Result<Axum, String> {
    eprintln!("building axum (benches/peers); the first time takes minutes");
    let target = root.join("target/peers");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--quiet", "--locked"])
        .args(["--bin", "axum_rows", "--manifest-path"])
        .arg(root.join("benches/peers/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return Err("benches/peers does not build".into());
    }
    let mut command = Command::new(target.join("release/axum_rows"));
    let child = command.stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| error.to_string())?;
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    stdout.read_line(&mut line).map_err(|e| e.to_string())?;
    let address = line.trim().strip_prefix("listening on http://");
    let address = address.and_then(|text| text.parse().ok());
    let address = address.ok_or_else(|| format!("axum does not listen: {line}"))?;
    Ok(Axum(child, address))
}

/// As nginx says it: `nginx 1.22.1`.
fn nginx_version() -> String {
    let output = Command::new("nginx").arg("-v").output();
    let said = output.map(|o| String::from_utf8_lossy(&o.stderr).into_owned());
    let said = said.unwrap_or_default();
    let version = said.trim().rsplit('/').next().unwrap_or_default();
    format!("nginx {version}")
}

/// From the peers' lock file: hyper is what reads and writes.
fn axum_version(root: &Path) -> String {
    let lock = std::fs::read_to_string(root.join("benches/peers/Cargo.lock"));
    let lock = lock.unwrap_or_default();
    let version = |name: &str| {
        let package = format!("name = \"{name}\"\nversion = \"");
        let rest = lock.split_once(&package).map_or("", |(_, rest)| rest);
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    format!("axum {}, hyper {}", version("axum"), version("hyper"))
}
