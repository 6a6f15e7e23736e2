//! Chance that repeats.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Repeats the chance of a run that failed.
const SEED: &str = "ORCHESTRATUM_SEED";

/// `SplitMix64`: small, and good enough to pick operations and moments.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Another one in each run. It is told how to repeat it.
    pub fn of_this_run() -> Self {
        let given = std::env::var(SEED).ok();
        let seed = given.map_or_else(
            || RandomState::new().build_hasher().finish() >> 16,
            |seed| seed.parse().unwrap_or_else(|_| panic!("{SEED} is a number")),
        );
        println!("repeat this run with {SEED}={seed}");
        Self::new(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() {
            return None;
        }
        let index = usize::try_from(self.below(from.len() as u64)).expect("a small number");
        from.get(index)
    }
}
