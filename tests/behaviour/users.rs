//! `loopgate user`: which users can log in, decided at the command line.

use std::fs;

use loopgate::config::HashCost;
use loopgate::work::password;

use crate::harness::{Directory, Program, login, signed};
use crate::run::{Finished, run, run_with};
use crate::stored;

fn user(directory: &Directory, arguments: &[&str], input: &str) -> Finished {
    let mut command = directory.command(&["user"]);
    command.args(arguments);
    run_with(command, input)
}

/// The names in the store, and their roles.
fn users(directory: &Directory) -> Vec<(String, String)> {
    let users = stored::open(&directory.store()).load().unwrap().users;
    users
        .into_iter()
        .map(|user| (user.name, user.role))
        .collect()
}

fn import(directory: &Directory, text: impl AsRef<[u8]>) -> Finished {
    fs::write(directory.path().join("users.csv"), text).unwrap();
    user(directory, &["import", "users.csv"], "")
}

#[test]
fn a_user_who_was_added_can_log_in() {
    let directory = Directory::new();
    let added = user(
        &directory,
        &["add", "Ærø", "--role", "producer", "--password-stdin"],
        "s3cret\n",
    );
    assert_eq!(added.succeeded(), "added producer Ærø\n");
    let added = user(&directory, &["add", "--password-stdin", "bob"], "a b \r\n");
    assert_eq!(added.succeeded(), "added user bob\n");
    let listed = user(&directory, &["list"], "");
    let rows: Vec<Vec<_>> = listed
        .succeeded()
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["id", "role", "created", "name"]);
    assert_eq!((rows[1][1], rows[1][3]), ("user", "bob"));
    assert_eq!((rows[2][1], rows[2][3]), ("producer", "Ærø"));
    let program = Program::start_in(&directory, &[]);
    let mut client = program.connect();
    // The line's end is no part of a password; spaces are.
    for (name, password, status) in [
        ("Ærø", "s3cret", 200),
        ("bob", "a b ", 200),
        ("bob", "a b", 401),
        ("Ærø", "s3cret\n", 401),
    ] {
        assert_eq!(
            client.ask(login(name, password)).status,
            status,
            "{name} {password:?}"
        );
    }
}

#[test]
fn what_cannot_be_a_user_is_refused() {
    let directory = Directory::new();
    directory.add_users();
    let (long_name, long_password) = ("x".repeat(129), "x".repeat(1025));
    for (arguments, input, words) in [
        (
            &["add", "alice", "--password-stdin"][..],
            "x",
            "there is a user \"alice\" already",
        ),
        (&["add", "", "--password-stdin"], "x", "name is empty"),
        (
            &["add", &long_name, "--password-stdin"],
            "x",
            "longer than 128",
        ),
        (
            &["add", "a\nb", "--password-stdin"],
            "x",
            "control character",
        ),
        (&["add", "bob", "--password-stdin"], "", "password is empty"),
        (
            &["add", "bob", "--password-stdin"],
            "\nnot this one",
            "password is empty",
        ),
        (
            &["add", "bob", "--password-stdin"],
            &long_password,
            "longer than 1024",
        ),
        (
            &["passwd", "nobody", "--password-stdin"],
            "x",
            "there is no user \"nobody\"",
        ),
        (
            &["passwd", "alice", "--password-stdin"],
            "",
            "password is empty",
        ),
        (&["remove", "nobody"], "", "there is no user \"nobody\""),
        (&["remove", "Alice"], "", "there is no user \"Alice\""),
        (
            &["import", "no-such-file.csv"],
            "",
            "cannot read no-such-file.csv",
        ),
    ] {
        user(&directory, arguments, input).failed_with(1, &["loopgate: ", words]);
    }
    let expected = [
        ("admin".into(), "admin".into()),
        ("alice".into(), "user".into()),
        ("button".into(), "producer".into()),
    ];
    assert_eq!(users(&directory), expected, "nothing was changed");
    for command in [&["user", "list"][..], &["key", "rotate"]] {
        let mut memory = std::process::Command::new(env!("CARGO_BIN_EXE_loopgate"));
        memory.args(["--store", ":memory:"]).args(command);
        run(memory).failed_with(1, &["in memory", "--store"]);
    }
}

#[test]
fn a_new_password_ends_the_sessions_that_the_old_one_began() {
    let program = Program::start(&[]);
    let mut client = program.connect();
    let signs = [client.log_in("alice"), client.log_in("alice")];
    let other = client.log_in("admin");
    let directory = program.kill();
    let changed = user(
        &directory,
        &["passwd", "alice", "--password-stdin"],
        "new\n",
    );
    assert_eq!(
        changed.succeeded(),
        "changed the password of alice, ended 2 sessions\n"
    );
    let program = Program::start_in(&directory, &[]);
    let mut client = program.connect();
    for sign in &signs {
        assert_eq!(client.ask(signed("GET", "/session", sign)).status, 401);
    }
    assert_eq!(client.ask(signed("GET", "/session", &other)).status, 200);
    assert_eq!(client.ask(login("alice", "password")).status, 401);
    assert_eq!(client.ask(login("alice", "new")).status, 200);
}

