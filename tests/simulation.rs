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
        if let Err(failure) = simulation::run(seed, steps, show()) {
            println!("{failure}");
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{} failures", failures.len());
}
