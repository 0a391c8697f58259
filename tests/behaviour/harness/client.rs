//! A client that sends and sees bytes, and the requests that it sends.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;

/// One connection that sends and sees bytes.
pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    unread: Vec<u8>,
}

/// An answer, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The stable code of a problem.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket option");
        stream.set_nodelay(true).expect("a socket option");
        Self::over(stream)
    }

    /// The end of what this side sends; it still reads.
    pub(crate) fn half_close(&mut self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("the connection is open");
    }

    /// Ends the connection with a reset, as a peer does that has crashed.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .expect("a socket option");
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream.write_all(bytes.as_ref());
        sent.and_then(|()| self.stream.flush())
            .expect("the server takes what is sent");
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// The same; `None` if the connection ends instead.
    pub(crate) fn try_ask(&mut self, request: impl AsRef<[u8]>) -> Option<Answer> {
        self.stream.write_all(request.as_ref()).ok()?;
        self.try_answer()
    }

    /// The next answer. Panics if the connection ends before it is whole.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer()
            .expect("an answer before the connection ends")
    }

    /// The next answer, or `None` if the connection ends before its first byte.
    pub(crate) fn try_answer(&mut self) -> Option<Answer> {
        let mut answer = self.head()?;
        if answer.status >= 200 && ![204, 304].contains(&answer.status) {
            answer.body = self.body(&answer);
        }
        Some(answer)
    }

    fn head(&mut self) -> Option<Answer> {
        let head_end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.read_more() {
                assert!(self.unread.is_empty(), "cut short: {:?}", self.text());
                return None;
            }
        };
        let head = String::from_utf8(self.unread.drain(..head_end).collect()).expect("ASCII");
        let mut lines = head.lines();
        let status_line = lines.next().expect("a status line");
        let status = status_line[9..12].parse().expect("a status code");
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Some(Answer {
            status,
            headers,
            body: String::new(),
        })
    }

    fn body(&mut self, answer: &Answer) -> String {
        let length = answer
            .header("content-length")
            .map(|text| text.parse().expect("digits"));
        let bytes = match length {
            Some(length) => self.bytes(length),
            None if answer.header("transfer-encoding") == Some("chunked") => self.chunks(),
            None => {
                while self.read_more() {}
                std::mem::take(&mut self.unread)
            }
        };
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line_end = loop {
                if let Some(at) = find(&self.unread, b"\r\n") {
                    break at;
                }
                assert!(self.read_more(), "cut short within chunks");
            };
            let line: Vec<u8> = self.unread.drain(..line_end + 2).collect();
            let size = std::str::from_utf8(&line[..line_end]).expect("hex digits");
            let size = usize::from_str_radix(size, 16).expect("hex digits");
            let chunk = self.bytes(size + 2);
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return body;
            }
        }
    }

    /// The next bytes, so many of them.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.read_more(), "cut short: {:?}", self.text());
        }
        self.unread.drain(..count).collect()
    }

    /// Whether the server ends the connection without another byte.
    pub(crate) fn ends(&mut self) -> bool {
        !self.read_more() && self.unread.is_empty()
    }

    /// The next answer, of which only the head is sent.
    pub(crate) fn answer_to_head(&mut self) -> Answer {
        self.head().expect("an answer before the connection ends")
    }

    /// Reads once, at most `count` bytes; how many there were.
    pub(crate) fn take(&mut self, count: usize) -> usize {
        let mut bytes = vec![0; count];
        let taken = self.stream.read(&mut bytes).expect("the server sends");
        self.unread.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// What has been read and not been looked at.
    pub(crate) fn unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.unread)
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> String {
        while self.read_more() {}
        self.text()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    fn read_more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                self.unread.extend_from_slice(&bytes[..count]);
                assert!(self.unread.len() < 64 << 20, "there is no end of it");
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            // Another test's child has ended.
            Err(error) if error.kind() == ErrorKind::Interrupted => self.read_more(),
            Err(error) => panic!(
                "nothing came from the server: {error}; so far {:?}",
                self.text()
            ),
        }
    }

    /// Logs in; the signature.
    pub(crate) fn log_in(&mut self, name: &str) -> String {
        let answer = self.ask(login(name, "password"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["user_sign"]
            .as_str()
            .expect("a signature")
            .to_owned()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// A request without a body.
pub(crate) fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let fields: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let fields = fields.concat();
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

pub(crate) fn get(target: &str) -> String {
    request("GET", target, &[])
}

/// The same with a signature.
pub(crate) fn signed(method: &str, target: &str, sign: &str) -> String {
    request(
        method,
        target,
        &[("Authorization", &format!("Bearer {sign}"))],
    )
}

pub(crate) fn post(target: &str, content_type: &str, body: &str) -> String {
    let length = body.len().to_string();
    let head = request(
        "POST",
        target,
        &[("Content-Type", content_type), ("Content-Length", &length)],
    );
    head + body
}

/// The same with a body in chunks, of at most `chunk_bytes` each.
pub(crate) fn post_chunked(
    target: &str,
    content_type: &str,
    body: &str,
    chunk_bytes: usize,
) -> String {
    let head = request(
        "POST",
        target,
        &[
            ("Content-Type", content_type),
            ("Transfer-Encoding", "chunked"),
        ],
    );
    let chunks = body.as_bytes().chunks(chunk_bytes).map(|chunk| {
        let text = std::str::from_utf8(chunk).expect("bodies of tests are ASCII");
        format!("{:x}\r\n{text}\r\n", chunk.len())
    });
    head + &chunks.collect::<Vec<_>>().concat() + "0\r\n\r\n"
}

pub(crate) fn login(name: &str, password: &str) -> String {
    let body = serde_json::json!({"username": name, "password": password}).to_string();
    post("/login", "application/json", &body)
}
