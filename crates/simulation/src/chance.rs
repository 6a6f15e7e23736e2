//! The only source of chance: a generator of our own, so that a seed means the same schedule on every machine and after
//! every update of a dependency.

use crate::limits::Micros;

/// xoshiro256++ 1.0, seeded by `SplitMix64`, as its authors advise.
///
/// Source: D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", 2018, and the public-domain
/// reference code at <https://prng.di.unimi.it/> (`xoshiro256plusplus.c`, `splitmix64.c`).
#[derive(Debug, Clone)]
pub(crate) struct Chance {
    state: [u64; 4],
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        let mut counter = seed;
        let mut split_mix = || {
            counter = counter.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = counter;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        Self {
            state: [split_mix(), split_mix(), split_mix(), split_mix()],
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// Evenly from `0..bound`, by the high half of a product; the bias of at most 2^-32 is of no matter here.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let high = self.next() >> 32;
        u32::try_from((high * u64::from(bound)) >> 32).expect("the product of two 32-bit numbers, halved")
    }

    /// Evenly from `low..=high`, in steps of a millisecond: a readable trace, and events that do meet at one instant.
    pub(crate) fn time_between(&mut self, low: Micros, high: Micros) -> Micros {
        let steps = u32::try_from((high - low) / 1_000).unwrap_or(0);
        low + i64::from(self.below(steps + 1)) * 1_000
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.below(u32::try_from(length).unwrap_or(u32::MAX)) as usize
    }

    /// With a probability of `rate` in a thousand.
    pub(crate) fn happens(&mut self, rate: u16) -> bool {
        rate > 0 && self.below(1_000) < u32::from(rate)
    }

    /// A number in `[0, 1)`.
    pub(crate) fn fraction(&mut self) -> f64 {
        f64::from(self.below(u32::MAX)) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_reference_one() {
        // The first outputs of the reference code for the state 1, 2, 3, 4.
        let mut chance = Chance { state: [1, 2, 3, 4] };
        let drawn: Vec<u64> = (0..4).map(|_| chance.next()).collect();
        assert_eq!(
            drawn,
            [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]
        );
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut chance = Chance::new(7);
        for _ in 0..10_000 {
            assert!(chance.below(3) < 3);
            assert!((5_000..=9_000).contains(&chance.time_between(5_000, 9_000)));
            assert!((0.0..1.0).contains(&chance.fraction()));
        }
    }
}
