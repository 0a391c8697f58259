//! Describes a turn in words: which sources were ready, and what was done for which source in which phase.

use crate::ledger::{DispatchRecord, Ledger, Outcome, Phase, TurnRecord};
use crate::reactor::Readiness;

/// The dispatches of that turn, in order, if it is the last one.
pub(crate) fn dispatches(ledger: &Ledger, turn: &TurnRecord) -> Vec<DispatchRecord> {
    let of_turn = |dispatch: &&DispatchRecord| dispatch.began_ns >= turn.began_ns;
    let newest = ledger.dispatches().rev().take_while(of_turn);
    let mut dispatches: Vec<DispatchRecord> = newest.copied().collect();
    dispatches.reverse();
    dispatches
}

/// What happened in that turn: a line for what began it, `causes` or else `otherwise`, and a line for each thing that
/// was done. `None` if nothing was done and there is no cause. `who` gives the names of sources by their tokens.
pub(crate) fn turn(
    ledger: &Ledger,
    turn: &TurnRecord,
    causes: &[String],
    otherwise: &str,
    who: impl Fn(u64) -> Option<String>,
) -> Option<String> {
    let dispatches = dispatches(ledger, turn);
    if causes.is_empty() && dispatches.is_empty() && turn.counts[1..] == [0; 6] {
        return None;
    }
    let causes = match causes {
        [] => otherwise.to_owned(),
        causes => causes.join("; "),
    };
    let mut lines = vec![format!("turn {}: {causes}", turn.number)];
    for dispatch in &dispatches {
        let (kind, label) = (ledger.name(dispatch.kind), ledger.name(dispatch.label));
        let whose = who(dispatch.token).unwrap_or_else(|| match kind {
            "program" => "for all".to_owned(),
            kind => format!("the {kind}"),
        });
        let does = if label.is_empty() { "" } else { ": " };
        let next = match dispatch.outcome {
            Outcome::Wait => "",
            Outcome::Again => ", and there is more to do in the next turn",
            Outcome::Close => ", which ends it",
            Outcome::Continued => ", and goes on",
        };
        let phase = dispatch.phase.name();
        lines.push(format!("    {phase}: {whose}{does}{label}{next}"));
    }
    for (phase, what) in [
        (Phase::Events, "delivered"),
        (Phase::Flush, "written"),
        (Phase::Reap, "freed"),
    ] {
        let count = turn.counts[phase as usize];
        if count > 0 {
            lines.push(format!("    {}: {count} {what}", phase.name()));
        }
    }
    Some(lines.join("\n"))
}

/// Readiness in words.
pub(crate) fn in_words(readiness: Readiness) -> &'static str {
    let has = |part| readiness.contains(part);
    match (has(Readiness::READABLE), has(Readiness::WRITABLE)) {
        _ if has(Readiness::ENDED) => "sends nothing more",
        (true, true) => "can be read and written",
        (true, false) => "can be read",
        (false, true) => "can be written",
        (false, false) => "is ready",
    }
}
