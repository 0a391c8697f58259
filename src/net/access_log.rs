//! The access log: a line for each answered request.
//!
//! With a [`LogPipe`] a line goes past `log` and its logger, straight into what the log's thread writes next: rendering it
//! costs some 100 ns, and nothing allocates. Without one, as for embedders, it is a record of the target
//! `loopgate::access`.

use std::io::Write as _;
use std::net::IpAddr;

use crate::app::origin::{client_address, is_proxy};
use crate::event::rfc3339;
use crate::http::{Head, Status, Version, push_decimal};
use crate::reactor::Peer;
use crate::work::log_writer::LogPipe;

/// The target of access lines, by which `RUST_LOG` turns them off.
pub const ACCESS: &str = "loopgate::access";

/// Most bytes of a path that a line has, so that no request can write a whole page; what is cut off is shown as `...`.
const PATH_BYTES_MAX: usize = 2048;
/// The same for a referrer and for the name of a client's program.
const FIELD_BYTES_MAX: usize = 512;
/// The same for a proxy's name for a request.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessFormat {
    /// No line.
    Off,
    /// As the other lines of the log: `TIME INFO  loopgate::access: ADDRESS:PORT GET /path 200 15B 42us`.
    #[default]
    Plain,
    /// That of NCSA's and Apache's servers, which most programs read that evaluate logs:
    /// `ADDRESS - USER [TIME] "GET /path HTTP/1.1" 200 15 "REFERRER" "PROGRAM"`.
    Combined,
    /// An object of JSON (RFC 8259) on a line.
    Json,
}

/// Writes a line for each answered request.
#[derive(Debug, Default)]
pub(super) struct AccessLog {
    format: AccessFormat,
    /// `None`: lines are records for `log`.
    pipe: Option<LogPipe>,
    /// Whether lines are written, as far as is known.
    is_on: bool,
    /// Requests are timed as if lines were written, or as if not: for recordings, since a reading of the clock is a part
    /// of what happened.
    timed_as_if: Option<bool>,
    stamp: Stamp,
    /// The memory of a request that was answered.
    spare: Option<Box<AccessRecord>>,
    line: Vec<u8>,
}

impl AccessLog {
    /// From now on lines have that form, and go into that pipe.
    pub(super) fn write_to(&mut self, format: AccessFormat, pipe: Option<LogPipe>) {
        self.format = format;
        self.pipe = pipe;
        self.spare = None; // its text has the former form
        self.refresh();
    }

    /// Asks whether lines are read. Called when a client connects: not with each request, for which the question costs too
    /// much, and not once, since an embedder may change the level of its log.
    pub(super) fn refresh(&mut self) {
        let is_read = || match self.format {
            AccessFormat::Off => false,
            _ => self.pipe.is_some() || log::log_enabled!(target: ACCESS, log::Level::Info),
        };
        self.is_on = self.timed_as_if.unwrap_or_else(is_read);
    }

    /// Fixes whether requests are timed from now on, whether or not lines are read.
    pub(super) fn time_requests(&mut self, timed: bool) {
        self.timed_as_if = Some(timed);
        self.refresh();
    }

    /// What the line of a request will need of it; `None` if it gets no line.
    #[inline]
    pub(super) fn record(
        &mut self,
        head: Option<&Head<'_>>,
        peer: Peer,
        trusted: &[IpAddr],
    ) -> Option<Box<AccessRecord>> {
        self.is_on.then(|| {
            let mut record = self.spare.take().unwrap_or_default();
            record.fill(head, peer, trusted, self.format);
            record
        })
    }

    /// Takes the memory of a request that was answered, for the next one.
    #[inline]
    pub(super) fn reuse(&mut self, record: Option<Box<AccessRecord>>) {
        if record.is_some() {
            self.spare = record;
        }
    }

    /// Writes the line of a request that was answered.
    pub(super) fn answered(&mut self, record: &AccessRecord, answer: &Answer<'_>) {
        if self.format == AccessFormat::Off {
            return; // timed for a recording
        }
        self.stamp.refresh(answer.unix_ms);
        let (stamp, format) = (&self.stamp, self.format);
        let push = |out: &mut Vec<u8>| match format {
            AccessFormat::Off => {}
            AccessFormat::Plain => push_plain(record, answer, out),
            AccessFormat::Combined => push_combined(record, answer, stamp, out),
            AccessFormat::Json => push_json(record, answer, stamp, out),
        };
        if let Some(pipe) = &self.pipe {
            pipe.access(|out| {
                if format == AccessFormat::Plain {
                    out.extend_from_slice(&stamp.beginning(answer.unix_ms));
                }
                push(out);
                out.push(b'\n');
            });
        } else {
            self.line.clear();
            push(&mut self.line);
            log::info!(target: ACCESS, "{}", String::from_utf8_lossy(&self.line));
        }
    }
}

