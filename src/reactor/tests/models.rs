//! Slots and timers compared with models that are too simple to be wrong.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum SlotStep {
    Insert,
    /// The value under the n-th token that was ever given, if it is there.
    Remove(prop::sample::Index),
}

fn slot_steps() -> impl Strategy<Value = Vec<SlotStep>> {
    let remove = any::<prop::sample::Index>().prop_map(SlotStep::Remove);
    vec(prop_oneof![Just(SlotStep::Insert), remove], 1..100)
}

proptest! {
    #[test]
    fn slots_agree_with_a_map(steps in slot_steps()) {
        let mut slots = Slots::default();
        let (mut model, mut given) = (HashMap::new(), Vec::new());
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                SlotStep::Insert => {
                    let token = slots.insert(number);
                    prop_assert!(!given.contains(&token), "{:?} was given before", token);
                    given.push(token);
                    model.insert(token, number);
                }
                SlotStep::Remove(which) if !given.is_empty() => {
                    let token = *which.get(&given);
                    prop_assert_eq!(slots.remove(token), model.remove(&token));
                }
                SlotStep::Remove(_) => {}
            }
            prop_assert_eq!(slots.len(), model.len());
            prop_assert_eq!(slots.tokens().count(), model.len());
            for token in &given {
                prop_assert_eq!(slots.get(*token), model.get(token));
            }
        }
    }
}

#[derive(Clone, Debug)]
enum TimerStep {
    /// The deadline of a key moves to so many ns from now, or is removed.
    Move(usize, Option<u64>),
    /// So many ns pass.
    Pass(u64),
    Sweep,
}

fn timer_steps() -> impl Strategy<Value = Vec<TimerStep>> {
    let step = prop_oneof![
        4 => (0_usize..4, prop::option::weighted(0.8, 0_u64..50)).prop_map(|(key, ns)| TimerStep::Move(key, ns)),
        3 => (0_u64..30).prop_map(TimerStep::Pass),
        1 => Just(TimerStep::Sweep),
    ];
    vec(step, 1..100)
}

proptest! {
    /// Every deadline fires once, at the first check that is not before it, and none wakes the loop late.
    #[test]
    fn timers_agree_with_a_list_of_deadlines(steps in timer_steps()) {
        let (mut timers, mut armings) = (Timers::default(), [Arming::default(); 4]);
        let (mut model, mut now) = ([Moment::NEVER; 4], 0);
        for step in steps {
            match step {
                TimerStep::Move(key, ns) => {
                    model[key] = ns.map_or(Moment::NEVER, |ns| Moment::from_ns(now + ns));
                    armings[key].deadline = model[key];
                    timers.arm(key, &mut armings[key]);
                }
                TimerStep::Pass(ns) => {
                    now += ns;
                    let moment = Moment::from_ns(now);
                    let mut fired = Vec::new();
                    while let Some((at, key)) = timers.pop(moment) {
                        if timers.settle(at, moment, key, &mut armings[key]) == Due::Now {
                            fired.push(key);
                        }
                    }
                    fired.sort_unstable();
                    let due: Vec<usize> = (0..4).filter(|key| model[*key] <= moment).collect();
                    prop_assert_eq!(&fired, &due);
                    for key in due {
                        model[key] = Moment::NEVER;
                    }
                }
                TimerStep::Sweep => timers.sweep(|key| Some(armings[*key])),
            }
            let first = model.into_iter().min().filter(|at| *at != Moment::NEVER);
            prop_assert!(first.is_none_or(|first| timers.next().is_some_and(|at| at <= first)));
        }
    }
}
