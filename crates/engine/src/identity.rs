//! Where random values come from, and the only module that draws them.

use orchestratum_core::{GroupId, SagaId, ScheduleId, TaskId, WorkerId};
use parking_lot::Mutex;
use uuid::{ContextV7, Uuid};

use crate::clock::Clock;

#[expect(clippy::disallowed_methods, reason = "this is the module that may")]
fn random() -> u128 {
    Uuid::new_v4().as_u128()
}

/// Makes ids that hold the time at which they are made, each greater than the one before: also within a millisecond, and where the
/// clock was set back.
#[derive(Debug, Default)]
pub(crate) struct TimeOrdered(Mutex<ContextV7>);

/// What a server makes holds the time of its clock: its ids are the order of creation, and retention finds what is old by them.
impl Clock {
    pub(crate) fn time_ordered(&self) -> Uuid {
        // Within the lock, so that whoever comes later has no earlier time.
        let last = self.ids().0.lock();
        let micros = u64::try_from(self.now().as_micros()).unwrap_or(0);
        let nanos = u32::try_from(micros % 1_000_000 * 1_000).expect("less than a second");
        Uuid::new_v7(uuid::Timestamp::from_unix(&*last, micros / 1_000_000, nanos))
    }

    pub fn new_task_id(&self) -> TaskId {
        TaskId(self.time_ordered())
    }

    pub fn new_schedule_id(&self) -> ScheduleId {
        ScheduleId(self.time_ordered())
    }

    pub fn new_group_id(&self) -> GroupId {
        GroupId(self.time_ordered())
    }

    pub fn new_saga_id(&self) -> SagaId {
        SagaId(self.time_ordered())
    }

    pub fn new_worker_id(&self) -> WorkerId {
        WorkerId(self.time_ordered())
    }
}

/// The id that a caller chooses for a task. It knows no clock but that of its machine.
#[expect(clippy::disallowed_methods, reason = "this is the module that may")]
pub fn chosen_task_id() -> TaskId {
    TaskId(Uuid::now_v7())
}

/// For a request that came without an id of its own. Nothing is in the order of these.
pub fn new_request_id() -> Uuid {
    Uuid::from_u128(random())
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
    use std::time::Duration;

    use orchestratum_core::Timestamp;

    use super::*;

    #[test]
    fn ids_hold_the_time_of_the_clock_and_are_in_order_also_while_it_stands_still() {
        let far: Timestamp = "2031-05-17T08:00:00Z".parse().expect("a time");
        let clock = Clock::manual(far);
        let time = |id: &TaskId| id.0.get_timestamp().expect("it holds one").to_unix();
        let begins = u64::try_from(far.as_micros() / 1_000_000).expect("it is after 1970");
        let mut ids: Vec<TaskId> = (0..1_000).map(|_| clock.new_task_id()).collect();
        assert!(ids.iter().all(|id| time(id) == (begins, 0)), "{:?}", time(&ids[0]));
        clock.advance(Duration::from_secs(3_600));
        ids.extend((0..1_000).map(|_| clock.new_task_id()));
        assert!(ids[1_000..].iter().all(|id| time(id) == (begins + 3_600, 0)));
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[tokio::test]
    async fn ids_go_on_where_the_clock_is_set_back() {
        let clock = Clock::from_sample(Timestamp::from_micros(5_000_000_000));
        let before = clock.new_task_id();
        let earlier = Timestamp::from_micros(1_000_000_000);
        clock.sample(async { Ok::<_, ()>(earlier) }).await.expect("answered");
        assert!(clock.now() < Timestamp::from_micros(2_000_000_000), "it is set back");
        assert!(clock.new_task_id() > before);
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
