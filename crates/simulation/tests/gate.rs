//! What every submission runs: a million small schedules, and some large ones.

use orchestratum_simulation::{Settings, explain, swarm};

/// Returns how many of the seeds were run twice and took another way.
fn hold(settings: Settings, seeds: std::ops::Range<u64>) -> u64 {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let summary = swarm(settings, &seeds, threads);
    if let Some(failure) = &summary.failure {
        panic!("{}", explain(settings, failure.seed));
    }
    assert_eq!(summary.schedules, seeds.end - seeds.start);
    summary.took_another_way
}

#[test]
fn a_million_small_schedules_hold_every_invariant() {
    hold(Settings::SMALL, 0..1_000_000);
}

#[test]
fn large_schedules_hold_every_invariant() {
    hold(Settings::LONG, 0..20_000);
}

#[test]
fn what_fails_on_the_way_changes_no_outcome() {
    let small = Settings {
        twice: true,
        ..Settings::SMALL
    };
    let long = Settings {
        twice: true,
        ..Settings::LONG
    };
    for (settings, seeds) in [(small, 50_000), (long, 2_000)] {
        let took_another_way = hold(settings, 0..seeds);
        assert!(
            took_another_way * 20 >= seeds,
            "of {seeds} seeds only {took_another_way} had faults that changed anything on the way"
        );
    }
}
