//! What every submission runs: a million small schedules, and some large ones.

use orchestratum_simulation::{Settings, explain, swarm};

fn hold(settings: Settings, seeds: std::ops::Range<u64>) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let summary = swarm(settings, &seeds, threads);
    if let Some(failure) = &summary.failure {
        panic!("{}", explain(settings, failure.seed));
    }
    assert_eq!(summary.schedules, seeds.end - seeds.start);
}

#[test]
fn a_million_small_schedules_hold_every_invariant() {
    hold(Settings::SMALL, 0..1_000_000);
}

#[test]
fn large_schedules_hold_every_invariant() {
    hold(Settings::LONG, 0..20_000);
}
