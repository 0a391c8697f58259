//! A server under test: a process on a core of its own, and what the kernel charges it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Cores;

/// How long a program may take to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process that serves. It is killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What opens its `GET /session`, if it said.
    pub(crate) sign: Option<String>,
    last_words: Option<JoinHandle<String>>,
}

/// What the kernel has charged a process so far.
#[derive(Clone, Copy)]
pub(crate) struct Cpu {
    /// Nanoseconds on a core, of all threads.
    pub(crate) all_ns: f64,
    /// Of that, the main thread's, which is the loop where the program has one.
    pub(crate) main_ns: f64,
    /// Clock ticks in the program's own code and in the kernel. Their sum is coarse, their ratio good.
    user_ticks: f64,
    system_ticks: f64,
}

impl Cpu {
    /// The part of the time since `before` that was spent in the program's own code.
    pub(crate) fn user_share(&self, before: &Self) -> f64 {
        let user = self.user_ticks - before.user_ticks;
        user / (user + self.system_ticks - before.system_ticks).max(1.0)
    }
}

impl Program {
    /// Starts a program that says where it listens: `listening on http://ADDRESS`, on stdout.
    pub(crate) fn start(command: &Command, cores: Option<Cores>) -> Result<Self, String> {
        let (mut child, stderr) = spawn(command, cores)?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let mut sign = None;
        let address = loop {
            let Some(Ok(line)) = lines.next() else {
                let _ = child.kill();
                let words = stderr.join().unwrap_or_default();
                return Err(format!("{command:?} does not listen: {words}"));
            };
            if let Some(token) = line.strip_prefix("sign ") {
                sign = Some(token.to_owned());
            }
            if let Some(address) = line.strip_prefix("listening on http://") {
                break address.parse().map_err(|_| format!("no address: {line}"))?;
            }
        };
        // What it still says is of no interest, but it must be able to say it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self {
            child,
            address,
            sign,
            last_words: Some(stderr),
        })
    }

    /// Starts a program that does not say so, on an address that was chosen for it.
    pub(crate) fn start_at(
        command: &Command,
        cores: Option<Cores>,
        address: SocketAddr,
    ) -> Result<Self, String> {
        let (child, stderr) = spawn(command, cores)?;
        let mut program = Self {
            child,
            address,
            sign: None,
            last_words: Some(stderr),
        };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > until || program.has_ended() {
                return Err(format!("{command:?} does not listen: {}", program.stop()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(program)
    }

    /// What the kernel has charged it so far. Threads that have ended are not in it.
    pub(crate) fn cpu(&self) -> Cpu {
        let id = self.child.id();
        let ns = |path: &Path| {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            first_number(&text)
        };
        let tasks = std::fs::read_dir(format!("/proc/{id}/task")).expect("it runs");
        let all_ns = tasks
            .filter_map(Result::ok)
            .map(|task| ns(&task.path().join("schedstat")))
            .sum();
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("it runs");
        // Behind the name, which may have spaces: state is field 3 of proc(5), utime and stime are 14
        // and 15.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |field: usize| fields[field - 3].parse().expect("a number of ticks");
        Cpu {
            all_ns,
            main_ns: ns(Path::new(&format!("/proc/{id}/task/{id}/schedstat"))),
            user_ticks: ticks(14),
            system_ticks: ticks(15),
        }
    }

    /// Bytes of memory that are its own: neither shared nor a file's.
    pub(crate) fn memory_bytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let anonymous = status.lines().find_map(|l| l.strip_prefix("RssAnon:"));
        first_number(anonymous.expect("Linux 4.5 or newer").trim_start()) * 1024.0
    }

    /// Its process id.
    #[allow(dead_code, reason = "one bench asks, the other does not")]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The same as [`stop`](Self::stop); whether its exit code is 0, too.
    #[allow(dead_code, reason = "one bench asks, the other does not")]
    pub(crate) fn end_well(&mut self) -> (String, bool) {
        let said = self.stop();
        let status = self.child.try_wait();
        (said, matches!(status, Ok(Some(status)) if status.success()))
    }

    /// Ends it as a supervisor does; what it said on stderr.
    pub(crate) fn stop(&mut self) -> String {
        let id = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        let until = Instant::now() + PATIENCE;
        while !self.has_ended() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.end()
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn end(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let words = self.last_words.take().map(JoinHandle::join);
        words.and_then(Result::ok).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(command: &Command, cores: Option<Cores>) -> Result<(Child, JoinHandle<String>), String> {
    let mut pinned = Command::new(if cores.is_some() { "taskset" } else { "env" });
    if let Some(cores) = cores {
        pinned.args(["-c", cores.server]);
    }
    pinned.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        pinned.env(name, value.unwrap_or_default());
    }
    let mut child = pinned
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let mut stderr = child.stderr.take().expect("it is piped");
    let words = std::thread::spawn(move || {
        let mut words = Vec::new();
        let _ = stderr.read_to_end(&mut words);
        String::from_utf8_lossy(&words).into_owned()
    });
    Ok((child, words))
}

fn first_number(text: &str) -> f64 {
    text.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0.0)
}

/// A connection that waits for nothing for ever.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_nodelay(true).expect("a socket option");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("a socket option");
    stream
}

/// Sends a request and reads the one answer to it, head and body.
pub(crate) fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    let mut answer = Vec::new();
    loop {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).expect("the server answers");
        answer.extend_from_slice(&bytes[..count]);
        if count == 0 || is_whole(&answer) {
            return String::from_utf8_lossy(&answer).into_owned();
        }
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let value = name.eq_ignore_ascii_case("content-length").then_some(value);
        value?.parse::<usize>().ok()
    });
    body.len() >= length.unwrap_or(0)
}

/// A login's signature.
pub(crate) fn log_in(address: SocketAddr) -> String {
    let body = r#"{"username":"admin","password":"password"}"#;
    let request = format!(
        "POST /login HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = ask(&mut connect(address), &request);
    let sign = answer.split("\"user_sign\":\"").nth(1);
    let sign = sign.and_then(|rest| rest.split('"').next());
    sign.unwrap_or_else(|| panic!("no login: {answer}"))
        .to_owned()
}
