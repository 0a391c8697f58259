//! A real nginx on loopback: in front of loopgate, or a server of its own.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    directory: TempDir,
    process: Child,
}

impl Nginx {
    /// Starts it with these lines in its `http` block, where `@PORT@` is the port it is to listen on.
    ///
    /// # Errors
    /// When it is not installed, or does not listen.
    pub(crate) fn start(http: &str) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let directory = tempfile::tempdir().map_err(text)?;
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.map_err(text)?;
        let http = http.replace("@PORT@", &address.port().to_string());
        let configuration = format!(
            "daemon off; master_process off; pid nginx.pid; error_log error.log;\n\
             events {{ }}\n\
             http {{\n\
             log_format line '$request_method $uri $upstream_status';\n\
             access_log access.log line;\n\
             client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c;\n\
             uwsgi_temp_path d; scgi_temp_path e;\n\
             {http}\n}}\n"
        );
        std::fs::write(directory.path().join("nginx.conf"), configuration).map_err(text)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory.path());
        command.args(["-e", "error.log", "-c", "nginx.conf"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let process = command.spawn().map_err(|e| format!("nginx: {e}"))?;
        let mut nginx = Self {
            address,
            directory,
            process,
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            let ended = nginx.process.try_wait().map_err(text)?.is_some();
            if ended || Instant::now() > deadline {
                return Err(format!(
                    "nginx does not listen: {}",
                    nginx.file("error.log")
                ));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(nginx)
    }

    fn file(&self, name: &str) -> String {
        let path: PathBuf = self.directory.path().join(name);
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Ends it; each request that it understood: method, path, and the status that it was answered with from
    /// behind, or `-`.
    pub(crate) fn stop(mut self) -> Vec<String> {
        // Gracefully, so that its log is whole.
        let id = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(id, rustix::process::Signal::QUIT).expect("it is running");
        self.process.wait().expect("it ends");
        self.file("access.log").lines().map(str::to_owned).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whether nginx is there. Where it is not, the test says that it is skipped; unless that is not allowed.
pub(crate) fn is_installed() -> bool {
    let run = Command::new("nginx")
        .arg("-v")
        .stderr(Stdio::null())
        .status();
    if run.is_ok_and(|status| status.success()) {
        return true;
    }
    let required = std::env::var_os("LOOPGATE_TEST_REQUIRE_TOOLS").is_some_and(|v| v == "1");
    assert!(!required, "nginx is not installed");
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: what needs nginx, which is not installed"
    );
    false
}
