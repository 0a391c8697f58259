//! Servers to talk to, in a thread of the test or as the real program, and a client that sees bytes.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use loopgate::app::Reply;
use loopgate::config::{Config, HashCost, ListenAddr, StorePath};
use loopgate::http::Method;
use loopgate::ledger::TurnRecord;
use loopgate::server::{Handle, Server, Stopped, raise_descriptor_limit};
use loopgate::work::{Change, Store, Transaction, password};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long anything may take before the test says that it never happened.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration for tests: loopback, port 0, hashes that cost nothing.
pub(crate) fn config() -> Config {
    Config {
        listen: vec![ListenAddr::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))],
        hash_cost: HashCost::TOKEN,
        workers: 1,
        ..Config::default()
    }
}

/// A store with the users `admin` (role admin), `alice`, and `button` (role producer), all with the
/// password `password`.
pub(crate) fn store(config: &Config) -> Store {
    let mut store = Store::open(&config.store, config).expect("the store opens");
    if store.load().expect("the store loads").users.is_empty() {
        let users = [
            ("admin", "admin"),
            ("alice", "user"),
            ("button", "producer"),
        ];
        let changes = users.map(|(name, role)| Change::AddUser {
            name: name.into(),
            role: role.into(),
            password: password::hash(b"password", [7; 16], config.hash_cost),
            created_s: 0,
        });
        let transaction = Transaction {
            changes: changes.into(),
            ..Transaction::default()
        };
        store.apply(transaction).expect("users are added");
    }
    store
}

/// How many descriptors all tests of this process may have open together, as far as it may be raised. Both ends of a
/// connection to a [`TestServer`] are in it, and some systems begin with 256.
pub(crate) fn descriptors() -> Option<u64> {
    static LIMIT: OnceLock<Option<u64>> = OnceLock::new();
    *LIMIT.get_or_init(raise_descriptor_limit)
}

/// A server in a thread of its own.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    handle: Handle,
    thread: Option<JoinHandle<Ended>>,
}

/// What a server leaves behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) stopped: Stopped,
    /// The turns that its ledger remembers, oldest first.
    pub(crate) turns: Vec<TurnRecord>,
    /// What held the loop for long: the name of the route, and how long it took.
    pub(crate) slow: Vec<(String, Duration)>,
}

impl Ended {
    fn of(stopped: Stopped, server: &mut Server) -> Self {
        let ledger = server.ledger();
        let slow = ledger.slow().map(|record| {
            let took = Duration::from_nanos(record.dispatch.duration_ns);
            (ledger.name(record.dispatch.label).to_owned(), took)
        });
        Self {
            stopped,
            turns: ledger.turns().copied().collect(),
            slow: slow.collect(),
        }
    }
}

impl TestServer {
    /// A server with the users of [`store`] and nothing else.
    pub(crate) fn start() -> Self {
        Self::with(config(), |_| {})
    }

    /// The same, after `prepare` has added handlers and subscribers to it.
    pub(crate) fn with(config: Config, prepare: impl FnOnce(&mut Server) + Send + 'static) -> Self {
        descriptors();
        let (started, start) = mpsc::channel();
        let thread = thread::spawn(move || {
            let store = store(&config);
            let mut server = Server::with_store(config, store).expect("the server starts");
            server.ledger().remember_more();
            prepare(&mut server);
            let (ListenAddr::Tcp(address) | ListenAddr::Tls(address)) = server.addresses()[0]
            else {
                panic!("not TCP")
            };
            started
                .send((address, server.handle()))
                .expect("the test waits");
            let stopped = server.run().expect("the loop turns");
            // What another process would go on with: it is told what it has not taken yet.
            for passed in server.take_passed() {
                let _ = TcpStream::from(passed.descriptor).write_all(&passed.output);
            }
            Ended::of(stopped, &mut server)
        });
        let (address, handle) = start.recv_timeout(PATIENCE).expect("the server starts");
        Self {
            address,
            handle,
            thread: Some(thread),
        }
    }

