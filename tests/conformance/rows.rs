//! The table: what is sent, what must come of it, and which document says so. The README beside this file describes
//! how rows are written.

use std::ops::RangeInclusive;

/// Every file of rows, by the name of its group.
const FILES: &[(&str, &str)] = &[
    ("request line", include_str!("rows/request-line.txt")),
    ("targets", include_str!("rows/targets.txt")),
    ("Host", include_str!("rows/host.txt")),
    ("fields", include_str!("rows/fields.txt")),
    ("length", include_str!("rows/length.txt")),
    ("chunked", include_str!("rows/chunked.txt")),
    ("connection", include_str!("rows/connection.txt")),
    ("Expect", include_str!("rows/expect.txt")),
    ("Upgrade", include_str!("rows/upgrade.txt")),
    ("methods and answers", include_str!("rows/answers.txt")),
    ("limits", include_str!("rows/limits.txt")),
    ("smuggling", include_str!("rows/smuggling.txt")),
];

/// One requirement, as bytes.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    /// The RFC and its section: `9112-3.2`.
    pub(crate) section: &'static str,
    pub(crate) says: &'static str,
    /// Only loopgate can be held to it: it is about its limits, its routes, or a choice that the RFC leaves.
    pub(crate) ours: bool,
    /// What must be refused may be answered by others, if they close the connection then.
    pub(crate) closes: bool,
    pub(crate) sent: Vec<u8>,
    pub(crate) wants: Vec<Want>,
    pub(crate) end: End,
}

/// An answer that must come.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub(crate) status: u16,
    /// What others may answer instead.
    pub(crate) allowed: Vec<RangeInclusive<u16>>,
    /// It answers a HEAD, so no body follows, with any fields.
    pub(crate) head: bool,
    pub(crate) checks: Vec<Check>,
}

/// Something about an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Has(&'static str),
    Lacks(&'static str),
    /// The field has this value, in any case of letters.
    Is(&'static str, &'static str),
    Body(String),
    /// The `code` of the problem in the body; loopgate's own.
    Code(&'static str),
}

/// How the connection is afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The next request is answered.
    Open,
    /// The server has closed it, and answers nothing more.
    Closed,
    /// The server refuses: one answer and the end. Others may close without an answer, or leave the
    /// connection open, as long as nothing that was sent is answered.
    Refused,
    /// The server waits for more.
    Waits,
    /// It speaks another protocol now.
    Switched,
}

impl Row {
    pub(crate) fn name(&self) -> String {
        format!(
            "{} / RFC {}: {}",
            self.group,
            self.section.replace('-', " §"),
            self.says
        )
    }
}

/// All rows.
///
/// # Panics
/// At a row that is not written as the README says.
pub(crate) fn all() -> Vec<Row> {
    let files = FILES.iter();
    files
        .flat_map(|(group, text)| of_file(group, text))
        .collect()
}

fn of_file(group: &'static str, text: &'static str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(heading) = line.strip_prefix("## ") else {
            let comment = line.is_empty() || line.starts_with("# ");
            assert!(
                comment,
                "{group}, line {}: neither row nor comment: {line}",
                number + 1
            );
            continue;
        };
        let (section, says) = heading.split_once(' ').expect("a section and a sentence");
        let (says, flag) = says.split_once(" @").unwrap_or((says, ""));
        let (ours, closes) = (flag == "ours", flag == "closes");
        assert!(flag.is_empty() || ours || closes, "no such flag: {heading}");
        let mut sent = Vec::new();
        let expected = loop {
            let (_, line) = lines.next().unwrap_or_else(|| panic!("no end: {heading}"));
            assert!(!line.starts_with("## "), "no expectation: {heading}");
            match line.strip_prefix("-> ") {
                Some(expected) => break expected,
                None => sent.extend(bytes_of(line)),
            }
        };
        let (wants, end) = expectation(expected);
        rows.push(Row {
            group,
            section,
            says,
            ours,
            closes,
            sent,
            wants,
            end,
        });
    }
    rows
}

