//! What RFC 9110, RFC 9112 and RFC 6455 demand of a server, row by row: each sent whole, byte by byte, and cut
//! at every offset; over a network; and with a real nginx in front.
//!
//! `cargo bench --bench conformance` sends the same rows to other servers.

mod answers;
mod behind_nginx;
mod judge;
mod network;
mod nginx;
mod rows;
mod world;

use std::collections::BTreeMap;

use loopgate::reactor::fake::Backend;

use crate::judge::{Who, judge};
use crate::world::World;

/// Fewer, of those that any server can be held to, would be less than there is to say.
const ROWS_MIN: usize = 250;

fn none_fails(wrong: &[String]) {
    let list = wrong.join("\n");
    assert!(wrong.is_empty(), "{} rows fail:\n{list}", wrong.len());
}

#[test]
fn every_row_holds_however_it_is_cut() {
    every_row_holds_however_cut(Backend::Epoll);
}

#[test]
fn every_row_holds_however_it_is_cut_where_directions_are_reported_apart() {
    every_row_holds_however_cut(Backend::Kqueue);
}

fn every_row_holds_however_cut(backend: Backend) {
    let rows = rows::all();
    let mut world = World::new(backend);
    let (mut wrong, mut runs) = (Vec::new(), 0);
    for row in &rows {
        let whole = world.run(row, [&row.sent[..]]);
        if let Err(why) = judge(row, &whole, Who::Loopgate) {
            wrong.push(format!("{}: {why}\n    {:?}", row.name(), whole.answers));
            continue;
        }
        let whole = whole.timeless();
        let bytewise = world.run(row, row.sent.chunks(1)).timeless();
        if bytewise != whole {
            wrong.push(format!(
                "{}: byte by byte {bytewise:?}, not {whole:?}",
                row.name()
            ));
            continue;
        }
        for at in 1..row.sent.len() {
            let (first, second) = row.sent.split_at(at);
            let cut = world.run(row, [first, second]).timeless();
            if cut != whole {
                wrong.push(format!(
                    "{}: cut at {at} {cut:?}, not {whole:?}",
                    row.name()
                ));
                break;
            }
        }
        runs += 1 + row.sent.len();
    }
    println!("{} rows, {runs} connections", rows.len());
    none_fails(&wrong);
}

#[test]
fn every_row_holds_over_a_network() {
    let server = network::Loopgate::start();
    let mut wrong = Vec::new();
    for row in &rows::all() {
        let seen = network::run(row, server.address, Who::Loopgate);
        if let Err(why) = judge(row, &seen, Who::Loopgate) {
            wrong.push(format!("{}: {why}\n    {seen:?}", row.name()));
        }
    }
    none_fails(&wrong);
}

#[test]
fn there_are_rows_for_everything_and_none_twice() {
    let rows = rows::all();
    let for_all = rows.iter().filter(|row| !row.ours).count();
    assert!(
        for_all >= ROWS_MIN,
        "{for_all} rows that are not ours alone"
    );
    let (mut by_name, mut by_bytes) = (BTreeMap::new(), BTreeMap::new());
    for row in &rows {
        let known = by_name.insert(row.name(), row);
        assert!(known.is_none(), "twice: {}", row.name());
        if let Some(known) = by_bytes.insert((&row.sent, format!("{:?}", row.wants)), row) {
            panic!("the same bytes: {} and {}", known.name(), row.name());
        }
        let (rfc, section) = row.section.split_once('-').expect("an RFC and a section");
        assert!(
            ["9110", "9112", "6455", "3986", "6585"].contains(&rfc),
            "{}",
            row.name()
        );
        assert!(
            section.starts_with(|c: char| c.is_ascii_digit()),
            "{}",
            row.name()
        );
    }
}
