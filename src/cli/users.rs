//! `loopgate user`.

use std::collections::HashSet;
use std::fs;
use std::io::{self, BufRead};
use std::path::Path;
use std::sync::mpsc;
use std::thread::available_parallelism;

use indicatif::{ProgressBar, ProgressStyle};
use loopgate::app::users::{check_name, check_password};
use loopgate::config::{HashCost, StorePath};
use loopgate::event::rfc3339;
use loopgate::reactor::{Clock, OsClock, OsEntropy, random};
use loopgate::work::password::{Kinds, check_phc, hash};
use loopgate::work::{Change, Pool, Store, StoreError, Threads, Transaction, UserRow};

use super::options::{Role, UserCommand};
use super::output::{count, print};
use super::{Ending, Failure};

pub(super) fn user(store: &StorePath, command: UserCommand) -> Result<Ending, Failure> {
    if *store == StorePath::Memory {
        return Err("a store in memory keeps no users; name a file with --store".into());
    }
    let makes_users = matches!(
        command,
        UserCommand::Add { .. } | UserCommand::Import { .. }
    );
    if let StorePath::File(path) = store
        && !makes_users
        && !path.exists()
    {
        let path = path.display();
        return Err(format!("there is no store {path}; name it with --store").into());
    }
    match command {
        UserCommand::Add {
            name,
            role,
            password_stdin,
        } => {
            check_name(&name)?;
            // First, so that a command that fails does not create a store.
            let password = read_password(&name, password_stdin)?;
            let mut store = open(store)?;
            add_user(
                &mut store,
                &name,
                role.name(),
                password.as_bytes(),
                HashCost::DEFAULT,
            )?;
            print(format_args!("added {} {name}", role.name()))?;
        }
        UserCommand::Passwd {
            name,
            password_stdin,
        } => {
            let mut store = open(store)?;
            let user = find(&mut store, &name)?;
            let password = hashed(
                read_password(&name, password_stdin)?.as_bytes(),
                HashCost::DEFAULT,
            );
            let sessions = sessions_of(&mut store, user.id)?;
            let ended = count(sessions.len() as u64, "session", "sessions");
            change(
                &mut store,
                vec![
                    Change::SetPassword {
                        user_id: user.id,
                        password,
                    },
                    Change::RemoveSessions(sessions),
                ],
            )?;
            print(format_args!(
                "changed the password of {name}, ended {ended}"
            ))?;
        }
        UserCommand::Remove { name } => {
            let mut store = open(store)?;
            let user = find(&mut store, &name)?;
            change(&mut store, vec![Change::RemoveUser { user_id: user.id }])?;
            print(format_args!("removed {name}"))?;
        }
        UserCommand::List => list(&mut open(store)?)?,
        UserCommand::Import { file } => import(&mut open(store)?, &file)?,
    }
    Ok(Ending::Done)
}

/// Adds one user to an open store.
pub(super) fn add_user(
    store: &mut Store,
    name: &str,
    role: &str,
    password: &[u8],
    cost: HashCost,
) -> Result<(), Failure> {
    change(store, vec![adding(name, role, hashed(password, cost))])
}

fn open(store: &StorePath) -> Result<Store, StoreError> {
    Store::open(store, u64::MAX)
}

fn change(store: &mut Store, changes: Vec<Change>) -> Result<(), Failure> {
    store.apply(Transaction {
        changes,
        ..Transaction::default()
    })?;
    Ok(())
}

fn adding(name: &str, role: &str, password: String) -> Change {
    let created_s = (OsClock::default().unix_ms() / 1000).cast_signed();
    Change::AddUser {
        name: name.into(),
        role: role.into(),
        password,
        created_s,
    }
}

fn hashed(password: &[u8], cost: HashCost) -> String {
    hash(password, random(&mut OsEntropy), cost)
}

fn find(store: &mut Store, name: &str) -> Result<UserRow, Failure> {
    let users = store.load()?.users;
    users
        .into_iter()
        .find(|user| user.name == name)
        .ok_or_else(|| format!("there is no user {name:?}; `loopgate user list` lists them").into())
}

fn sessions_of(store: &mut Store, user_id: i64) -> Result<Vec<[u8; 32]>, StoreError> {
    let sessions = store.load()?.sessions.into_iter();
    Ok(sessions
        .filter(|row| row.user_id == user_id)
        .map(|row| row.hash)
        .collect())
}

/// Asks for a password twice without echo, or reads the first line of stdin.
fn read_password(name: &str, from_stdin: bool) -> Result<String, Failure> {
    let password = if from_stdin {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        let why = |error| format!("cannot ask for a password: {error}; use --password-stdin");
        let password = rpassword::prompt_password(format!("Password for {name}: ")).map_err(why)?;
        if rpassword::prompt_password("Again: ").map_err(why)? != password {
            return Err("the two passwords differ; nothing was changed".into());
        }
        password
    };
    check_password(password.as_bytes())?;
    Ok(password)
}

