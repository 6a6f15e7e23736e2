//! Where random values come from, and the only module that draws them.

use orchestratum_core::{GroupId, ScheduleId, TaskId, WorkerId};
use uuid::Uuid;

#[expect(clippy::disallowed_methods, reason = "this is the module that may")]
fn random() -> u128 {
    Uuid::new_v4().as_u128()
}

#[expect(clippy::disallowed_methods, reason = "this is the module that may")]
pub(crate) fn time_ordered() -> Uuid {
    Uuid::now_v7()
}

/// Later ids of one process are greater.
pub fn new_task_id() -> TaskId {
    TaskId(time_ordered())
}

pub fn new_schedule_id() -> ScheduleId {
    ScheduleId(time_ordered())
}

pub fn new_group_id() -> GroupId {
    GroupId(time_ordered())
}

pub fn new_worker_id() -> WorkerId {
    WorkerId(time_ordered())
}

/// For a request that came without an id of its own.
pub fn new_request_id() -> Uuid {
    time_ordered()
}

/// What nobody can guess: ids are made from it.
pub(crate) fn seed() -> u128 {
    random()
}

/// An even draw from `[0, 1)`.
pub fn chance() -> f64 {
    // The low 53 bits of a v4 are random (its fixed bits lie above), and 2^53 is what an f64 holds exactly.
    const BITS: u32 = 53;
    let bits = u64::try_from(random() & ((1 << BITS) - 1)).unwrap_or(0);
    bits as f64 / (1_u64 << BITS) as f64
}

/// `length` letters and digits, each an even draw.
pub fn random_text(length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // Bytes of which the fixed bits of a v4 are no part; values of 248 and more would favour the first letters.
        let bytes = random().to_be_bytes();
        let fair = bytes
            .iter()
            .enumerate()
            .filter(|(index, byte)| !matches!(index, 6 | 8) && **byte < 248);
        for (_, byte) in fair.take(length - text.len()) {
            text.push(char::from(ALPHABET[usize::from(byte % 62)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_process_are_in_order() {
        let ids: Vec<TaskId> = (0..1_000).map(|_| new_task_id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn chance_stays_in_its_range_and_is_spread() {
        let draws: Vec<f64> = (0..1_000).map(|_| chance()).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        let mean = draws.iter().sum::<f64>() / 1_000.0;
        assert!((0.4..0.6).contains(&mean), "{mean}");
    }

    #[test]
    fn random_text_has_the_asked_length_and_does_not_repeat() {
        assert_eq!(random_text(43).len(), 43);
        assert_ne!(random_text(20), random_text(20));
    }
}
