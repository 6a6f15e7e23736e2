//! Seeds by the million: over threads, with the first failure told so that it can be run again.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::coverage::Coverage;
use crate::mutant::{Mutant, Planted};
use crate::swarm::Size;
use crate::world::{self, Outcome};

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub size: Size,
    /// Does nothing without the feature `mutants`.
    pub mutant: Option<Mutant>,
}

impl Settings {
    pub const SMALL: Self = Self {
        size: Size::Small,
        mutant: None,
    };

    pub const LONG: Self = Self {
        size: Size::Long,
        mutant: None,
    };

    /// One seed; with `lines`, also its story.
    pub fn run(self, seed: u64, lines: bool) -> Outcome {
        world::run(seed, self.size, Planted::new(self.mutant), lines)
    }
}

/// What a range of seeds did.
#[derive(Debug, Default)]
pub struct Summary {
    pub schedules: u64,
    pub steps: u64,
    pub coverage: Coverage,
    /// The failure with the lowest seed among those that were found.
    pub failure: Option<Outcome>,
}

/// Seeds a thread takes at once.
const CHUNK: u64 = 500;

/// Runs all seeds of the range on `threads` threads, or fewer once one of them has failed.
pub fn swarm(settings: Settings, seeds: &Range<u64>, threads: usize) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicBool::new(false);
    let parts: Vec<Summary> = thread::scope(|scope| {
        let run = || run_chunks(settings, seeds.end, &next, &failed);
        let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(run)).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().expect("a schedule does not panic"))
            .collect()
    });
    let mut total = Summary::default();
    for part in parts {
        total.schedules += part.schedules;
        total.steps += part.steps;
        total.coverage.merge(part.coverage);
        total.failure = match (total.failure, part.failure) {
            (Some(one), Some(other)) => Some(if one.seed <= other.seed { one } else { other }),
            (one, other) => one.or(other),
        };
    }
    total
}

fn run_chunks(settings: Settings, end: u64, next: &AtomicU64, failed: &AtomicBool) -> Summary {
    let mut summary = Summary::default();
    loop {
        let start = next.fetch_add(CHUNK, Ordering::Relaxed);
        if start >= end || failed.load(Ordering::Relaxed) {
            return summary;
        }
        for seed in start..end.min(start + CHUNK) {
            let outcome = settings.run(seed, false);
            summary.schedules += 1;
            summary.steps += u64::from(outcome.steps);
            summary.coverage.merge(outcome.coverage);
            if outcome.violation.is_some() {
                failed.store(true, Ordering::Relaxed);
                summary.failure = Some(outcome);
                return summary;
            }
        }
    }
}

/// The failure in words: the seed, the invariant, everything that happened, and the command that shows it again.
pub fn explain(settings: Settings, seed: u64) -> String {
    let outcome = settings.run(seed, true);
    let mut text = String::new();
    for line in &outcome.lines {
        let _ = writeln!(text, "{line}");
    }
    match &outcome.violation {
        Some(violation) => {
            let _ = writeln!(text, "seed {seed} broke {violation}");
        }
        None => {
            let _ = writeln!(text, "seed {seed} held every invariant");
        }
    }
    let _ = writeln!(text, "{}", command(settings, seed));
    text
}

fn command(settings: Settings, seed: u64) -> String {
    let features = if settings.mutant.is_some() {
        "--features mutants "
    } else {
        ""
    };
    let mut command = format!("cargo run --package orchestratum-simulation {features}--bin simulate -- --seed {seed}");
    if settings.size == Size::Long {
        command.push_str(" --long");
    }
    if let Some(mutant) = settings.mutant {
        let _ = write!(command, " --mutant {}", mutant.name());
    }
    command
}
