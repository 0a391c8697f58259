//! What does a connection hold that says nothing?

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::Options;
use crate::peers::{self, Kitchen};
use crate::program::{Program, connect};
use crate::report::{Section, Table};
use crate::requests::GET_HEALTHZ;
use crate::spread::grouped;

const CONNECTIONS: usize = 10_000;

pub(crate) fn measure(kitchen: &Kitchen, options: &Options) -> Result<Section, String> {
    let answer = kitchen.answer_to(GET_HEALTHZ)?;
    let mut table = Table::new(&["server", "bytes per connection", "in all, MiB"]);
    let mut notes = Vec::new();
    let wanted = peers::ALL.into_iter();
    for peer in wanted.filter(|peer| options.wants(peer.name)) {
        match kitchen.start(peer, &answer, false) {
            Ok(program) => {
                let (each, all) = bytes_of_idle(&program);
                eprintln!("  {} {each:.0} bytes", peer.name);
                table.row([
                    peer.name.to_owned(),
                    grouped(each, 0),
                    grouped(all / 1024.0 / 1024.0, 1),
                ]);
            }
            Err(error) => notes.push(format!("{}: {error}", peer.name)),
        }
    }
    notes.push(
        "Growth of the process's anonymous memory (`RssAnon`), so in pages and with what the allocator \
         keeps: whether it is in use is not asked. The kernel's part, some kilobytes for each socket, \
         is the same for all. Measured once; it does not vary."
            .into(),
    );
    Ok(Section {
        title: "Memory of 10,000 idle connections".into(),
        question: "Each has asked once and been answered, and is kept open.".into(),
        tables: vec![table],
        notes,
        chart: None,
    })
}

/// What an idle connection takes, and what the process has in all with that many of them.
fn bytes_of_idle(program: &Program) -> (f64, f64) {
    // Some at first, for what a server allocates once.
    let first: Vec<TcpStream> = (0..100).map(|_| open(program)).collect();
    let before = program.memory_bytes();
    let idle: Vec<TcpStream> = (0..CONNECTIONS).map(|_| open(program)).collect();
    let after = program.memory_bytes();
    drop((first, idle));
    ((after - before) / CONNECTIONS as f64, after)
}

fn open(program: &Program) -> TcpStream {
    let mut stream = connect(program.address);
    stream.write_all(GET_HEALTHZ.as_bytes()).expect("it reads");
    let mut bytes = [0; 1024];
    let count = stream.read(&mut bytes).expect("it answers");
    assert!(count > 0, "it closed an idle connection");
    stream
}