    /// A server whose one worker is held.
    pub(crate) fn held(config: Config) -> (Self, Hold) {
        let (hold, prepare) = Hold::new();
        let server = Self::with(config, prepare);
        // The client may go: its job goes on.
        server.connect().send(get("/hold"));
        hold.wait();
        (server, hold)
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Returns when the loop has read everything that was sent before.
    pub(crate) fn catch_up(&self) {
        catch_up(self.address);
    }

    /// Begins to drain, and does not wait for the end.
    pub(crate) fn drain(&self) {
        self.handle.drain();
    }

    /// Begins to hand over, and does not wait for the end.
    pub(crate) fn hand_over(&self) {
        self.handle.hand_over();
    }

    /// Drains, and waits for the end.
    pub(crate) fn stop(mut self) -> Ended {
        self.handle.drain();
        self.thread
            .take()
            .expect("it was not stopped before")
            .join()
            .expect("no panic")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.handle.drain();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A stranger is accepted behind all who came before, and answered at the end of a turn in which
/// all were read that had sent something: so the answer tells that the loop has seen them.
fn catch_up(address: SocketAddr) {
    assert_eq!(Client::connect(address).ask(get("/healthz")).status, 200);
}

/// `GET /hold`, a handler whose job keeps a worker busy until it is let go.
pub(crate) struct Hold {
    begun: mpsc::Receiver<()>,
    let_go: mpsc::Sender<()>,
}

impl Hold {
    /// The hold, and what [`TestServer::with`] needs to know of it.
    pub(crate) fn new() -> (Self, impl FnOnce(&mut Server) + Send + 'static) {
        let (tell, begun) = mpsc::channel();
        let (let_go, gone) = mpsc::channel();
        let gone = std::sync::Arc::new(Mutex::new(gone));
        let prepare = move |server: &mut Server| {
            server.on(Method::Get, "/hold", move |_, _| {
                let (tell, gone) = (tell.clone(), gone.clone());
                let job = move || {
                    let _ = tell.send(());
                    // With an end, so that a test that fails does not hang.
                    let _ = gone.lock().unwrap().recv_timeout(PATIENCE);
                };
                Reply::later(job, |_, _| Reply::text(200, "let go"))
            });
        };
        (Self { begun, let_go }, prepare)
    }

    /// Returns when a worker is held.
    pub(crate) fn wait(&self) {
        self.begun.recv_timeout(PATIENCE).expect("a worker is held");
    }

    /// Lets one worker go.
    pub(crate) fn let_go(&self) {
        self.let_go.send(()).expect("the server is there");
    }
}

/// The real program, in a directory of its own.
pub(crate) struct Program {
    pub(crate) address: SocketAddr,
    /// What it printed before it listened.
    pub(crate) said: String,
    child: Child,
    directory: Directory,
}

/// Where a program's files are: the store `store.db`, its key, the log `log`.
#[derive(Clone)]
pub(crate) struct Directory(std::rc::Rc<TempDir>);

impl Directory {
    pub(crate) fn new() -> Self {
        Self(std::rc::Rc::new(tempfile::tempdir().expect("a directory")))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("store.db")
    }

    /// `loopgate` with these arguments, on this directory's store, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loopgate"));
        command
            .arg("--store")
            .arg(self.store())
            .args(arguments)
            .current_dir(self.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LOOPGATE_")) {
            command.env_remove(name);
        }
        command.env_remove("RUST_LOG");
        command
    }

    /// Adds the users of [`store`], with hashes that cost nothing.
    pub(crate) fn add_users(&self) {
        let store_path = StorePath::File(self.store());
        store(&Config {
            store: store_path,
            ..config()
        });
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }
}

impl Program {
    /// Starts it on a new store with the users of [`store`].
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = Directory::new();
        directory.add_users();
        Self::start_in(&directory, arguments)
    }

    /// Starts it on whatever store the directory has.
    pub(crate) fn start_in(directory: &Directory, arguments: &[&str]) -> Self {
        let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--log", "log"]);
        command.args(arguments);
        Self::spawn(directory, command)
    }

    /// Starts a command that ends in this program serving.
    pub(crate) fn spawn(directory: &Directory, mut command: Command) -> Self {
        descriptors();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                let status = child.wait().expect("it ended");
                panic!(
                    "the program ended before it listened: {status}\n{}",
                    directory.log()
                );
            };
            let address = line.strip_prefix("listening on http");
            if let Some(address) = address.and_then(|rest| rest.split("://").nth(1)) {
                break address.parse().expect("an address");
            }
            said.push_str(&line);
            said.push('\n');
        };
        Self {
            address,
            said,
            child,
            directory: directory.clone(),
        }
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Returns when the loop has read everything that was sent before.
    pub(crate) fn catch_up(&self) {
        catch_up(self.address);
    }

    /// Time on a core that all its threads have had.
    #[cfg(target_os = "linux")]
    pub(crate) fn cpu_time(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let nanoseconds = tasks.expect("it is running").map(|task| {
            let path = task.expect("a thread").path().join("schedstat");
            let text = std::fs::read_to_string(path).unwrap_or_default();
            let first = text.split(' ').next().unwrap_or_default();
            first.parse::<u64>().unwrap_or_default()
        });
        let time = Duration::from_nanos(nanoseconds.sum());
        assert!(!time.is_zero(), "the system does not tell");
        time
    }

    /// Memory that it has at the moment.
    #[cfg(target_os = "linux")]
    pub(crate) fn memory_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it is running");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let digits = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = digits.and_then(|digits| digits.parse().ok()).expect("KiB");
        kib * 1024
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is running");
    }

    /// Kills it with SIGKILL and waits for its end.
    pub(crate) fn kill(mut self) -> Directory {
        self.child.kill().expect("it is running");
        self.child.wait().expect("it ends");
        self.directory.clone()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_until("the program ends", || {
            self.child.try_wait().expect("it is our child")
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks until there is an answer: for what cannot be waited for in any other way.
pub(crate) fn wait_until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

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
