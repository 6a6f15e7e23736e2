//! A look at a schedule whose time has come: what runs now, what waits, what is skipped.

use std::time::Duration;

use super::misfire::{Arrived, arrived};
use super::policy::Overlap;
use super::spec::ScheduleSpec;
use super::standing::{Skip, SkipReason, Standing};
use crate::time::Timestamp;

/// How many slots wait for the task before them at most.
pub const QUEUE_MAX: usize = 100;

/// How soon it is asked again whether the task is over that slots wait for: the longer it has taken, the later.
const ASK_AGAIN_MIN: Duration = Duration::from_secs(1);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(30);
const ASK_AGAIN_SHARE: u32 = 10;

/// What a look has decided. All of it takes effect together, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Slots that become tasks now, oldest first.
    pub fire: Vec<Timestamp>,
    /// Slots that never will, oldest first. Of very many that were missed, one stands for the oldest.
    pub skipped: Vec<Skip>,
    /// The tasks that are not over are to be cancelled.
    pub cancel_live: bool,
    pub standing: Standing,
}

impl Look {
    /// Only so many of the slots that were to become tasks did, the first of them: the others wait, and are looked at again at
    /// once.
    pub fn leave_after(&mut self, made: usize, now: Timestamp) {
        let left = self.fire.split_off(made.min(self.fire.len()));
        if left.is_empty() {
            return;
        }
        // They are later than it, or would be taken for slots that were run.
        self.standing.last_slot = self.fire.last().copied();
        self.standing.waiting.splice(..0, left);
        self.standing.wake_at = Some(now);
    }
}

/// Decides what is due; `is_live` says whether a task of the schedule is pending or running.
pub fn look(spec: &ScheduleSpec, standing: &Standing, is_live: bool, now: Timestamp) -> Look {
    if spec.paused {
        return Look {
            fire: Vec::new(),
            skipped: Vec::new(),
            cancel_live: false,
            standing: Standing {
                wake_at: None,
                ..standing.clone()
            },
        };
    }
    let Arrived {
        run,
        skipped,
        next_slot,
    } = arrived(spec, standing, now);
    let mut candidates: Vec<Timestamp> = standing.waiting.iter().copied().chain(run).collect();
    // Whatever happened to the row, no slot is run twice.
    candidates.retain(|slot| standing.last_slot.is_none_or(|last| *slot > last));
    let mut turn = Turn {
        fire: Vec::new(),
        waiting: Vec::new(),
        skipped,
        cancel_live: false,
    };
    turn.take(spec.overlap, candidates, is_live);
    turn.skipped.sort_by_key(|skip| skip.slot);
    let asks_again = turn.waiting.first().map(|oldest| {
        let waited = now.saturating_since(*oldest) / ASK_AGAIN_SHARE;
        now + waited.clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX)
    });
    let newest_skip = turn.skipped.last().cloned();
    Look {
        standing: Standing {
            next_slot,
            wake_at: asks_again.into_iter().chain(next_slot).min(),
            last_slot: turn.fire.last().copied().or(standing.last_slot),
            // What failed before has not failed now.
            last_skip: newest_skip.or_else(|| {
                let kept = standing.last_skip.clone();
                kept.filter(|skip| skip.reason != SkipReason::Failed)
            }),
            waiting: turn.waiting,
        },
        fire: turn.fire,
        skipped: turn.skipped,
        cancel_live: turn.cancel_live,
    }
}

struct Turn {
    fire: Vec<Timestamp>,
    waiting: Vec<Timestamp>,
    skipped: Vec<Skip>,
    cancel_live: bool,
}

