//! Anything at any time.

use super::*;
use crate::saga::instance::Parked;

/// A saga in each phase, with the words for it.
fn in_every_phase() -> Vec<(&'static str, Saga)> {
    let ending = "name: test
initial: A
states:
  A: {on: {start: {tasks: [{name: a}], target: B}}}
  B: {on: {x: {target: C}}}
  C: {final: true}
";
    let (mut ending, _) = Saga::started(ending, "{}");
    ending.raised("x", "{}");
    let mut settling = reserved();
    settling.raised("shipment_failed", r#"{"message":"no"}"#);
    let mut undoing = reserved();
    undoing.task_ended(5, failed());
    let mut stuck = reserved();
    stuck.task_ended(5, failed());
    stuck.undone(4, failed());
    let mut ended = reserved();
    ended.task_ended(5, succeeded(r#"{"tracking_number":"S-1"}"#));
    vec![
        ("Created", Saga::created(ORDER, ORDER_INPUT)),
        ("Running", reserved()),
        ("Ending", ending),
        ("Settling", settling),
        ("Undoing", undoing),
        ("Stuck", stuck),
        ("Ended", ended),
    ]
}

/// An input of each kind, with the words for it.
fn every_input() -> Vec<(&'static str, Input)> {
    let stale = Timer::After { entry: 1, index: 0 };
    vec![
        ("Started", Input::Started(event("start", ORDER_INPUT))),
        (
            "EventRaised",
            Input::EventRaised(event("shipment_failed", r#"{"message":"no"}"#)),
        ),
        (
            "TaskEnded live",
            Input::TaskEnded {
                number: 5,
                outcome: failed(),
            },
        ),
        (
            "TaskEnded late",
            Input::TaskEnded {
                number: 3,
                outcome: failed(),
            },
        ),
        ("TimerFired Saga", Input::TimerFired(Timer::Saga)),
        ("TimerFired stale", Input::TimerFired(stale)),
        (
            "CompensationEnded",
            Input::CompensationEnded {
                number: 4,
                outcome: succeeded("null"),
            },
        ),
        ("CancelRequested", Input::CancelRequested),
        ("CompensationRetried", Input::CompensationRetried { number: 4 }),
        ("CompensationSkipped", Input::CompensationSkipped { number: 4 }),
        ("ParkedRetried", Input::ParkedRetried { number: 9 }),
        ("ParkedDiscarded", Input::ParkedDiscarded { number: 9 }),
        ("Retried", Input::Retried { context: Fields::new() }),
    ]
}

#[test]
fn every_phase_takes_or_refuses_every_input() {
    let inputs = every_input();
    let taken = [
        ("Created", vec!["Started", "CancelRequested"]),
        (
            "Running",
            vec![
                "EventRaised",
                "TaskEnded live",
                "TimerFired Saga",
                "CancelRequested",
                "ParkedRetried",
                "ParkedDiscarded",
                "Retried",
            ],
        ),
        ("Ending", vec![]),
        (
            "Settling",
            vec![
                "TaskEnded live",
                "TimerFired Saga",
                "CancelRequested",
                "ParkedDiscarded",
            ],
        ),
        (
            "Undoing",
            vec![
                "TimerFired Saga",
                "CompensationEnded",
                "CancelRequested",
                "ParkedDiscarded",
            ],
        ),
        (
            "Stuck",
            vec![
                "TimerFired Saga",
                "CancelRequested",
                "CompensationRetried",
                "CompensationSkipped",
                "ParkedDiscarded",
            ],
        ),
        ("Ended", vec![]),
    ];
    for ((phase, saga), (expected_phase, expected)) in in_every_phase().into_iter().zip(taken) {
        assert_eq!(phase, expected_phase);
        for (name, input) in &inputs {
            let mut saga = Saga {
                definition: Arc::clone(&saga.definition),
                instance: saga.instance.clone(),
                notes: Vec::new(),
            };
            saga.instance.parked.push(Parked {
                number: 9,
                cause: Cause::Event(event("shipment_failed", r#"{"message":"no"}"#)),
                reason: "it failed".to_owned(),
            });
            if expected.contains(name) {
                saga.takes(input.clone());
            } else {
                saga.refuses(input.clone());
            }
        }
    }
}

/// Draws inputs by a number, so that a failure is repeated by its number.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// xorshift64*
    pub(super) fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(drawn).unwrap_or(0) % most
    }
}

/// What the world sees of one order, to hold it against I25 and I27.
#[derive(Default)]
struct World {
    live: Vec<u32>,
    undoing: Option<u32>,
    undone: Vec<u32>,
    is_rolling_back: bool,
    is_finished: bool,
}

impl World {
    fn happens(&mut self, input: &Input, is_popped: bool) {
        match input {
            Input::TaskEnded { number, .. } => self.live.retain(|live| live != number),
            Input::CompensationEnded { number, .. } | Input::CompensationSkipped { number } if is_popped => {
                self.undone.push(*number);
                self.undoing = None;
            }
            Input::Started(_)
            | Input::EventRaised(_)
            | Input::TimerFired(_)
            | Input::CompensationEnded { .. }
            | Input::CancelRequested
            | Input::CompensationRetried { .. }
            | Input::CompensationSkipped { .. }
            | Input::ParkedRetried { .. }
            | Input::ParkedDiscarded { .. }
            | Input::Retried { .. } => {}
        }
    }

    fn sees(&mut self, effects: &[Effect]) {
        for effect in effects {
            assert!(!self.is_finished, "nothing comes after the end");
            match effect {
                Effect::IssueTask { number, purpose, .. } => match purpose {
                    Purpose::Forward => {
                        assert!(
                            !self.is_rolling_back,
                            "no forward step starts after the way back has begun"
                        );
                        self.live.push(*number);
                    }
                    Purpose::Compensation => {
                        assert!(self.live.is_empty(), "what is live is resolved first");
                        assert!(self.undoing.is_none_or(|other| other == *number), "one at a time");
                        assert!(self.undone.last().is_none_or(|last| last > number), "newest first");
                        self.is_rolling_back = true;
                        self.undoing = Some(*number);
                    }
                },
                Effect::StartSaga { .. } => panic!("an order has no children"),
                Effect::CancelTask { number } => assert!(self.live.contains(number)),
                Effect::StartTimer { .. } | Effect::StopTimers { .. } => {}
                Effect::Finished { .. } => {
                    assert!(self.live.is_empty(), "a saga that is over has no live tasks");
                    self.is_finished = true;
                }
            }
        }
    }
}

pub(super) fn comes_back_as_it_was(instance: &Instance, shown: &str) {
    let Instance {
        id,
        correlation_id,
        input,
        ..
    } = instance.clone();
    let stored = instance.to_stored();
    let again = Instance::from_stored(id, correlation_id, input, stored.as_str());
    let again = again.unwrap_or_else(|error| panic!("{shown}: {error}: {stored}"));
    assert_eq!(again, *instance, "{shown}: {stored}");
}

const OUTPUT: &str = r#"{"transaction_id":"T","reservation_id":"R","tracking_number":"S"}"#;

/// Anything, of which most fits.
fn drawn(chance: &mut Chance) -> Input {
    let number = u32::try_from(chance.below(7)).unwrap_or(0);
    let outcome = match chance.below(4) {
        0 => failed(),
        1 => ended(ErrorKind::Lost, true),
        _ => succeeded(OUTPUT),
    };
    match chance.below(40) {
        0 => Input::Started(event("start", ORDER_INPUT)),
        1 => Input::TimerFired(Timer::Saga),
        2 => Input::CancelRequested,
        3 => Input::EventRaised(event("order_shipped", OUTPUT)),
        4 => Input::CompensationRetried { number },
        5 => Input::CompensationSkipped { number },
        6 => Input::EventRaised(event("payment_processed", "{}")),
        7 => Input::Retried { context: Fields::new() },
        8..20 => Input::CompensationEnded { number, outcome },
        _ => Input::TaskEnded { number, outcome },
    }
}

#[test]
fn orders_that_anything_may_happen_to_are_undone_newest_first_and_leave_nothing_live() {
    let definition = compiled(ORDER);
    let limits = SpecLimits::default();
    let mut taken_back = 0;
    for seed in 1..=1_000 {
        let mut chance = Chance(seed);
        let mut world = World::default();
        let id = SagaId(Uuid::nil());
        let mut instance = Instance::new(definition.definition(), id, "c".to_owned(), json(ORDER_INPUT));
        let mut registered = 0;
        for turn in 0..300 {
            let input = match turn {
                0 => Input::Started(event("start", ORDER_INPUT)),
                _ => drawn(&mut chance),
            };
            let before = instance.version;
            let shown = format!("seed {seed}, turn {turn}: {input:?}");
            let stepped = step(&definition, instance.clone(), input.clone(), &limits, Timestamp::EPOCH);
            let Ok(Step {
                instance: next,
                effects,
                ..
            }) = stepped
            else {
                continue;
            };
            assert_eq!(next.version, before + 1, "{shown}");
            comes_back_as_it_was(&next, &shown);
            world.happens(&input, next.stack.len() < instance.stack.len());
            registered = registered.max(next.stack.len());
            world.sees(&effects);
            instance = next;
        }
        if world.is_rolling_back && world.is_finished {
            taken_back += 1;
            assert_eq!(
                world.undone.len(),
                registered,
                "seed {seed}: all that was registered is undone"
            );
        }
    }
    assert!(taken_back > 100, "only {taken_back} were taken back to the end");
}
