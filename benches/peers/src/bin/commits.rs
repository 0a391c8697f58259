//! The floor of login and logout: what SQLite takes to put their rows on disk, and nothing else.
//!
//! `commits FILE CLIENTS SECONDS`: as if CLIENTS clients logged in at once and then out at once, each
//! time in one commit. FILE must not exist. The tables, the settings and the statements are those of
//! `src/work/store`; what is missing is its savepoint for each transaction, its queue and its JSON
//! library. The events are trimmed as there, so the file does not grow without end. The system's
//! allocator, as in the server.

use std::error::Error;
use std::time::{Duration, Instant};
use std::{env, fs};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

/// `src/work/store/sqlite/schema.rs`, word for word.
const TABLES: &str = "
    CREATE TABLE users (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL,
        password TEXT NOT NULL,
        created_s INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE sessions (
        hash BLOB PRIMARY KEY NOT NULL,
        sid BLOB NOT NULL,
        user_id INTEGER NOT NULL REFERENCES users (id),
        key_id INTEGER NOT NULL,
        issued_s INTEGER NOT NULL,
        last_used_s INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        unix_ms INTEGER NOT NULL,
        name TEXT NOT NULL,
        sender TEXT NOT NULL,
        user_id INTEGER,
        data TEXT NOT NULL
    ) STRICT;
";
const PASSWORD: &str = "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$\
                        nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
/// The server's default.
const EVENTS_KEPT_MAX: i64 = 100_000;
const NOW_S: i64 = 1_795_326_480;

// The data of both events, as long as the server's.
const LOGGED_IN: &str = r#"{"address":"127.0.0.1","session_id":"dGhlIG9ubHkgc2Vzc2lvbg","user_id":"1","username":"admin"}"#;
const LOGGED_OUT: &str = r#"{"everywhere":false,"session_id":"dGhlIG9ubHkgc2Vzc2lvbg","user_id":"1","username":"admin"}"#;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [file, clients, seconds] = args.as_slice() else {
        return Err("usage: commits FILE CLIENTS SECONDS".into());
    };
    let clients: usize = clients.parse()?;
    let time = Duration::try_from_secs_f64(seconds.parse()?)?;
    fs::File::create_new(file)?;

    let mut store = Store {
        connection: open(file)?,
        last_event_id: 0,
    };
    let mut random = SplitMix(0);
    let (mut commits, mut changes) = (0_u64, 0_u64);
    let start = Instant::now();
    while start.elapsed() < time {
        let hashes: Vec<[u8; 32]> = (0..clients).map(|_| random.bytes()).collect();
        store.log_in(&hashes, &mut random)?;
        store.log_out(&hashes)?;
        commits += 2;
        changes += 2 * clients as u64;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("commits {commits} changes {changes} seconds {seconds:.6}");
    Ok(())
}

fn open(file: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(TABLES)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.execute(
        "INSERT INTO users (name, role, password, created_s) VALUES ('admin', 'admin', ?1, ?2)",
        (PASSWORD, NOW_S),
    )?;
    Ok(connection)
}

struct Store {
    connection: Connection,
    last_event_id: i64,
}

impl Store {
    fn log_in(&mut self, hashes: &[[u8; 32]], random: &mut SplitMix) -> rusqlite::Result<()> {
        let sql = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut add_session = sql.prepare_cached(
            "INSERT INTO sessions (hash, sid, user_id, key_id, issued_s, last_used_s) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for hash in hashes {
            let sid: [u8; 16] = random.bytes();
            add_session.execute((hash, sid, 1, 1, NOW_S, NOW_S))?;
            self.last_event_id += 1;
            add_event(
                &sql,
                self.last_event_id,
                "user.logged_in",
                "login",
                LOGGED_IN,
            )?;
        }
        drop(add_session);
        trim_and_commit(sql, self.last_event_id)
    }

    fn log_out(&mut self, hashes: &[[u8; 32]]) -> rusqlite::Result<()> {
        let sql = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut remove_session = sql.prepare_cached("DELETE FROM sessions WHERE hash = ?1")?;
        for hash in hashes {
            remove_session.execute((hash,))?;
            self.last_event_id += 1;
            add_event(
                &sql,
                self.last_event_id,
                "user.logged_out",
                "logout",
                LOGGED_OUT,
            )?;
        }
        drop(remove_session);
        trim_and_commit(sql, self.last_event_id)
    }
}

fn add_event(
    sql: &Transaction,
    id: i64,
    name: &str,
    sender: &str,
    data: &str,
) -> rusqlite::Result<()> {
    sql.prepare_cached(
        "INSERT INTO events (id, unix_ms, name, sender, user_id, data) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute((id, NOW_S * 1000, name, sender, 1, data))?;
    Ok(())
}

fn trim_and_commit(sql: Transaction, last_event_id: i64) -> rusqlite::Result<()> {
    sql.prepare_cached("DELETE FROM events WHERE id <= ?1")?
        .execute(((last_event_id - EVENTS_KEPT_MAX).max(0),))?;
    sql.commit()
}

/// SplitMix64: hashes and ids are spread as the server's are, which is all that matters to a tree.
struct SplitMix(u64);

impl SplitMix {
    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
        bytes
    }
}