/// What a line says of the answer.
pub(super) struct Answer<'a> {
    pub(super) status: Status,
    /// Bytes of its content, as sent.
    pub(super) bytes: usize,
    /// From the request's last byte to the answer's first, in microseconds.
    pub(super) took_us: u64,
    /// The name of the user whose request it was, if it is known.
    pub(super) user: Option<&'a str>,
    /// When it was made, in milliseconds since 1970.
    pub(super) unix_ms: u64,
}

/// What a line says of the request, kept until it is answered.
#[derive(Debug, Default)]
pub(super) struct AccessRecord {
    /// The peer; behind a trusted proxy its client, without a port. IPv4 in IPv6 form is IPv4.
    client: Option<IpAddr>,
    port: Option<u16>,
    /// The client as text; in the plain form with its port.
    client_text: Short,
    /// The user that sent it, if it is known.
    pub(super) user: Option<i64>,
    /// `None`: what came was no request.
    request: Option<(&'static str, Version)>,
    /// The texts, one after the other, and where each ends.
    texts: Vec<u8>,
    ends: [usize; Text::COUNT],
}

/// A text of a request, by its place in [`AccessRecord`].
#[derive(Clone, Copy)]
enum Text {
    /// Without the query: people put secrets there.
    Path,
    /// The page that led here, without its query for the same reason.
    Referrer,
    /// The client's program.
    UserAgent,
    /// A trusted proxy's name for the request.
    RequestId,
}

impl Text {
    const COUNT: usize = 4;
}

impl AccessRecord {
    fn fill(
        &mut self,
        head: Option<&Head<'_>>,
        peer: Peer,
        trusted: &[IpAddr],
        format: AccessFormat,
    ) {
        self.user = None;
        self.texts.clear();
        self.ends = [0; Text::COUNT];
        self.request = head.map(|head| (head.method.as_str(), head.version));
        let mut client = match peer {
            Peer::Ip(address) => (Some(address.ip().to_canonical()), Some(address.port())),
            Peer::Unix => (None, None),
        };
        let believed = is_proxy(peer.ip(), trusted);
        if believed && let Some(head) = head {
            let named = client_address(peer.ip(), head.headers("x-forwarded-for"), trusted);
            if named != client.0 {
                client = (named, None);
            }
        }
        // Requests that come together are of one client, whose text is there already.
        if client != (self.client, self.port) {
            (self.client, self.port) = client;
            let port = self.port.filter(|_| format == AccessFormat::Plain);
            if let Some(address) = self.client {
                self.client_text = Short::of_client(address, port);
            }
        }
        let Some(head) = head else { return };
        self.keep(Text::Path, head.target.path.as_bytes(), PATH_BYTES_MAX);
        if let AccessFormat::Combined | AccessFormat::Json = format {
            let field = |name| head.header(name).unwrap_or_default();
            let referrer = field("referer");
            let end = referrer.iter().position(|byte| matches!(byte, b'?' | b'#'));
            let referrer = &referrer[..end.unwrap_or(referrer.len())];
            self.keep(Text::Referrer, referrer, FIELD_BYTES_MAX);
            self.keep(Text::UserAgent, field("user-agent"), FIELD_BYTES_MAX);
            if believed {
                self.keep(Text::RequestId, field("x-request-id"), REQUEST_ID_BYTES_MAX);
            }
        }
    }

    fn keep(&mut self, text: Text, bytes: &[u8], max: usize) {
        if bytes.len() <= max {
            self.texts.extend_from_slice(bytes);
        } else {
            self.texts.extend_from_slice(&bytes[..max]);
            self.texts.extend_from_slice(b"...");
        }
        self.ends[text as usize..].fill(self.texts.len());
    }

