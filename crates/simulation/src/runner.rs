//! Seeds by the million: over threads, with the first failure told so that it can be run again.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::coverage::Coverage;
use crate::invariant::{Invariant, Violation};
use crate::mutant::{Mutant, Planted};
use crate::sagas;
use crate::swarm::{Course, Size};
use crate::world::{self, End, Outcome};

/// What the schedules are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    Tasks,
    Sagas,
}

/// What to run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub subject: Subject,
    pub size: Size,
    /// Each seed twice, with its faults and without: every task must end in the same way.
    pub twice: bool,
    /// Does nothing without the feature `mutants`.
    pub mutant: Option<Mutant>,
}

impl Settings {
    pub const SMALL: Self = Self {
        subject: Subject::Tasks,
        size: Size::Small,
        twice: false,
        mutant: None,
    };

    pub const LONG: Self = Self {
        size: Size::Long,
        ..Self::SMALL
    };

    pub const SAGAS: Self = Self {
        subject: Subject::Sagas,
        ..Self::SMALL
    };

    pub const MANY_SAGAS: Self = Self {
        subject: Subject::Sagas,
        ..Self::LONG
    };

    /// As many as take some seconds.
    pub const fn seeds_a_round(self) -> u64 {
        match self.subject {
            Subject::Tasks => self.size.seeds_a_round(),
            Subject::Sagas => self.size.seeds_a_round() / 20,
        }
    }

    /// One seed; with `lines`, also its story.
    pub fn run(self, seed: u64, lines: bool) -> Outcome {
        if self.subject == Subject::Sagas {
            return sagas::run(seed, self.size, Planted::new(self.mutant), lines);
        }
        if self.twice {
            return self.compare(seed, lines);
        }
        self.follow(seed, Course::Free, lines)
    }

    fn follow(self, seed: u64, course: Course, lines: bool) -> Outcome {
        world::run(seed, self.size, course, Planted::new(self.mutant), lines)
    }

    /// I20, and for all faults alike.
    fn compare(self, seed: u64, lines: bool) -> Outcome {
        let mut disturbed = self.follow(seed, Course::Decided, lines);
        if disturbed.violation.is_some() {
            return disturbed;
        }
        let undisturbed = self.follow(seed, Course::Undisturbed, lines);
        if undisturbed.violation.is_some() {
            return undisturbed;
        }
        disturbed.took_another_way = disturbed.ends != undisturbed.ends;
        let differs = |(one, other): (&End, &End)| {
            (one.task, one.status, one.retries_left) != (other.task, other.status, other.retries_left)
        };
        let count = (disturbed.ends.len(), undisturbed.ends.len());
        if count.0 != count.1 || disturbed.ends.iter().zip(&undisturbed.ends).any(differs) {
            disturbed.violation = Some(Violation {
                invariant: Invariant::FaultsChangeNoOutcome,
                detail: format!("{:?}; and without faults: {:?}", disturbed.ends, undisturbed.ends),
            });
        }
        disturbed
    }
}

/// What a range of seeds did.
#[derive(Debug, Default)]
pub struct Summary {
    pub schedules: u64,
    pub steps: u64,
    pub coverage: Coverage,
    /// Seeds run twice whose faults changed how often a task was attempted: the comparison says something there.
    pub took_another_way: u64,
    /// The failure with the lowest seed among those that were found.
    pub failure: Option<Outcome>,
}

impl Summary {
    /// Adds what other seeds did.
    pub fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.steps += other.steps;
        self.coverage.merge(other.coverage);
        self.took_another_way += other.took_another_way;
        self.failure = match (self.failure.take(), other.failure) {
            (Some(one), Some(other)) => Some(if one.seed <= other.seed { one } else { other }),
            (one, other) => one.or(other),
        };
    }
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
        total.add(part);
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
            summary.took_another_way += u64::from(outcome.took_another_way);
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
    if settings.subject == Subject::Sagas {
        command.push_str(" --sagas");
    }
    if settings.size == Size::Long {
        command.push_str(" --long");
    }
    if settings.twice {
        command.push_str(" --twice");
    }
    if let Some(mutant) = settings.mutant {
        let _ = write!(command, " --mutant {}", mutant.name());
    }
    command
}
