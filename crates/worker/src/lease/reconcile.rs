//! Comparing what the database thinks this worker holds with what it does hold.

use std::collections::HashMap;

use orchestratum_core::Timestamp;
use orchestratum_store::Holding;
use tokio::time::Instant;

use crate::held::Key;

/// What is to be done about the differences.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Claimed by us, and nobody here has it: the answer to the claim was lost.
    pub(super) hand_back: Vec<Key>,
    /// Runs here, and is not ours any more.
    pub(super) abandon: Vec<Key>,
    pub(super) running: Vec<(Key, Wanted)>,
}

/// What callers want of an attempt that runs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) cancel: bool,
    pub(super) expires_at: Timestamp,
}

/// What this worker holds, and which claims are under way.
pub(super) struct Here {
    pub(super) held: HashMap<Key, Instant>,
    pub(super) next_claim: u64,
    pub(super) oldest_claim: Option<u64>,
}

/// What was listed and not known here, with the number of the next claim at that time: until all claims before it have
/// been answered, the answer that brings the task may still be on its way.
#[derive(Debug, Default)]
pub(super) struct Suspects(HashMap<Key, u64>);

impl Suspects {
    /// Takes the answer to a renewal that was sent at `sent`.
    pub(super) fn compare(&mut self, holdings: &[Holding], sent: Instant, here: &Here) -> Plan {
        let mut plan = Plan::default();
        let mut suspects = HashMap::new();
        let mut listed = std::collections::HashSet::new();
        for holding in holdings {
            let key = (holding.task, holding.attempt);
            listed.insert(key);
            if here.held.contains_key(&key) {
                let wanted = Wanted {
                    cancel: holding.cancel_requested,
                    expires_at: holding.expires_at,
                };
                plan.running.push((key, wanted));
                continue;
            }
            match self.0.get(&key) {
                Some(barrier) if here.oldest_claim.is_none_or(|oldest| oldest >= *barrier) => plan.hand_back.push(key),
                seen => {
                    suspects.insert(key, seen.copied().unwrap_or(here.next_claim));
                }
            }
        }
        plan.abandon = here
            .held
            .iter()
            // What was claimed after the renewal was sent may not be listed yet.
            .filter(|(key, since)| !listed.contains(key) && **since < sent)
            .map(|(key, _)| *key)
            .collect();
        self.0 = suspects;
        plan
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use orchestratum_core::TaskId;
    use orchestratum_engine::identity::chosen_task_id;

    use super::*;

    fn holding(task: TaskId, attempt: u32) -> Holding {
        Holding {
            task,
            attempt,
            cancel_requested: false,
            expires_at: Timestamp::MAX,
        }
    }

    fn here(held: &[(Key, Instant)], oldest_claim: Option<u64>) -> Here {
        Here {
            held: held.iter().copied().collect(),
            next_claim: 10,
            oldest_claim,
        }
    }

    #[test]
    fn what_is_listed_twice_and_nobody_has_is_handed_back() {
        let task = chosen_task_id();
        let mut suspects = Suspects::default();
        let now = Instant::now();
        let nothing = here(&[], None);
        assert_eq!(suspects.compare(&[holding(task, 2)], now, &nothing).hand_back, []);
        assert_eq!(
            suspects.compare(&[holding(task, 2)], now, &nothing).hand_back,
            [(task, 2)]
        );
    }

    #[test]
    fn what_a_claim_may_still_bring_is_not_handed_back() {
        let task = chosen_task_id();
        let mut suspects = Suspects::default();
        let now = Instant::now();
        for _ in 0..3 {
            let plan = suspects.compare(&[holding(task, 1)], now, &here(&[], Some(9)));
            assert_eq!(plan.hand_back, [], "claim 9 was under way when it was first listed");
        }
        let plan = suspects.compare(&[holding(task, 1)], now, &here(&[], Some(11)));
        assert_eq!(plan.hand_back, [(task, 1)], "claim 11 began later");
    }

    #[test]
    fn what_disappeared_between_two_renewals_is_no_suspect_any_more() {
        let task = chosen_task_id();
        let mut suspects = Suspects::default();
        let now = Instant::now();
        let nothing = here(&[], None);
        suspects.compare(&[holding(task, 1)], now, &nothing);
        suspects.compare(&[], now, &nothing);
        assert_eq!(suspects.compare(&[holding(task, 1)], now, &nothing).hand_back, []);
    }

    #[test]
    fn what_runs_and_is_not_listed_is_abandoned_unless_it_was_claimed_since() {
        let (old, new) = ((chosen_task_id(), 1), (chosen_task_id(), 1));
        let sent = Instant::now();
        let held = here(
            &[
                (old, sent - Duration::from_secs(1)),
                (new, sent + Duration::from_secs(1)),
            ],
            None,
        );
        let plan = Suspects::default().compare(&[], sent, &held);
        assert_eq!(plan.abandon, [old]);
    }

    #[test]
    fn another_attempt_of_a_task_is_another_holding() {
        let task = chosen_task_id();
        let sent = Instant::now();
        let held = here(&[((task, 1), sent - Duration::from_secs(1))], None);
        let plan = Suspects::default().compare(&[holding(task, 2)], sent, &held);
        assert_eq!(plan.abandon, [(task, 1)]);
        assert_eq!(plan.running, []);
    }
}
