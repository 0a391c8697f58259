//! What does it cost that the loop keeps a record of itself, and that a client watches it?

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Options;
use crate::peers::{Kitchen, LOOPGATE, Peer, Started, UNWATCHED, WATCHED, WITHOUT_LEDGER};
use crate::report::{Section, Table};
use crate::requests::{self, HEALTHZ, PIPELINED, SESSION};
use crate::spread::grouped;

/// How often the page asks for the sources at most, while something happens.
const SOURCES_EVERY: Duration = Duration::from_secs(1);

pub(crate) fn measure(kitchen: &Kitchen, options: &Options) -> Result<Section, String> {
    kitchen.build_without_ledger()?;
    // All of them, or there is nothing to compare with.
    let programs = [WITHOUT_LEDGER, LOOPGATE, UNWATCHED, WATCHED]
        .into_iter()
        .map(|peer| Ok((peer, kitchen.start(peer, "", false)?)))
        .collect::<Result<Started, String>>()?;
    let page = Page::open(&kitchen.monitor_of(WATCHED))?;
    let mut table = Table::new(&["server", "request", "CPU ns per request", "× without"]);
    for plan in [&HEALTHZ, &SESSION, &PIPELINED] {
        eprintln!("  {}", plan.title);
        let measured = requests::rounds(plan, &programs, kitchen, options)?;
        for one in &measured {
            table.row([
                name(one.peer).to_owned(),
                plan.title.to_owned(),
                one.spread(|round| round.ns).show(0),
                one.ratio_to(&measured[0]).show_quartiles(3),
            ]);
        }
    }
    drop(programs);
    let (batches, bytes, seconds) = page.close()?;
    Ok(Section {
        title: "The ledger, and a client that watches".into(),
        question: "Every turn, every dispatch and every answer is recorded, always: what does that cost \
                   beside a build that does not, and reads the clock once a turn? And what does a page of the \
                   monitor cost that watches all of it? Ratios are taken within a round; behind the median \
                   are the first and the third quartile."
            .into(),
        tables: vec![table],
        notes: vec![format!(
            "The watcher got {} batches, {} bytes a second, and asked for the sources once a second, as the \
             page does.",
            grouped(batches, 0),
            grouped(bytes / seconds, 0)
        )],
        chart: None,
    })
}

fn name(peer: Peer) -> &'static str {
    if peer == LOOPGATE {
        "as it is"
    } else {
        peer.name
    }
}

/// What the live page does to the server, without the browser around it, which would have the client's core.
struct Page {
    stream: JoinHandle<(f64, f64)>,
    sources: JoinHandle<Result<(), String>>,
    opened: Instant,
}

impl Page {
    fn open(monitor: &Path) -> Result<Self, String> {
        let connect = || {
            UnixStream::connect(monitor).map_err(|error| format!("{}: {error}", monitor.display()))
        };
        let (mut live, mut asking) = (connect()?, connect()?);
        live.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .map_err(|error| error.to_string())?;
        let stream = thread::spawn(move || {
            let (mut batches, mut bytes) = (0.0, 0.0);
            for line in BufReader::new(live).lines().map_while(Result::ok) {
                bytes += line.len() as f64 + 1.0;
                batches += f64::from(u8::from(line == "event: batch"));
            }
            (batches, bytes)
        });
        let sources = thread::spawn(move || {
            let say = |error: std::io::Error| format!("GET /ps: {error}");
            let mut answers = BufReader::new(asking.try_clone().map_err(say)?);
            let request =
                b"GET /ps HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n";
            let mut chunk = String::new();
            loop {
                // It ends when the server does.
                if asking.write_all(request).is_err() {
                    return Ok(());
                }
                // The answer comes in chunks; the last one is empty.
                while chunk != "0\r\n" {
                    chunk.clear();
                    if answers.read_line(&mut chunk).is_ok_and(|bytes| bytes == 0) {
                        return Ok(());
                    }
                    if chunk.starts_with("HTTP/1.1 ") && !chunk.starts_with("HTTP/1.1 200") {
                        return Err(format!("GET /ps was answered {chunk}"));
                    }
                }
                chunk.clear();
                thread::sleep(SOURCES_EVERY);
            }
        });
        Ok(Self {
            stream,
            sources,
            opened: Instant::now(),
        })
    }

    /// Once the server has ended: batches, bytes, seconds.
    fn close(self) -> Result<(f64, f64, f64), String> {
        let seconds = self.opened.elapsed().as_secs_f64();
        let (batches, bytes) = self.stream.join().expect("no panic");
        self.sources.join().expect("no panic")?;
        if batches < 1.0 {
            return Err("the watcher got nothing".into());
        }
        Ok((batches, bytes, seconds))
    }
}
