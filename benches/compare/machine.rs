//! The machine that a bench runs on: what it is, and which program runs on which core.

use std::fs;
use std::process::Command;
use std::time::SystemTime;

/// The server's core, and the client's.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) server: &'static str,
    pub(crate) client: &'static str,
}

pub(crate) const CORES: Cores = Cores {
    server: "0",
    client: "1",
};

/// Puts this process on the client's core.
pub(crate) fn pin_self(cores: Cores) -> Result<(), String> {
    let id = std::process::id().to_string();
    let pinned = Command::new("taskset")
        .args(["-c", "-p", cores.client, &id])
        .output();
    match pinned {
        Ok(output) if output.status.success() => Ok(()),
        _ => Err(format!("cannot run on core {}", cores.client)),
    }
}

/// When and on what.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |line| {
            line.trim_start_matches([' ', '\t', ':'])
        });
    let cores = cpuinfo
        .lines()
        .filter(|line| line.starts_with("processor"))
        .count();
    let kernel = read("/proc/sys/kernel/osrelease");
    let date = httpdate::fmt_http_date(SystemTime::now());
    format!("{date}; {cores} cores of {model}; Linux {}", kernel.trim())
}
