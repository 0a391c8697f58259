//! How long a failed login takes says nothing about the name.

#[cfg(target_os = "linux")]
use std::time::Duration;

use loopgate::config::HashCost;
use loopgate::work::password::hash;

use crate::harness::{Directory, Program, login};
use crate::stored;

/// Attempts of each kind of name; below what an address may fail.
const ROUNDS: usize = 7;

/// Less, as much and more than the server's own.
const COSTS: [(&str, HashCost); 3] = [
    ("weak", HashCost::TOKEN),
    ("ours", HashCost::DEFAULT),
    (
        "strong",
        HashCost {
            memory_kib: 32 * 1024,
            passes: 3,
            lanes: 1,
        },
    ),
];

/// A store with users whose hashes came from elsewhere: a name for each attempt, so that none is throttled.
fn add_users(directory: &Directory) {
    let mut store = stored::open(&directory.store());
    for (name, cost) in COSTS {
        let phc = hash(b"password", [7; 16], cost);
        for round in 0..ROUNDS {
            stored::add_hashed(&mut store, &format!("{name}{round}"), "user", phc.clone());
        }
    }
}

/// By the time on a core that it costs: what else the machine does is not in it.
#[cfg(target_os = "linux")]
#[test]
fn a_failed_login_costs_as_much_with_every_hash_of_the_name() {
    let directory = Directory::new();
    add_users(&directory);
    let program = Program::start_in(&directory, &["--workers", "1"]);
    let mut client = program.connect();
    let names = ["nobody", "weak", "ours", "strong"];
    let mut costs = names.map(|_| Vec::new());
    client.ask(login("before", "the first hash finds no memory"));
    for round in 0..ROUNDS {
        for (name, costs) in names.iter().zip(&mut costs) {
            let before = program.cpu_time();
            let answer = client.ask(login(&format!("{name}{round}"), "mistaken"));
            costs.push(program.cpu_time().saturating_sub(before));
            assert_eq!(answer.status, 401, "{answer:?}");
        }
    }
    let medians: Vec<Duration> = costs
        .iter_mut()
        .map(|costs| {
            costs.sort_unstable();
            costs[costs.len() / 2]
        })
        .collect();
    let (least, most) = (medians.iter().min(), medians.iter().max());
    let (least, most) = (least.expect("four"), most.expect("four"));
    // Without care there is a factor of some thousand between a hash of 8 KiB and one of 96 MiB.
    assert!(*most < *least * 2, "{names:?} cost {medians:?}");
    // The right password still opens.
    for (name, _) in COSTS {
        client.log_in(&format!("{name}0"));
    }
}

#[test]
fn an_import_that_would_make_every_failed_login_slow_is_refused() {
    let directory = Directory::new();
    directory.add_users();
    let line = |name: &str, parameters: &str| {
        format!(
            "{name},$argon2id$v=19${parameters}$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\n"
        )
    };
    let import = |lines: &[String]| {
        let text = format!("username,password\n{}", lines.concat());
        // The parameters have commas in them.
        let text = text.replace(",$", ",\"$").replace("WY\n", "WY\"\n");
        std::fs::write(directory.path().join("users.csv"), text).expect("a file");
        crate::run::run(directory.command(&["user", "import", "users.csv"]))
    };
    let php = line("php", "m=65536,t=4,p=1");
    let moderate = line("moderate", "m=262144,t=3,p=1");
    let words = ["line 3", "costs too much", "nothing was imported"];
    import(&[php.clone(), moderate.clone()]).failed_with(1, &words);
    assert_eq!(import(&[php]).succeeded(), "imported 1 user\n");
    // What is stored counts, too.
    let three = [line("a", "m=102400,t=2,p=8"), line("b", "m=65536,t=3,p=4")];
    import(&three).failed_with(1, &words);
    import(&three[..1]).succeeded();
}

#[test]
fn users_whose_hash_costs_too_much_to_be_hidden_are_counted_at_start() {
    let directory = Directory::new();
    let phc = "$argon2id$v=19$m=1048576,t=4,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
    // An older version took it.
    let mut store = stored::open(&directory.store());
    stored::add_hashed(&mut store, "sensitive", "user", phc.into());
    drop(store);
    let program = Program::start_in(&directory, &[]);
    let mut client = program.connect();
    assert_eq!(client.ask(login("anybody", "mistaken")).status, 401);
    crate::harness::wait_until("it is logged", || {
        let log = directory.log();
        log.contains("1 user has a password hash so costly")
            .then_some(())
    });
}
