//! Subscribers of events, each over a transport of its own.

use std::io::{BufRead as _, BufReader, Cursor, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Message, WebSocket};

use crate::harness::{Answer, Client, PATIENCE, post, signed};

/// Whether everything is there that a test needs from outside. Where it is not, the test says that it
/// is skipped; unless that is not allowed.
pub(crate) fn are_installed(commands: &[&[&str]]) -> bool {
    let missing: Vec<String> = commands
        .iter()
        .filter(|command| {
            let mut run = Command::new(command[0]);
            run.args(&command[1..]);
            run.stdin(Stdio::null()).stdout(Stdio::null());
            let status = run.stderr(Stdio::null()).status();
            !status.is_ok_and(|status| status.success())
        })
        .map(|command| command.join(" "))
        .collect();
    if missing.is_empty() {
        return true;
    }
    skip(&format!("these fail: {}", missing.join(", ")));
    false
}

/// Says that a test is skipped, and why; unless that is not allowed.
pub(crate) fn skip(why: &str) {
    let required = std::env::var_os("LOOPGATE_TEST_REQUIRE_TOOLS").is_some_and(|v| v == "1");
    assert!(!required, "{why}");
    let test = thread::current().name().unwrap_or("a test").to_owned();
    // Not `println!`, which is shown only where a test fails.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}; {why}");
}

pub(crate) const CURL: &[&str] = &["curl", "--version"];
pub(crate) const PYTHON: &[&str] = &["python3", "--version"];
pub(crate) const PYTHON_WEBSOCKETS: &[&str] = &["python3", "-c", "import websockets.sync.client"];

/// A path in the project.
pub(crate) fn in_project(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// What happened: an id and a name, as every transport tells them.
pub(crate) fn id_of(event: &Value) -> u64 {
    event["id"]
        .as_u64()
        .unwrap_or_else(|| panic!("no id: {event}"))
}

pub(crate) fn name_of(event: &Value) -> &str {
    event["name"].as_str().unwrap_or_default()
}

/// Publishes an event; its id.
pub(crate) fn publish(client: &mut Client, sign: &str, name: &str, data: &Value) -> u64 {
    let answer = client.ask(publication(sign, &json!({"name": name, "data": data})));
    assert_eq!(answer.status, 202, "{answer:?}");
    id_of(&answer.json())
}

/// The request that publishes this.
pub(crate) fn publication(sign: &str, body: &Value) -> String {
    let request = post("/events", "application/json", &body.to_string());
    request.replacen(
        "\r\n\r\n",
        &format!("\r\nAuthorization: Bearer {sign}\r\n\r\n"),
        1,
    )
}

/// Asks for events as JSON.
pub(crate) fn poll(client: &mut Client, sign: &str, query: &str) -> Answer {
    client.ask(signed("GET", &format!("/events?{query}"), sign))
}

/// The events of such an answer.
pub(crate) fn events_of(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let events = answer.json()["events"].clone();
    events.as_array().expect("a list").clone()
}

/// Server-sent events, line by line.
pub(crate) struct Sse {
    next_line: Box<dyn FnMut() -> Option<String> + Send>,
}

/// One of them, or any other lines that stand between empty lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) id: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) data: Option<String>,
    pub(crate) retry: Option<String>,
    pub(crate) comments: usize,
}

impl Sse {
    /// Follows events, from the next one or from where `query` says.
    pub(crate) fn open(
        client: Client<impl Read + Write + Send + 'static>,
        sign: &str,
        query: &str,
    ) -> Self {
        Self::open_with(client, sign, query, "").1
    }

    /// The same with more header fields; the head of the answer, too.
    pub(crate) fn open_with(
        mut client: Client<impl Read + Write + Send + 'static>,
        sign: &str,
        query: &str,
        fields: &str,
    ) -> (Answer, Self) {
        let request = signed("GET", &format!("/events?{query}"), sign);
        let fields = format!("\r\nAccept: text/event-stream\r\n{fields}\r\n");
        client.send(request.replacen("\r\n\r\n", &fields, 1));
        let head = client.answer_to_head();
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        let mut sse = Self::after(client);
        let first = sse.frame().expect("the time to come back after");
        assert_eq!(first.retry.as_deref(), Some("2000"));
        (head, sse)
    }

    /// Follows what comes after the head of an answer.
    pub(crate) fn after(mut client: Client<impl Read + Write + Send + 'static>) -> Self {
        let mut lines = BufReader::new(Cursor::new(client.unread()).chain(client.stream));
        Self {
            next_line: Box::new(move || {
                let mut line = String::new();
                let count = lines.read_line(&mut line).expect("something comes");
                (count > 0).then_some(line)
            }),
        }
    }

