//! A seed is one schedule, on every run and in every thread: otherwise its number in a report is worth nothing.

use orchestratum_simulation::{Settings, swarm};

#[test]
fn a_thousand_seeds_have_equal_traces_when_run_twice() {
    for settings in [Settings::SMALL, Settings::LONG] {
        for seed in 0..1_000 {
            let (once, twice) = (settings.run(seed, false), settings.run(seed, true));
            assert_eq!(
                (once.trace_hash, once.steps),
                (twice.trace_hash, twice.steps),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (one, two) = (
        swarm(Settings::SMALL, &(0..5_000), 1),
        swarm(Settings::SMALL, &(0..5_000), 2),
    );
    assert_eq!((one.steps, one.coverage), (two.steps, two.coverage));
}

#[test]
fn seeds_differ() {
    let mut hashes: Vec<u64> = (0..1_000)
        .map(|seed| Settings::SMALL.run(seed, false).trace_hash)
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 1_000);
}