#[test]
fn a_user_who_was_removed_is_gone_with_all_sessions() {
    let program = Program::start(&[]);
    let sign = program.connect().log_in("alice");
    let directory = program.kill();
    assert_eq!(
        user(&directory, &["remove", "alice"], "").succeeded(),
        "removed alice\n"
    );
    let again = user(&directory, &["add", "alice", "--password-stdin"], "new\n");
    again.succeeded();
    let program = Program::start_in(&directory, &[]);
    let mut client = program.connect();
    // Another user of that name is another user.
    assert_eq!(client.ask(signed("GET", "/session", &sign)).status, 401);
    assert_eq!(client.ask(login("alice", "password")).status, 401);
    let answer = client.ask(login("alice", "new")).json();
    assert_eq!(answer["user_id"], "4", "{answer}");
}

#[test]
fn a_list_of_users_is_imported() {
    let directory = Directory::new();
    directory.add_users();
    let phc = password::hash(b"from elsewhere", [9; 16], HashCost::TOKEN);
    let text = format!(
        "role, username ,password\r\n\
         producer,\"bob, the producer\",\"pass, word\"\r\n\
         ,carol,\"{phc}\"\r\n\
         admin,Ærø, with spaces \r\n"
    );
    assert_eq!(import(&directory, text).succeeded(), "imported 3 users\n");
    let names = users(&directory);
    let names: Vec<_> = names
        .iter()
        .map(|(name, role)| (&**name, &**role))
        .collect();
    assert_eq!(
        names[3..],
        [
            ("bob, the producer", "producer"),
            ("carol", "user"),
            ("Ærø", "admin")
        ]
    );
    // As spreadsheets write it: with a mark at the beginning, and without a role.
    let answer = import(&directory, "\u{feff}username,password\ndave,x\n");
    assert_eq!(answer.succeeded(), "imported 1 user\n");
    let program = Program::start_in(&directory, &[]);
    let mut client = program.connect();
    for (name, password) in [
        ("bob, the producer", "pass, word"),
        ("carol", "from elsewhere"),
        ("Ærø", " with spaces "),
        ("dave", "x"),
    ] {
        assert_eq!(client.ask(login(name, password)).status, 200, "{name}");
    }
}

#[test]
fn one_wrong_line_is_named_and_nothing_is_imported() {
    let directory = Directory::new();
    directory.add_users();
    let before = users(&directory);
    let head = "username,password,role\nbob,secret,user\n";
    let long = "x".repeat(129);
    for (lines, number, words) in [
        ("carol,x\n", 3, "2 columns where line 1 names 3"),
        ("carol,x,user,more\n", 3, "4 columns where line 1 names 3"),
        ("carol,x,king\n", 3, "unknown role \"king\""),
        ("carol,x,Admin\n", 3, "unknown role \"Admin\""),
        ("carol,,user\n", 3, "password is empty"),
        (",x,user\n", 3, "name is empty"),
        (&*format!("{long},x,user\n"), 3, "longer than 128"),
        ("carol,$argon2id$nonsense,user\n", 3, "PHC"),
        (
            "carol,\"$argon2id$v=19$m=4194304,t=9,p=1$BwcHBwcHBwcHBwcHBwcHBw$47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\",user\n",
            3,
            "costs too much",
        ),
        ("bob,x,user\n", 3, "there is a user \"bob\" already"),
        ("alice,x,user\n", 3, "there is a user \"alice\" already"),
        (
            "carol,x,user\ndave,x,user\neve,,user\n",
            5,
            "password is empty",
        ),
        ("\n\ncarol,,user\n", 5, "password is empty"),
        (
            "carol,x,user\r\n\r\ndave,x,user\r\neve,,user",
            6,
            "password is empty",
        ),
        ("carol,x,user\r\neve,x\r\n", 4, "2 columns where"),
        ("\"two\nlines\",x,user\n", 3, "control character"),
        ("carol,\"x\ny\",user\neve,,user\n", 5, "password is empty"),
    ] {
        let refused = import(&directory, head.to_owned() + lines);
        let line = format!("users.csv, line {number}: ");
        refused.failed_with(1, &[&line, words, "nothing was imported"]);
        // Passwords stand in that file, and a terminal may be looked at.
        assert!(!refused.stderr.contains("secret"), "{refused:?}");
    }
    let bad = [head.as_bytes(), b"car\xffol,x,user\n"].concat();
    import(&directory, bad).failed_with(1, &["users.csv, line 3: not UTF-8"]);
    for (text, words) in [
        ("", "there is no column username"),
        ("bob,secret,user\n", "there is no column username"),
        ("username,role\nbob,user\n", "there is no column password"),
        ("username,password,username\nbob,x,carol\n", "username"),
    ] {
        import(&directory, text).failed_with(1, &["users.csv, line ", words]);
    }
    assert_eq!(users(&directory), before);
}

#[test]
fn a_store_that_is_not_there_is_not_made_by_looking_at_it() {
    let directory = Directory::new();
    for arguments in [
        &["user", "list"][..],
        &["user", "remove", "alice"],
        &["user", "passwd", "alice", "--password-stdin"],
    ] {
        run(directory.command(arguments)).failed_with(1, &["there is no store"]);
    }
    assert!(!directory.store().exists());
}