/// The bytes of one line: with its line end, unless it says otherwise.
fn bytes_of(line: &str) -> Vec<u8> {
    if let Some(target) = line.strip_prefix("+ ") {
        return format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
    }
    let (text, ended) = match line.strip_suffix('\\') {
        Some(text) => (text, false),
        None => (line, true),
    };
    let mut bytes = unescaped(text);
    if ended {
        bytes.extend(b"\r\n");
    }
    bytes
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend(before.as_bytes());
        let mut chars = after.chars();
        match chars.next().expect("something behind a backslash") {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            's' => bytes.push(b' '),
            '0' => bytes.push(0),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let digits: String = chars.by_ref().take(2).collect();
                bytes.push(u8::from_str_radix(&digits, 16).expect("two digits"));
            }
            '{' => {
                let (inside, behind) = chars.as_str().split_once('}').expect("a brace");
                let (what, count) = inside.rsplit_once('*').expect("what and how often");
                bytes.extend(unescaped(what).repeat(count.parse().expect("a number")));
                chars = behind.chars();
            }
            other => panic!("\\{other} means nothing"),
        }
        rest = chars.as_str();
    }
    bytes.extend(rest.as_bytes());
    bytes
}

fn expectation(text: &'static str) -> (Vec<Want>, End) {
    if let Some(fault) = text.strip_prefix("refused ") {
        let (status, code) = fault.split_once(' ').expect("a status and a code");
        let want = Want {
            status: status.parse().expect("a status"),
            allowed: Vec::from([400..=599]),
            head: false,
            checks: vec![Check::Code(code), Check::Is("connection", "close")],
        };
        return (vec![want], End::Refused);
    }
    let (answers, end) = text.rsplit_once("; ").unwrap_or(("", text));
    let end = match end {
        "open" => End::Open,
        "closed" => End::Closed,
        "waits" => End::Waits,
        "switched" => End::Switched,
        other => panic!("no such end: {other}"),
    };
    let wants = answers.split(", ").filter(|answer| !answer.is_empty());
    (wants.map(want).collect(), end)
}

/// `200`, `400(4xx)`, `200(200|501) has:date no:etag connection=close body=t head`.
fn want(text: &'static str) -> Want {
    let mut words = text.split(' ');
    let first = words.next().expect("a status");
    let (status, alternatives) = match first.split_once('(') {
        Some((status, rest)) => (status, rest.strip_suffix(')').expect("a parenthesis")),
        None => (first, ""),
    };
    let status: u16 = status
        .parse()
        .unwrap_or_else(|_| panic!("no status: {text}"));
    let mut allowed = Vec::from([status..=status]);
    for alternative in alternatives.split('|').filter(|a| !a.is_empty()) {
        let number = |text: &str| text.parse::<u16>().expect("a status or its first digit");
        let range = alternative.strip_suffix("xx").map_or_else(
            || number(alternative)..=number(alternative),
            |class| number(class) * 100..=number(class) * 100 + 99,
        );
        allowed.push(range);
    }
    let mut head = false;
    let mut checks = Vec::new();
    for word in words {
        if word == "head" {
            head = true;
        } else if let Some(name) = word.strip_prefix("has:") {
            checks.push(Check::Has(name));
        } else if let Some(name) = word.strip_prefix("no:") {
            checks.push(Check::Lacks(name));
        } else if let Some(body) = word.strip_prefix("body=") {
            let body = String::from_utf8(unescaped(body)).expect("UTF-8");
            checks.push(Check::Body(body));
        } else if let Some(code) = word.strip_prefix("code=") {
            checks.push(Check::Code(code));
        } else {
            let (name, value) = word.split_once('=').unwrap_or_else(|| panic!("{word}?"));
            checks.push(Check::Is(name, value));
        }
    }
    Want {
        status,
        allowed,
        head,
        checks,
    }
}
