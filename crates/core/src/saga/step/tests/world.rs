//! One of everything, driven by what it decides: tasks end, timers fire, people and services do as they like.

use std::collections::BTreeSet;

use super::any::{Chance, comes_back_as_it_was};
use super::*;

const WHOLE: &str = include_str!("../../tests/whole.yaml");

/// What is outside of one saga.
#[derive(Default)]
struct World {
    live: BTreeSet<u32>,
    timers: Vec<Timer>,
    undoing: Option<u32>,
    is_finished: bool,
}

impl World {
    fn sees(&mut self, effects: &[Effect], instance: &Instance, shown: &str) {
        for effect in effects {
            assert!(!self.is_finished, "{shown}: nothing comes after the end");
            match effect {
                Effect::IssueTask {
                    number,
                    purpose: Purpose::Compensation,
                    ..
                } => {
                    assert!(self.live.is_empty(), "{shown}: what is live is resolved first");
                    assert!(self.undoing.is_none(), "{shown}: one at a time");
                    let newest = instance.stack.last().map(|undo| undo.number);
                    assert_eq!(newest, Some(*number), "{shown}: newest first");
                    self.undoing = Some(*number);
                }
                Effect::IssueTask { number, .. } | Effect::StartSaga { number, .. } => {
                    assert!(
                        self.undoing.is_none(),
                        "{shown}: nothing starts while something is undone"
                    );
                    assert!(self.live.insert(*number), "{shown}: a number is given once");
                }
                Effect::CancelTask { number } => assert!(self.live.contains(number), "{shown}"),
                Effect::StartTimer { timer, .. } => self.timers.push(*timer),
                Effect::StopTimers { entry } => self.timers.retain(|timer| timer.entry() != *entry),
                Effect::Finished { .. } => {
                    assert!(self.live.is_empty(), "{shown}: a saga that is over has no live tasks");
                    self.is_finished = true;
                }
            }
        }
        let live: BTreeSet<u32> = instance.live.keys().copied().collect();
        assert_eq!(self.live, live, "{shown}: both know what is live");
        let others = self
            .timers
            .iter()
            .filter(|timer| ![0, instance.entry].contains(&timer.entry()));
        assert_eq!(
            others.count(),
            0,
            "{shown}: {:?}: timers end with their state",
            self.timers
        );
        assert_eq!(self.is_finished, instance.status().is_over(), "{shown}");
    }
}

fn outcome(chance: &mut Chance) -> Outcome {
    let kinds = [
        ErrorKind::Failed,
        ErrorKind::Cancelled,
        ErrorKind::Lost,
        ErrorKind::Expired,
    ];
    match chance.below(8) {
        kind @ 0..4 => ended(kinds[kind], chance.below(2) == 0),
        _ => succeeded(r#"{"done":true}"#),
    }
}

/// What happens next, of which most fits.
fn drawn(chance: &mut Chance, world: &World, instance: &Instance) -> Input {
    let names = [
        "announced",
        "concluded",
        "all_prepared",
        "preparing_failed",
        "child_completed",
        "approved",
        "reminded",
        "other",
    ];
    let parked = instance.parked.first().map_or(0, |parked| parked.number);
    let stuck = instance.stack.last().map_or(0, |undo| undo.number);
    match chance.below(40) {
        0 => Input::CancelRequested,
        1 => Input::Retried { context: Fields::new() },
        2 => Input::ParkedRetried { number: parked },
        3 => Input::ParkedDiscarded { number: parked },
        4 => Input::CompensationRetried { number: stuck },
        5 => Input::CompensationSkipped { number: stuck },
        6..12 => {
            let data = ["{\"ok\":true}", "{\"ok\":false}", "{}"][chance.below(3)];
            Input::EventRaised(event(names[chance.below(names.len())], data))
        }
        12..16 if !world.timers.is_empty() => Input::TimerFired(world.timers[chance.below(world.timers.len())]),
        _ => match (
            world.undoing,
            world.live.iter().nth(chance.below(world.live.len().max(1))),
        ) {
            (Some(number), _) => Input::CompensationEnded {
                number,
                outcome: outcome(chance),
            },
            (None, number) => Input::TaskEnded {
                number: number.copied().unwrap_or(1),
                outcome: outcome(chance),
            },
        },
    }
}

#[test]
fn sagas_of_everything_keep_their_promises_whatever_happens() {
    // Its way on failure is to stop and wait, too.
    let stopping = WHOLE.replace("on_compensation_failure: continue", "on_compensation_failure: stop");
    let mut ends: BTreeSet<SagaStatus> = BTreeSet::new();
    for definition in [WHOLE, &stopping] {
        let definition = compiled(definition);
        for seed in 1..=400 {
            let mut chance = Chance(seed);
            let mut world = World::default();
            let input = json(r#"{"items":["x","y"]}"#);
            let mut instance = Instance::new(definition.definition(), SagaId(Uuid::nil()), "c".to_owned(), input);
            let mut next = Input::Started(event("start", "{}"));
            for turn in 0..200 {
                let shown = format!("seed {seed}, turn {turn}: {next:?}");
                let limits = SpecLimits::default();
                let mut after = instance.clone();
                let (decided, _) = step_in_place(&definition, &mut after, next.clone(), &limits, Timestamp::EPOCH);
                if decided.is_err() {
                    assert_eq!(after, instance, "{shown}: what is refused changes nothing");
                }
                if let Ok(Decided { effects, .. }) = decided {
                    assert_eq!(after.version, instance.version + 1, "{shown}");
                    comes_back_as_it_was(&after, &shown);
                    match &next {
                        Input::TaskEnded { number, .. } => drop(world.live.remove(number)),
                        Input::CompensationEnded { .. } => world.undoing = None,
                        Input::TimerFired(timer) => world.timers.retain(|other| other != timer),
                        Input::Started(_)
                        | Input::EventRaised(_)
                        | Input::CancelRequested
                        | Input::CompensationRetried { .. }
                        | Input::CompensationSkipped { .. }
                        | Input::ParkedRetried { .. }
                        | Input::ParkedDiscarded { .. }
                        | Input::Retried { .. } => {}
                    }
                    world.sees(&effects, &after, &shown);
                    instance = after;
                }
                next = drawn(&mut chance, &world, &instance);
            }
            ends.insert(instance.status());
        }
    }
    let over = ends.iter().filter(|status| status.is_over()).count();
    assert_eq!(over, 4, "{ends:?}: each end is reached");
}
