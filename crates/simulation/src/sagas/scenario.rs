//! What one seed enables, and who calls what, when.

use crate::chance::Chance;
use crate::limits::{MILLISECOND, Micros, SECOND, START};
use crate::swarm::Size;

/// Rates in a thousand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    /// A process dies between reading and writing.
    pub(super) dies_before_commit: u16,
    /// A process dies between a commit and what follows it.
    pub(super) dies_after_commit: u16,
    pub(super) answer_lost: u16,
    pub(super) look_slow: u16,
    pub(super) rows_out_of_order: u16,
    pub(super) message_lost: u16,
    pub(super) task_fails: u16,
    pub(super) task_long: u16,
    pub(super) worker_dies: u16,
    pub(super) worker_wakes_again: u16,
    pub(super) report_repeated: u16,
    pub(super) end_repeated: u16,
    pub(super) output_poor: u16,
    pub(super) compensation_fails: u16,
}

/// What a caller wants of a saga of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Start,
    /// One of the events of the definition, under an id that others may use too.
    Raise {
        event: u32,
        id: u32,
        is_conditional: bool,
    },
    Cancel,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    pub(super) at: Micros,
    pub(super) saga: usize,
    pub(super) wish: Wish,
}

/// Nobody may claim freely what is to run at a target.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closing {
    pub(super) at: Micros,
    /// Its number among those of the definitions, and what is beyond them.
    pub(super) target: usize,
    pub(super) lasts: Micros,
    /// It gets a rate, until all heals, and is not paused.
    pub(super) is_rate: bool,
}

#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) faults: Faults,
    pub(super) processes: usize,
    pub(super) sagas: usize,
    /// How many entries the list of each input has.
    pub(super) items: u32,
    pub(super) calls: Vec<Planned>,
    /// From then on nothing fails.
    pub(super) heals_at: Micros,
    /// How often a person looks at what waits for one, in a thousand.
    pub(super) persons: u16,
    /// How often a worker would go on with the next task of a saga, in a thousand.
    pub(super) goes_on: u16,
    pub(super) closings: Vec<Closing>,
}

impl Scenario {
    pub(super) fn draw(chance: &mut Chance, size: Size) -> Self {
        let rate = |chance: &mut Chance, most: u32| {
            if chance.happens(500) {
                u16::try_from(chance.below(most)).unwrap_or(0)
            } else {
                0
            }
        };
        let faults = Faults {
            dies_before_commit: rate(chance, 120),
            dies_after_commit: rate(chance, 120),
            answer_lost: rate(chance, 200),
            look_slow: rate(chance, 300),
            rows_out_of_order: rate(chance, 500),
            message_lost: rate(chance, 400),
            task_fails: rate(chance, 500),
            task_long: rate(chance, 200),
            worker_dies: rate(chance, 200),
            worker_wakes_again: rate(chance, 600),
            report_repeated: rate(chance, 200),
            end_repeated: rate(chance, 300),
            output_poor: rate(chance, 150),
            compensation_fails: rate(chance, 600),
        };
        let (most_sagas, most_calls) = match size {
            Size::Small => (2, 5),
            Size::Long => (6, 24),
        };
        let sagas = 1 + chance.index(most_sagas);
        let span = [2 * SECOND, 60 * SECOND, 600 * SECOND][chance.index(3)];
        let mut calls = Vec::new();
        for saga in 0..sagas {
            let at = START + chance.time_between(0, span / 4);
            for _ in 0..=chance.below(2) {
                // The same start again, by another caller.
                let at = at + chance.time_between(0, 20 * MILLISECOND);
                calls.push(Planned {
                    at,
                    saga,
                    wish: Wish::Start,
                });
            }
        }
        for _ in 0..chance.below(most_calls) {
            let call = Planned {
                at: START + chance.time_between(0, span),
                saga: chance.index(sagas),
                wish: match chance.below(8) {
                    0 => Wish::Cancel,
                    _ => Wish::Raise {
                        event: chance.below(1_000),
                        id: chance.below(6),
                        is_conditional: chance.happens(150),
                    },
                },
            };
            calls.push(call);
        }
        Self {
            faults,
            processes: 1 + chance.index(3),
            sagas,
            items: chance.below(4),
            calls,
            heals_at: START + span + chance.time_between(0, 600 * SECOND),
            persons: [100, 500, 900][chance.index(3)],
            goes_on: [0, 500, 1_000, 1_000][chance.index(4)],
            closings: closings(chance, span),
        }
    }
}

fn closings(chance: &mut Chance, span: Micros) -> Vec<Closing> {
    if !chance.happens(250) {
        return Vec::new();
    }
    let closing = |chance: &mut Chance| Closing {
        at: START + chance.time_between(0, span),
        target: chance.index(8),
        lasts: chance.time_between(SECOND, 20 * SECOND),
        is_rate: chance.happens(300),
    };
    (0..=chance.below(3)).map(|_| closing(chance)).collect()
}