    /// Follows what a process prints.
    pub(crate) fn of(mut process: Listener) -> Self {
        Self {
            next_line: Box::new(move || process.try_line()),
        }
    }

    /// What comes next, or `None` at the end.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let (frame, whole) = self.frame_or_part();
        assert!(whole || frame == Frame::default(), "cut short");
        whole.then_some(frame)
    }

    /// What comes next, and whether it is whole: at the end of the stream there is no more of it.
    pub(crate) fn frame_or_part(&mut self) -> (Frame, bool) {
        let mut frame = Frame::default();
        while let Some(line) = (self.next_line)() {
            let line = line.trim_end_matches('\n');
            if line.is_empty() {
                return (frame, true);
            }
            let (field, value) = line.split_once(':').expect("a field");
            let value = Some(value.strip_prefix(' ').unwrap_or(value).to_owned());
            match field {
                "id" => frame.id = value,
                "event" => frame.event = value,
                "data" => frame.data = value,
                "retry" => frame.retry = value,
                "" => frame.comments += 1,
                other => panic!("no such field: {other}"),
            }
        }
        (frame, false)
    }

    /// The next event or gap; what else comes is passed over.
    pub(crate) fn event(&mut self) -> Value {
        loop {
            let frame = self.frame().expect("an event before the end");
            let Some(data) = frame.data else { continue };
            let event: Value = serde_json::from_str(&data).expect("JSON");
            assert_eq!(frame.event.as_deref(), event["name"].as_str());
            let id = event["id"].as_u64().map(|id| id.to_string());
            assert_eq!(frame.id, id, "the place to resume from");
            return event;
        }
    }
}

/// A WebSocket client that is not ours.
pub(crate) struct Ws(pub(crate) WebSocket<TcpStream>);

impl Ws {
    /// Opens one; `target` is a path with a query.
    pub(crate) fn open(address: SocketAddr, sign: &str, target: &str) -> Self {
        Self::try_open(
            address,
            target,
            &[("Authorization", &format!("Bearer {sign}"))],
        )
        .unwrap_or_else(|status| panic!("answered with {status}"))
    }

    /// Opens one with these fields; or the status that came instead.
    pub(crate) fn try_open(
        address: SocketAddr,
        target: &str,
        fields: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let url = format!("ws://{address}{target}");
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in fields {
            let value = value.parse().expect("a field's value");
            request.headers_mut().insert(*name, value);
        }
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a socket option");
        match tungstenite::client::client(request, stream) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
                Err(answer.status().as_u16())
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// The next text message, as JSON.
    pub(crate) fn event(&mut self) -> Value {
        loop {
            match self.0.read().expect("a message before the end") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("not what was expected: {other:?}"),
            }
        }
    }

    pub(crate) fn say(&mut self, what: &Value) {
        self.0
            .send(Message::text(what.to_string()))
            .expect("the server takes it");
    }

    /// The code with which the server ends it; messages before that are passed over.
    pub(crate) fn close_code(&mut self) -> u16 {
        loop {
            match self.0.read().expect("a close frame before the end") {
                Message::Close(Some(frame)) => return frame.code.into(),
                Message::Close(None) => panic!("closed without a code"),
                _ => {}
            }
        }
    }
}

/// A process that follows events; it ends with the test.
pub(crate) struct Listener {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Listener {
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            while stdout.read_line(&mut line).is_ok_and(|count| count > 0) {
                if sender.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// `curl -N` on server-sent events.
    pub(crate) fn curl(address: SocketAddr, sign: &str, query: &str) -> Self {
        let mut curl = Command::new("curl");
        curl.args(["-sN", "--noproxy", "*", "-H", "Accept: text/event-stream"]);
        curl.args(["-H", &format!("Authorization: Bearer {sign}")]);
        curl.arg(format!("http://{address}/events?{query}"));
        Self::start(&mut curl)
    }

    /// The Python example that follows events over a WebSocket.
    pub(crate) fn python(address: SocketAddr, sign: &str, since: u64) -> Self {
        let mut python = Command::new("python3");
        python.arg(in_project("docs/examples/follow.py"));
        python.args(["--since", &since.to_string()]);
        python.arg(format!("ws://{address}/events"));
        python.env("USER_SIGN", sign);
        Self::start(&mut python)
    }

    /// The next line that it prints, or `None` at its end.
    pub(crate) fn try_line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line.trim_end().to_owned()),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it prints nothing"),
        }
    }

    pub(crate) fn line(&mut self) -> String {
        self.try_line().expect("a line before its end")
    }

    /// The next line, as JSON.
    pub(crate) fn event(&mut self) -> Value {
        serde_json::from_str(&self.line()).expect("JSON")
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
