//! Stories of the simulation: a few hundred seeds.

use loopgate::simulation;

fn show() -> Option<Box<dyn std::io::Write>> {
    std::env::var_os("SHOW").map(|_| Box::new(std::io::stdout()) as Box<dyn std::io::Write>)
}

#[test]
fn no_story_goes_wrong() {
    let number =
        |name, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (first, seeds, steps) = (
        number("SEED", 1),
        number("SEEDS", 200),
        number("STEPS", 400),
    );
    let mut failures = Vec::new();
    for seed in first..first + seeds {
        let told = simulation::run(seed, steps, show());
        if std::env::var_os("TWICE").is_some() {
            assert_eq!(told, simulation::run(seed, steps, None));
        }
        if let Err(failure) = told {
            println!("{failure}");
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{} failures", failures.len());
}

/// Seeds until a planted bug is found.
#[cfg(feature = "planted-bugs")]
#[test]
fn every_planted_bug_is_found() {
    use loopgate::planted::{Bug, plant};
    for bug in Bug::ALL {
        plant(Some(bug));
        let mut found = Vec::new();
        let mut last = 0;
        for seed in 1..=6000 {
            let told = std::panic::catch_unwind(|| simulation::run(seed, 400, None));
            let what = match told {
                Ok(Ok(_)) => continue,
                Ok(Err(failure)) => failure.what,
                Err(_) => "panicked".into(),
            };
            found.push((seed - last, seed, what));
            last = seed;
            if found.len() >= 15 {
                break;
            }
        }
        plant(None);
        let first = found.first().cloned();
        found.sort();
        println!(
            "{bug:?}: {} found, median {:?}; {first:?}",
            found.len(),
            found.get(found.len() / 2).map(|f| f.0)
        );
    }
}
