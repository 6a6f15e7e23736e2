//! What to do next with sagas: mostly what makes sense, and some that does not.

use std::collections::BTreeSet;
use std::time::Duration;

use orchestratum_core::saga::{Event, Fields, Input, SagaStatus};
use orchestratum_core::task::{Ending, ErrorCode, Report, TaskEvent, TaskState, TaskStatus};
use orchestratum_core::{JsonText, Origin, SagaId, TaskId, Timestamp};
use orchestratum_store::{Advance, Change, ClaimRequest, Evidence, Expected, NewSaga, Request, SagaFilter, Task};
use orchestratum_testkit::Chance;
use uuid::Uuid;

use super::definitions::EVENTS;
use super::model::{Model, Row};
use super::operation::{Operation, correlation_id};
use crate::conformance::lab::{name, target};
use crate::conformance::saga_lab::{definition_name, event_name, json};

/// So few that some are asked for again.
const CORRELATION_IDS: u64 = 30;
const EVENT_IDS: u64 = 60;

#[derive(Debug)]
pub(super) struct Script {
    chance: Chance,
    identities: u64,
}

impl Script {
    pub(super) fn new(chance: Chance) -> Self {
        Self { chance, identities: 0 }
    }

    pub(super) fn next(&mut self, model: &Model) -> Operation {
        match self.chance.below(100) {
            0..10 => Operation::Advance(Duration::from_millis(self.chance.below(6_000))),
            10..20 => Operation::Start((0..=self.chance.below(2)).map(|_| self.start(model)).collect()),
            20..42 => Operation::Look((0..=self.chance.below(3)).map(|_| self.bring(model)).collect()),
            42..54 => Operation::Look(self.look_at_all(model)),
            54..68 => Operation::Claim(self.claim(model)),
            68..88 => Operation::Apply(self.changes(model)),
            88..93 => Operation::FireTimers,
            93..94 => Operation::PurgeFinished(model.now - Duration::from_secs(self.chance.below(20))),
            94..98 => Operation::List(self.filter(model)),
            _ => Operation::Everything,
        }
    }

    fn identity(&mut self, now: Timestamp) -> Uuid {
        self.identities += 1;
        let milliseconds = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
        Uuid::from_u64_pair((milliseconds << 16) | 0x7000, (1 << 63) | self.identities)
    }

    fn word(&mut self, words: &[&'static str]) -> &'static str {
        self.chance.pick(words).copied().unwrap_or("unknown")
    }

    fn once<T>(&mut self, times: u64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance.once_in(times).then(|| value(self))
    }

    fn seed(&mut self) -> u128 {
        (u128::from(self.chance.draw()) << 64) | u128::from(self.chance.draw())
    }

    fn start(&mut self, model: &Model) -> NewSaga {
        let input = json(&format!("{{\"of\": {}}}", self.chance.below(3)));
        NewSaga {
            id: SagaId(self.identity(model.now)),
            definition: definition_name(self.word(&["trip", "trip", "trip", "patient", "patient", "unknown"])),
            version: None,
            correlation_id: correlation_id(self.chance.below(CORRELATION_IDS)),
            input: input.clone(),
            event: Event {
                id: "start".to_owned(),
                // The patient one begins on one of them alone.
                name: event_name(self.word(&["start", "start", "start", "begun", "noted"])),
                data: input,
            },
            origin: Origin::default(),
            actor: self.once(2, |_| "key".to_owned()),
            seed: self.seed(),
            idempotency: None,
        }
    }

    /// Mostly one that is there and not over.
    fn saga<'a>(&mut self, model: &'a Model) -> Option<&'a Row> {
        let live = |row: &&Row| !row.saga.instance.status().is_over();
        let live: Vec<&Row> = model.sagas.values().filter(live).collect();
        let all: Vec<&Row> = model.sagas.values().collect();
        let from = if self.chance.once_in(8) { &all } else { &live };
        self.chance.pick(from).copied().filter(|_| !self.chance.once_in(40))
    }