fn list(store: &mut Store) -> Result<(), Failure> {
    let mut users = store.load()?.users;
    users.sort_by(|a, b| a.name.cmp(&b.name));
    print(format_args!(
        "{:>6}  {:<9}  {:<24}  name",
        "id", "role", "created"
    ))?;
    for UserRow {
        id,
        name,
        role,
        created_s,
        ..
    } in users
    {
        let created = rfc3339(created_s.max(0).cast_unsigned() * 1000);
        print(format_args!("{id:>6}  {role:<9}  {created}  {name}"))?;
    }
    Ok(())
}

/// A line of the file to import.
#[derive(serde::Deserialize)]
struct Line {
    username: String,
    password: String,
    #[serde(default)]
    role: String,
}

/// Adds all users of the file in one transaction, after all lines were checked.
fn import(store: &mut Store, file: &Path) -> Result<(), Failure> {
    let lines = read_lines(file, store)?;
    let users = count(lines.len() as u64, "user", "users");
    let changes = hash_all(lines)?;
    change(store, changes)?;
    print(format_args!("imported {users}"))?;
    Ok(())
}

fn read_lines(file: &Path, store: &mut Store) -> Result<Vec<Line>, Failure> {
    let shown = file.display();
    let text = fs::read(file).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::Headers)
        .from_reader(&*text);
    let headers = reader
        .headers()
        .map_err(|error| format!("{shown}, line 1: {error}"))?
        .clone();
    for wanted in ["username", "password"] {
        if !headers.iter().any(|header| header == wanted) {
            return Err(format!("{shown}, line 1: there is no column {wanted}; the first line names the columns: username,password,role").into());
        }
    }
    let (mut taken, mut kinds) = (HashSet::new(), Kinds::default());
    for user in store.load()?.users {
        kinds.add(&user.password);
        taken.insert(user.name);
    }
    let (mut lines, mut record) = (Vec::new(), csv::StringRecord::new());
    loop {
        let number = next_line(&text, reader.position());
        let wrong = |why: String| {
            Failure::from(format!(
                "{shown}, line {number}: {why}; nothing was imported"
            ))
        };
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(lines),
            Err(error) => return Err(wrong(describe(&error))),
        }
        let line: Line = record
            .deserialize(Some(&headers))
            .map_err(|error| wrong(describe(&error)))?;
        check(&line, &mut kinds).map_err(wrong)?;
        if !taken.insert(line.username.clone()) {
            return Err(wrong(format!(
                "there is a user {:?} already",
                line.username
            )));
        }
        lines.push(line);
    }
}

/// The number of the line on which the next record begins: the reader itself has not yet read the
/// empty lines before it.
fn next_line(text: &[u8], read: &csv::Position) -> u64 {
    let rest = &text[read.byte() as usize..];
    let ends = rest.iter().take_while(|byte| b"\r\n".contains(byte));
    read.line() + ends.filter(|byte| **byte == b'\n').count() as u64
}

/// What is wrong with a record, without the position, which is printed once.
fn describe(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("{len} columns where line 1 names {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "not UTF-8".into(),
        _ => error.to_string(),
    }
}

fn check(line: &Line, kinds: &mut Kinds) -> Result<(), String> {
    check_name(&line.username)?;
    if line.password.starts_with("$argon2") {
        check_phc(&line.password, kinds)?;
    } else {
        check_password(line.password.as_bytes())?;
    }
    let roles = [Role::User, Role::Producer, Role::Admin].map(Role::name);
    if line.role.is_empty() || roles.contains(&line.role.as_str()) {
        Ok(())
    } else {
        Err(format!(
            "unknown role {:?}: use {}",
            line.role,
            roles.join(", ")
        ))
    }
}

/// Hashes on all cores, which takes a while, and shows the progress.
fn hash_all(lines: Vec<Line>) -> Result<Vec<Change>, Failure> {
    let threads = available_parallelism().map_or(1, usize::from);
    let pool = Pool::start(&mut Threads, threads, lines.len().max(1))?;
    let style = ProgressStyle::with_template("hashing {bar:40} {pos}/{len} ({eta} left)")?;
    let progress = ProgressBar::new(lines.len() as u64).with_style(style);
    let (done, results) = mpsc::channel();
    for (place, line) in lines.into_iter().enumerate() {
        let (done, salt) = (done.clone(), random(&mut OsEntropy));
        pool.submit(Box::new(move |_| {
            let Line {
                username,
                password,
                role,
            } = line;
            let password = if password.starts_with("$argon2") {
                password
            } else {
                hash(password.as_bytes(), salt, HashCost::DEFAULT)
            };
            let role = if role.is_empty() { "user" } else { &role };
            let change = adding(&username, role, password);
            Box::new(move |_| drop(done.send((place, change))))
        }))?;
    }
    drop(done);
    let mut changes = Vec::new();
    for result in results {
        progress.inc(1);
        changes.push(result);
    }
    progress.finish_and_clear();
    // Ids are assigned in the file's order, no matter which thread was faster.
    changes.sort_by_key(|(place, _)| *place);
    Ok(changes.into_iter().map(|(_, change)| change).collect())
}
