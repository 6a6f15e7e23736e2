//! How much later than its slot a task begins: drawn once for each slot, and the same whoever draws.

use std::time::Duration;

use crate::identity::ScheduleId;
use crate::time::Timestamp;

/// Evenly spread over `[0, most]`, in milliseconds.
pub(super) fn jitter(schedule: ScheduleId, slot: Timestamp, most: Duration) -> Duration {
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    let id = schedule.0.as_u128();
    #[expect(clippy::cast_possible_truncation, reason = "both halves are mixed")]
    let seed = (id >> 64) as u64 ^ id as u64 ^ slot.as_micros().unsigned_abs();
    // The high half of the product: an even share of the range for each part of the bits.
    let share = (u128::from(mixed(seed)) * (u128::from(most) + 1)) >> 64;
    Duration::from_millis(u64::try_from(share).unwrap_or(most))
}

/// The finish of `SplitMix64`, by which neighbours differ in half of their bits.
fn mixed(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_slot_has_one_jitter_and_many_slots_fill_the_range() {
        let most = Duration::from_secs(60);
        let draw = |id: u128, second: i64| {
            jitter(
                ScheduleId(Uuid::from_u128(id)),
                Timestamp::from_micros(second * 1_000_000),
                most,
            )
        };
        assert_eq!(draw(1, 2), draw(1, 2));
        let draws: Vec<Duration> = (0..1_000).map(|id| draw(id, 1_800_000_000)).collect();
        assert!(draws.iter().all(|jitter| *jitter <= most));
        let mean = draws.iter().sum::<Duration>() / 1_000;
        assert!((28..32).contains(&mean.as_secs()), "{mean:?}");
        assert_eq!(
            jitter(ScheduleId(Uuid::max()), Timestamp::EPOCH, Duration::ZERO),
            Duration::ZERO
        );
    }
}