impl Turn {
    /// `candidates` are in order, those that waited before the new ones.
    fn take(&mut self, overlap: Overlap, mut candidates: Vec<Timestamp>, is_live: bool) {
        match overlap {
            Overlap::Allow => self.fire = candidates,
            Overlap::Skip if is_live => self.skip(candidates, SkipReason::Overlap),
            Overlap::Queue => {
                self.waiting = candidates.split_off(usize::from(!is_live).min(candidates.len()));
                self.fire = candidates;
                let too_many = self.waiting.split_off(QUEUE_MAX.min(self.waiting.len()));
                self.skip(too_many, SkipReason::QueueFull);
            }
            Overlap::Skip | Overlap::Replace => {
                let newest = candidates.pop();
                self.skip(candidates, SkipReason::Replaced);
                if is_live {
                    self.waiting.extend(newest);
                    self.cancel_live = newest.is_some();
                } else {
                    self.fire.extend(newest);
                }
            }
        }
    }

    fn skip(&mut self, slots: Vec<Timestamp>, reason: SkipReason) {
        self.skipped
            .extend(slots.into_iter().map(|slot| Skip::new(slot, reason)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::JsonText;
    use crate::schedule::{CATCH_UP_MAX, Cron, MISFIRE_GRACE, Misfire};

    /// A whole minute.
    const START: i64 = 1_800_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros((START + seconds) * 1_000_000)
    }

    /// Each minute, from `START` on.
    fn spec(overlap: Overlap, misfire: Misfire) -> ScheduleSpec {
        ScheduleSpec {
            name: "each minute".to_owned(),
            cron: Cron::parse("* * * * *", "UTC").expect("an expression"),
            task: JsonText::trusted(r#"{"name": "echo"}"#),
            overlap,
            misfire,
            start_at: None,
            end_at: None,
            jitter: Duration::ZERO,
            paused: false,
        }
    }

    fn standing() -> Standing {
        Standing {
            next_slot: Some(at(60)),
            wake_at: Some(at(60)),
            ..Standing::default()
        }
    }

    fn reasons(look: &Look) -> Vec<(Timestamp, SkipReason)> {
        look.skipped.iter().map(|skip| (skip.slot, skip.reason)).collect()
    }

    #[test]
    fn a_slot_runs_when_it_comes_and_not_before_and_not_again() {
        let spec = spec(Overlap::Skip, Misfire::FireOnce);
        let early = look(&spec, &standing(), false, at(59));
        assert_eq!((early.fire, early.standing), (Vec::new(), standing()));
        let first = look(&spec, &standing(), false, at(60));
        assert_eq!(first.fire, [at(60)]);
        assert_eq!(first.standing.wake_at, Some(at(120)));
        let again = look(&spec, &first.standing, false, at(60));
        assert_eq!(again.fire, []);
        // A row that was set back, by a clock or by hand.
        let set_back = Standing {
            next_slot: Some(at(60)),
            ..first.standing
        };
        assert_eq!(look(&spec, &set_back, false, at(60)).fire, []);
    }

    #[test]
    fn missed_slots_run_once_or_not_or_each() {
        let now = at(60 * 10 + 5);
        let missed = |misfire| look(&spec(Overlap::Allow, misfire), &standing(), false, now);
        // The tenth is on time, the ninth is 65 s late.
        let skip = missed(Misfire::Skip);
        assert_eq!(skip.fire, [at(600)]);
        assert_eq!(reasons(&skip).len(), 9);
        assert_eq!(skip.standing.last_skip, Some(Skip::new(at(540), SkipReason::Missed)));
        assert_eq!(
            missed(Misfire::FireOnce).fire,
            [at(600)],
            "the one on time stands for all"
        );
        let all = missed(Misfire::CatchUp);
        assert_eq!(all.fire.len(), 10);
        assert!(all.skipped.is_empty());
        for misfire in Misfire::ALL {
            assert_eq!(missed(misfire).standing.next_slot, Some(at(660)));
        }

        let mut hourly = spec(Overlap::Allow, Misfire::FireOnce);
        hourly.cron = Cron::parse("0 * * * *", "UTC").expect("an expression");
        let stands = Standing {
            next_slot: Some(at(3_600)),
            ..standing()
        };
        let late = look(&hourly, &stands, false, at(3 * 3_600 + 600));
        assert_eq!(late.fire, [at(3 * 3_600)], "the newest of what was missed");
        assert_eq!(
            reasons(&late),
            [(at(3_600), SkipReason::Missed), (at(7_200), SkipReason::Missed)]
        );
    }

    #[test]
    fn a_year_of_missed_seconds_is_decided_at_once() {
        let mut each_second = spec(Overlap::Allow, Misfire::CatchUp);
        each_second.cron = Cron::parse("* * * * * *", "UTC").expect("an expression");
        let now = at(365 * 86_400);
        let caught_up = look(&each_second, &standing(), false, now);
        let late = caught_up.fire.iter().filter(|slot| **slot + MISFIRE_GRACE < now);
        assert_eq!(late.count(), CATCH_UP_MAX);
        let on_time = caught_up.fire.iter().filter(|slot| **slot + MISFIRE_GRACE >= now);
        assert_eq!(
            on_time.count(),
            61,
            "a slot that is on time takes no place of those that were missed"
        );
        assert_eq!(caught_up.fire.last(), Some(&now));
        assert!(caught_up.fire.is_sorted());
        assert_eq!(caught_up.skipped.len(), 1, "one stands for all before");
        assert_eq!(caught_up.standing.next_slot, Some(at(365 * 86_400 + 1)));
    }

    #[test]
    fn of_more_missed_slots_than_run_the_newest_do() {
        let now = at(130 * 60 + 5);
        let caught_up = look(&spec(Overlap::Allow, Misfire::CatchUp), &standing(), false, now);
        let expected: Vec<Timestamp> = (30..=130).map(|minute| at(minute * 60)).collect();
        assert_eq!(
            caught_up.fire, expected,
            "a hundred that were missed and the one on time"
        );
        assert_eq!(reasons(&caught_up), [(at(29 * 60), SkipReason::Missed)]);
    }

    #[test]
    fn a_slot_is_skipped_while_the_task_before_it_is_not_over() {
        let busy = look(&spec(Overlap::Skip, Misfire::FireOnce), &standing(), true, at(60));
        assert_eq!(busy.fire, []);
        assert_eq!(reasons(&busy), [(at(60), SkipReason::Overlap)]);
        assert!(!busy.cancel_live);
        let two = look(&spec(Overlap::Skip, Misfire::FireOnce), &standing(), false, at(120));
        assert_eq!(two.fire, [at(120)], "the newest of those that are due");
        assert_eq!(reasons(&two), [(at(60), SkipReason::Replaced)]);
    }

    #[test]
    fn slots_that_are_too_much_for_now_wait_in_their_order_and_none_is_lost() {
        let spec = spec(Overlap::Allow, Misfire::CatchUp);
        let now = at(300);
        let mut first = look(&spec, &standing(), false, now);
        first.leave_after(2, now);
        assert_eq!(first.fire, [at(60), at(120)]);
        assert_eq!(first.standing.wake_at, Some(now));
        assert_eq!(first.standing.last_slot, Some(at(120)));
        assert_eq!(first.standing.waiting, [at(180), at(240), at(300)]);
        let mut all = look(&spec, &first.standing, false, at(360));
        all.leave_after(4, now);
        assert_eq!(all.fire, [at(180), at(240), at(300), at(360)]);
        assert_eq!(all.standing.wake_at, Some(at(420)), "nothing was left");
        assert_eq!(all.standing.waiting, []);
    }

    #[test]
    fn a_look_that_failed_is_told_until_one_succeeds() {
        let failed = Standing {
            last_skip: Some(Skip::new(at(60), SkipReason::Failed)),
            ..standing()
        };
        let spec = spec(Overlap::Allow, Misfire::FireOnce);
        let done = look(&spec, &failed, false, at(120));
        assert_eq!((done.fire.len(), done.standing.last_skip), (2, None));
    }

    #[test]
    fn slots_in_a_queue_run_one_after_the_other() {
        let spec = spec(Overlap::Queue, Misfire::FireOnce);
        let mut stands = standing();
        for minute in 1..=3 {
            let busy = look(&spec, &stands, true, at(60 * minute));
            assert_eq!((&busy.fire, &busy.skipped), (&Vec::new(), &Vec::new()));
            stands = busy.standing;
        }
        assert_eq!(stands.waiting, [at(60), at(120), at(180)]);
        assert_eq!(
            stands.wake_at,
            Some(at(192)),
            "a tenth of the two minutes that it waits"
        );
        let free = look(&spec, &stands, false, at(192));
        assert_eq!(free.fire, [at(60)]);
        let free = look(&spec, &free.standing, false, at(200));
        assert_eq!(free.fire, [at(120)]);
        assert_eq!(free.standing.waiting, [at(180)]);
    }

    #[test]
    fn a_queue_that_is_full_takes_no_more() {
        let mut each_second = spec(Overlap::Queue, Misfire::CatchUp);
        each_second.cron = Cron::parse("* * * * * *", "UTC").expect("an expression");
        let mut stands = standing();
        for second in 60..60 + 120 {
            stands = look(&each_second, &stands, true, at(second)).standing;
        }
        assert_eq!(stands.waiting.len(), QUEUE_MAX);
        assert_eq!(stands.waiting[0], at(60));
        assert_eq!(stands.last_skip, Some(Skip::new(at(179), SkipReason::QueueFull)));
    }

    #[test]
    fn a_replacement_waits_for_the_end_of_what_it_replaces_and_the_newest_wins() {
        let spec = spec(Overlap::Replace, Misfire::FireOnce);
        let busy = look(&spec, &standing(), true, at(60));
        assert!(busy.cancel_live);
        assert_eq!(busy.fire, []);
        assert_eq!(
            busy.standing.wake_at,
            Some(at(61)),
            "it is asked soon whether it is over"
        );
        let busy = look(&spec, &busy.standing, true, at(120));
        assert_eq!(reasons(&busy), [(at(60), SkipReason::Replaced)]);
        let free = look(&spec, &busy.standing, false, at(122));
        assert_eq!((free.fire, free.cancel_live), (vec![at(120)], false));
    }

    #[test]
    fn start_and_end_bound_the_slots() {
        let mut bounded = spec(Overlap::Allow, Misfire::CatchUp);
        bounded.start_at = Some(at(600));
        bounded.end_at = Some(at(720));
        let stands = bounded.standing(at(0));
        assert_eq!(stands.next_slot, Some(at(600)), "the start is one of them");
        let first = look(&bounded, &stands, false, at(600));
        assert_eq!(first.fire, [at(600)]);
        let last = look(&bounded, &first.standing, false, at(10_000));
        assert_eq!(last.fire, [at(660)], "the end is none");
        assert_eq!((last.standing.next_slot, last.standing.wake_at), (None, None));
    }

    #[test]
    fn what_is_paused_does_nothing_and_goes_on_with_what_lies_ahead() {
        let mut paused = spec(Overlap::Queue, Misfire::CatchUp);
        paused.paused = true;
        let waiting = Standing {
            waiting: vec![at(0)],
            last_slot: Some(at(-60)),
            ..standing()
        };
        let stands = paused.standing_after(waiting, at(30));
        assert_eq!(
            (stands.next_slot, stands.wake_at, stands.waiting.len()),
            (None, None, 0)
        );
        assert_eq!(stands.last_skip, Some(Skip::new(at(0), SkipReason::Changed)));
        assert_eq!(look(&paused, &stands, false, at(600)).fire, []);
        let resumed = spec(Overlap::Queue, Misfire::CatchUp);
        let stands = resumed.standing_after(stands, at(600));
        assert_eq!(stands.next_slot, Some(at(660)));
        assert_eq!(stands.last_slot, Some(at(-60)));
    }

    #[test]
    fn a_change_by_a_clock_that_is_behind_brings_no_slot_back() {
        let spec = spec(Overlap::Allow, Misfire::CatchUp);
        let fired = look(&spec, &standing(), false, at(60));
        let changed = spec.standing_after(fired.standing, at(59));
        assert_eq!(changed.next_slot, Some(at(120)));
    }
}