    fn bring(&mut self, model: &Model) -> Advance {
        let seed = self.seed();
        let Some(row) = self.saga(model) else {
            let saga = SagaId(Uuid::from_u128(u128::from(self.chance.draw())));
            let request = Some(self.request(Input::CancelRequested, (1, 1)));
            return Advance {
                saga,
                request,
                offer: None,
                seed,
            };
        };
        let input = self.input(row);
        let (version, entry) = (row.saga.instance.version, row.saga.instance.entry);
        Advance {
            saga: row.saga.id,
            request: (!self.chance.once_in(6)).then(|| self.request(input, (version, entry))),
            offer: None,
            seed,
        }
    }

    fn request(&mut self, input: Input, (version, entry): (u64, u32)) -> Request {
        let is_entry = self.chance.once_in(2);
        Request {
            input,
            expected: self.once(6, |script| {
                let further = script.chance.below(2);
                if is_entry {
                    Expected::Entry(entry + u32::from(further > 0))
                } else {
                    Expected::Version(version + further)
                }
            }),
            actor: self.once(2, |_| "key".to_owned()),
            reason: self.once(2, |_| "because".to_owned()),
        }
    }

    fn input(&mut self, row: &Row) -> Input {
        let instance = &row.saga.instance;
        let undo = instance.stack.last().map_or(1, |undo| undo.number);
        let parked: Vec<u32> = instance.parked.iter().map(|parked| parked.number).collect();
        let parked = self.chance.pick(&parked).copied();
        let settles = match (instance.status(), parked) {
            (SagaStatus::CompensationStuck, _) if self.chance.once_in(2) => Some(match self.chance.below(2) {
                0 => Input::CompensationRetried { number: undo },
                _ => Input::CompensationSkipped { number: undo },
            }),
            (SagaStatus::NeedsAttention, Some(number)) if self.chance.once_in(2) => Some(match self.chance.below(3) {
                0 => Input::ParkedRetried { number },
                1 => Input::ParkedDiscarded { number },
                _ => Input::Retried {
                    context: self.context(),
                },
            }),
            _ => None,
        };
        if let Some(input) = settles {
            return input;
        }
        match self.chance.below(24) {
            0 => Input::CancelRequested,
            1 => Input::CompensationSkipped { number: undo },
            2 => Input::ParkedDiscarded { number: 1 },
            3 => Input::Retried {
                context: self.context(),
            },
            _ => Input::EventRaised(Event {
                id: format!("e-{}", self.chance.below(EVENT_IDS)),
                name: event_name(self.word(&EVENTS)),
                data: json(self.word(&[r#"{"ok": true}"#, r#"{"ok": true}"#, r#"{"ok": false}"#, "null"])),
            }),
        }
    }

    fn context(&mut self) -> Fields {
        let divisor = JsonText::trusted(self.chance.below(3).to_string());
        Fields::from([("divisor".parse().expect("a name"), divisor)])
    }

    /// What the loop for sagas does.
    fn look_at_all(&mut self, model: &Model) -> Vec<Advance> {
        let waiting = model.sagas.values().filter(|row| !row.waiting.is_empty());
        let looks = waiting.map(|row| Advance {
            saga: row.saga.id,
            request: None,
            offer: None,
            seed: self.seed(),
        });
        looks.collect()
    }

    fn some_tasks<'a>(&mut self, model: &'a Model, most: u64, is_meant: impl Fn(TaskStatus) -> bool) -> Vec<&'a Task> {
        let meant: Vec<&Task> = model.tasks.iter().filter(|task| is_meant(task.life.status())).collect();
        let mut picked: BTreeSet<TaskId> = BTreeSet::new();
        for _ in 0..=self.chance.below(most) {
            picked.extend(self.chance.pick(&meant).map(|task| task.spec.id));
        }
        meant
            .into_iter()
            .filter(|task| picked.contains(&task.spec.id))
            .collect()
    }

    /// By name: of tasks of one age any may be the next.
    fn claim(&mut self, model: &Model) -> ClaimRequest {
        let named = self.some_tasks(model, 4, |status| status == TaskStatus::Pending);
        ClaimRequest {
            worker: model.worker,
            named: named.into_iter().map(|task| task.spec.id).collect(),
            targets: vec![target("default")],
            names: vec![name("echo")],
            limit: 10,
            fill_up: false,
        }
    }

    /// Ends of tasks, mostly of those that run.
    fn changes(&mut self, model: &Model) -> Vec<Change> {
        let of_any = self.chance.once_in(5);
        let tasks = self.some_tasks(model, 3, |status| match status {
            TaskStatus::InProgress => true,
            TaskStatus::Pending => of_any,
            _ => false,
        });
        // A batch of nothing but successes goes another way.
        let all_well = self.chance.once_in(2);
        // What ends in one call reaches its saga at one moment, and in no order.
        let mut sagas = BTreeSet::new();
        let of_one_each = tasks
            .into_iter()
            .filter(|task| sagas.insert(task.spec.saga.map(|place| place.saga)));
        of_one_each.map(|task| self.change(task, all_well)).collect()
    }

    fn change(&mut self, task: &Task, all_well: bool) -> Change {
        let id = task.spec.id;
        let event = match task.life.state {
            TaskState::InProgress { worker, .. } => match self.chance.below(if all_well { 1 } else { 10 }) {
                0..7 => TaskEvent::Reported(Report {
                    attempt: task.life.attempt,
                    ending: self.ending(all_well),
                    chance: 0.0,
                }),
                7 => TaskEvent::WorkerLost {
                    worker,
                    attempt: task.life.attempt,
                },
                8 => TaskEvent::CancelRequested { reason: None },
                _ => TaskEvent::DeadlinePassed,
            },
            _ if self.chance.once_in(2) => TaskEvent::CancelRequested {
                reason: Some("by hand".to_owned()),
            },
            _ => TaskEvent::DeadlinePassed,
        };
        let is_success = matches!(&event, TaskEvent::Reported(report) if report.ending == Ending::Success);
        let output = json(self.word(&["[1]", "\"done\"", "null"]));
        Change {
            evidence: Evidence {
                output: Some(output).filter(|_| is_success),
                ..Evidence::default()
            },
            seed: self.seed(),
            ..Change::new(id, event)
        }
    }

    fn ending(&mut self, all_well: bool) -> Ending {
        let message = || "it is\n'broken'".to_owned();
        match self.chance.below(if all_well { 1 } else { 10 }) {
            0..4 => Ending::Success,
            4 => Ending::Failed {
                message: message(),
                retryable: true,
                code: None,
            },
            5 | 6 => Ending::Failed {
                message: message(),
                retryable: false,
                code: ErrorCode::new("broken").ok(),
            },
            7 => Ending::TimedOut { message: message() },
            8 => Ending::Cancelled { message: message() },
            _ => Ending::Released { message: message() },
        }
    }

    fn filter(&mut self, model: &Model) -> SagaFilter {
        SagaFilter {
            definition: self.once(3, |script| {
                definition_name(script.word(&["trip", "patient", "unknown"]))
            }),
            state: self.once(4, |script| {
                let state = script.word(&["Booking", "Asking", "Failed", "Nowhere"]);
                state.parse().expect("a name")
            }),
            status: self.once(3, |script| {
                let status = script.chance.pick(SagaStatus::ALL).copied();
                status.unwrap_or(SagaStatus::Running)
            }),
            correlation_id: self.once(6, |script| correlation_id(script.chance.below(CORRELATION_IDS))),
            // Nobody has children here.
            parent: None,
            unchanged_since: self.once(2, |script| model.now - Duration::from_secs(script.chance.below(10))),
        }
    }
}
