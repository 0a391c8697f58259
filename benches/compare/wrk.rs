//! wrk, on the client's core. A run with a failed answer or a socket error is void.

use std::net::SocketAddr;
use std::process::Command;

use crate::Cores;

/// What wrk is to do.
#[derive(Clone)]
pub(crate) struct Load {
    /// A script of `benches/wrk`, without its ending.
    pub(crate) script: &'static str,
    pub(crate) threads: usize,
    pub(crate) connections: usize,
    pub(crate) seconds: usize,
    /// What the script reads.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// What it saw.
#[derive(Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) requests: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Load {
    /// Runs to its end.
    ///
    /// # Errors
    /// What wrk printed, if anything failed.
    pub(crate) fn run(&self, address: SocketAddr, cores: Cores) -> Result<Seen, String> {
        let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/wrk");
        let output = Command::new("taskset")
            .args(["-c", cores.client, "wrk", "--timeout", "10s", "--latency"])
            .arg(format!("-t{}", self.threads))
            .arg(format!("-c{}", self.connections))
            .arg(format!("-d{}s", self.seconds))
            .args(["-s", &format!("{scripts}/{}.lua", self.script)])
            .arg(format!("http://{address}"))
            .env("LOOPGATE_WRK", scripts)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .map_err(|error| format!("taskset and wrk: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let result = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let number = |name: &str| -> Option<f64> {
            let fields = result?.split(' ').filter_map(|field| field.split_once('='));
            fields
                .filter(|(field, _)| *field == name)
                .find_map(|(_, value)| value.parse().ok())
        };
        let seen = || {
            Some(Seen {
                requests: number("requests")?,
                seconds: number("duration_us")? / 1e6,
                p50_us: number("p50_us")?,
                p99_us: number("p99_us")?,
            })
        };
        match seen() {
            Some(seen) if output.status.success() => Ok(seen),
            _ => Err(format!(
                "wrk -s {}.lua -c{} failed, so the run is void:\n{text}{}",
                self.script,
                self.connections,
                String::from_utf8_lossy(&output.stderr)
            )),
        }
    }
}
