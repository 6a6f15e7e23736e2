//! A checker that never meets a case proves nothing about it.

use orchestratum_core::task::TaskStatus;
use orchestratum_simulation::{Coverage, EventKind, Settings, is_legal, swarm};

fn coverage() -> Coverage {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    swarm(Settings::SMALL, &(0..100_000), threads).coverage
}

fn pairs(legal: bool) -> Vec<(TaskStatus, EventKind)> {
    let all = TaskStatus::ALL
        .iter()
        .flat_map(|status| EventKind::ALL.map(|event| (*status, event)));
    all.filter(|(status, event)| is_legal(*status, *event) == legal)
        .collect()
}

#[test]
fn a_hundred_thousand_seeds_reach_every_legal_pair_and_nearly_every_illegal_one() {
    let coverage = coverage();
    let missed: Vec<_> = pairs(true)
        .into_iter()
        .filter(|(status, event)| !coverage.accepted(*status, *event))
        .collect();
    assert!(missed.is_empty(), "legal pairs that never happened: {missed:?}");

    let illegal = pairs(false);
    let missed: Vec<_> = illegal
        .iter()
        .filter(|(status, event)| !coverage.attempted(*status, *event))
        .collect();
    assert!(
        missed.len() * 20 <= illegal.len(),
        "illegal pairs that were never tried: {missed:?}"
    );
    for (status, event) in illegal {
        assert!(!coverage.accepted(status, event), "{status} took {event:?}");
    }
}

#[test]
fn a_hundred_thousand_seeds_hit_every_marker() {
    let missing = coverage().missing_markers();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}