    fn text(&self, text: Text) -> &[u8] {
        let at = text as usize;
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.texts[from..self.ends[at]]
    }
}

fn push_plain(record: &AccessRecord, answer: &Answer<'_>, out: &mut Vec<u8>) {
    match record.client {
        Some(_) => out.extend_from_slice(record.client_text.as_bytes()),
        None => out.extend_from_slice(b"unix"),
    }
    out.push(b' ');
    if let Some((method, _)) = record.request {
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        push_debug(record.text(Text::Path), out);
    } else {
        out.extend_from_slice(b"(no request)");
    }
    let mut rest = Short::default();
    rest.before(b"us");
    rest.decimal_before(answer.took_us);
    rest.before(b"B ");
    rest.decimal_before(answer.bytes as u64);
    rest.before(b" ");
    rest.decimal_before(answer.status.code().into());
    rest.before(b" ");
    out.extend_from_slice(rest.as_bytes());
}

fn push_combined(record: &AccessRecord, answer: &Answer<'_>, stamp: &Stamp, out: &mut Vec<u8>) {
    match record.client {
        Some(_) => out.extend_from_slice(record.client_text.as_bytes()),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" - ");
    match answer.user {
        // A space would end the field.
        Some(user) => push_hex(user.as_bytes(), |byte| byte == b' ', out),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" [");
    out.extend_from_slice(&stamp.ncsa);
    out.extend_from_slice(b"] \"");
    if let Some((method, version)) = record.request {
        out.extend_from_slice(method.as_bytes());
        out.push(b' ');
        push_hex(record.text(Text::Path), |_| false, out);
        out.extend_from_slice(match version {
            Version::Http10 => b" HTTP/1.0",
            Version::Http11 => b" HTTP/1.1",
        });
    } else {
        out.push(b'-');
    }
    out.extend_from_slice(b"\" ");
    push_decimal(answer.status.code().into(), out);
    out.push(b' ');
    push_decimal(answer.bytes as u64, out);
    for text in [Text::Referrer, Text::UserAgent] {
        out.extend_from_slice(b" \"");
        match record.text(text) {
            b"" => out.push(b'-'),
            text => push_hex(text, |_| false, out),
        }
        out.push(b'"');
    }
}

fn push_json(record: &AccessRecord, answer: &Answer<'_>, stamp: &Stamp, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    stamp.push_rfc3339(answer.unix_ms, out);
    out.extend_from_slice(b"\",\"client\":");
    if record.client.is_some() {
        out.push(b'"');
        out.extend_from_slice(record.client_text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(b"null");
    }
    out.extend_from_slice(b",\"port\":");
    match record.port {
        Some(port) => push_decimal(port.into(), out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b",\"user\":");
    push_string(answer.user.map(str::as_bytes), out);
    let (method, version) = record.request.unzip();
    out.extend_from_slice(b",\"method\":");
    push_string(method.map(str::as_bytes), out);
    out.extend_from_slice(b",\"path\":");
    push_string(method.map(|_| record.text(Text::Path)), out);
    out.extend_from_slice(match version {
        Some(Version::Http10) => b",\"version\":\"1.0\"",
        Some(Version::Http11) => b",\"version\":\"1.1\"",
        None => b",\"version\":null",
    });
    out.extend_from_slice(b",\"status\":");
    push_decimal(answer.status.code().into(), out);
    out.extend_from_slice(b",\"bytes\":");
    push_decimal(answer.bytes as u64, out);
    out.extend_from_slice(b",\"duration_us\":");
    push_decimal(answer.took_us, out);
    for (name, text) in [
        (&b",\"referrer\":"[..], Text::Referrer),
        (b",\"user_agent\":", Text::UserAgent),
        (b",\"request_id\":", Text::RequestId),
    ] {
        out.extend_from_slice(name);
        push_string(Some(record.text(text)).filter(|text| !text.is_empty()), out);
    }
    out.push(b'}');
}

/// A few words that are put together here, from right to left, and copied into the line at once: a line has many short
/// parts, and a copy of each costs more than its bytes.
#[derive(Clone, Copy, Debug)]
struct Short {
    bytes: [u8; Self::BYTES],
    /// Where the text begins; it goes to the end.
    start: usize,
}

impl Default for Short {
    fn default() -> Self {
        Self {
            bytes: [0; Self::BYTES],
            start: Self::BYTES,
        }
    }
}

impl Short {
    /// Enough for the longest that is put together here: an address of IPv6 in brackets with its port, or three numbers.
    const BYTES: usize = 64;

    #[inline]
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    #[inline]
    fn before(&mut self, text: &[u8]) {
        let start = self.start - text.len();
        self.bytes[start..self.start].copy_from_slice(text);
        self.start = start;
    }

    #[inline]
    fn decimal_before(&mut self, mut number: u64) {
        loop {
            self.start -= 1;
            self.bytes[self.start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
    }

    fn address_before(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                for octet in [d, c, b] {
                    self.decimal_before(octet.into());
                    self.before(b".");
                }
                self.decimal_before(a.into());
            }
            IpAddr::V6(address) => {
                let mut text = [0; 39];
                let mut rest = &mut text[..];
                let _ = write!(rest, "{address}"); // it is no longer than this
                let length = 39 - rest.len();
                self.before(&text[..length]);
            }
        }
    }

    /// An address, and a port if there is one.
    fn of_client(address: IpAddr, port: Option<u16>) -> Self {
        let mut text = Self::default();
        if let Some(port) = port {
            text.decimal_before(port.into());
            text.before(if address.is_ipv6() { b"]:" } else { b":" });
        }
        text.address_before(address);
        if port.is_some() && address.is_ipv6() {
            text.before(b"[");
        }
        text
    }
}

/// Whether nothing in it needs to be escaped in any of the forms.
fn is_plain(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\' | b'\''))
}

/// As Rust shows text: `\n`, `\u{1b}`, and letters of all languages as they are.
fn push_debug(bytes: &[u8], out: &mut Vec<u8>) {
    if is_plain(bytes) {
        return out.extend_from_slice(bytes);
    }
    let _ = write!(out, "{}", String::from_utf8_lossy(bytes).escape_debug());
}

/// As Apache and nginx write it: everything but printable ASCII as `\xHH`, and so quotes and backslashes.
fn push_hex(bytes: &[u8], also: fn(u8) -> bool, out: &mut Vec<u8>) {
    for byte in bytes {
        if matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\') && !also(*byte) {
            out.push(*byte);
        } else {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
}

/// As a string of JSON, or `null`. What is no UTF-8 is shown as U+FFFD.
fn push_string(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(bytes) = bytes else {
        return out.extend_from_slice(b"null");
    };
    if is_plain(bytes) {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
    } else {
        // Writing text into memory does not fail.
        let _ = serde_json::to_writer(out, &String::from_utf8_lossy(bytes));
    }
}

/// The beginning of a line of the log, as its logger writes it.
const BEGINNING: &[u8; 49] = b"0000-00-00T00:00:00.000Z INFO  loopgate::access: ";

/// The time as lines have it, rendered once a second.
#[derive(Debug)]
struct Stamp {
    unix_s: u64,
    /// As [`BEGINNING`], with the second.
    beginning: [u8; BEGINNING.len()],
    /// `22/Nov/2026:05:48:00 +0000`.
    ncsa: [u8; 26],
}

impl Default for Stamp {
    fn default() -> Self {
        let mut stamp = Self {
            unix_s: 0,
            beginning: *BEGINNING,
            ncsa: *b"00/Jan/0000:00:00:00 +0000",
        };
        stamp.render(0);
        stamp
    }
}

impl Stamp {
    #[inline]
    fn refresh(&mut self, unix_ms: u64) {
        if self.unix_s != unix_ms / 1000 {
            self.render(unix_ms);
        }
    }

    #[cold]
    fn render(&mut self, unix_ms: u64) {
        const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
        self.unix_s = unix_ms / 1000;
        let time = rfc3339(unix_ms);
        let text = time.as_str().as_bytes();
        self.beginning[..text.len()].copy_from_slice(text);
        let month = usize::from(text[5] - b'0') * 10 + usize::from(text[6] - b'0');
        self.ncsa[..2].copy_from_slice(&text[8..10]);
        self.ncsa[3..6].copy_from_slice(&MONTHS[(month - 1) * 3..month * 3]);
        self.ncsa[7..11].copy_from_slice(&text[..4]);
        self.ncsa[12..20].copy_from_slice(&text[11..19]);
    }

    /// With the milliseconds of this very moment.
    #[inline]
    fn beginning(&self, unix_ms: u64) -> [u8; BEGINNING.len()] {
        let ms = (unix_ms % 1000) as usize;
        let digit = |number: usize| b'0' + (number % 10) as u8;
        let mut beginning = self.beginning;
        beginning[20..23].copy_from_slice(&[digit(ms / 100), digit(ms / 10), digit(ms)]);
        beginning
    }

    /// `2026-11-22T05:48:00.123Z`
    fn push_rfc3339(&self, unix_ms: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.beginning(unix_ms)[..24]);
    }
}

#[cfg(test)]
mod tests;
