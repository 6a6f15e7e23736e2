//! Persons: they answer, and decide what the definition does not speak of.

use orchestratum_core::saga::{Event, FieldName, Fields, Input, Instance, SagaStatus};
use orchestratum_core::{JsonText, SagaId};

use super::answers::Asked;
use super::world::{Step, World};
use crate::limits::SECOND;

/// How often persons try the same with a saga before they give it up.
const PATIENCE: u32 = 6;

impl World {
    /// Whether somebody looks at the saga, some time.
    pub(super) fn expect_person(&mut self, saga: SagaId) {
        let Some(row) = self.rows.sagas.get(&saga) else { return };
        let waits = matches!(
            row.status,
            SagaStatus::AwaitingInput | SagaStatus::NeedsAttention | SagaStatus::CompensationStuck
        );
        if waits && !self.visits.contains(&saga) && self.chance.happens(self.persons) {
            self.visits.insert(saga);
            self.soon(120 * SECOND, Step::Person(saga));
        }
    }

    pub(super) fn person(&mut self, saga: SagaId) {
        self.visits.remove(&saga);
        let Some(row) = self.rows.sagas.get(&saga) else { return };
        let (status, instance) = (row.status, row.instance());
        let Ok(instance) = instance else { return };
        let tries = self.patience.entry(saga).or_default();
        *tries += 1;
        let tries = *tries;
        let input = match status {
            SagaStatus::CompensationStuck => self.decide_stuck(&instance, tries),
            SagaStatus::NeedsAttention => self.decide_parked(&instance, tries),
            SagaStatus::AwaitingInput if tries < 4 * PATIENCE => self.answer_input(&instance),
            SagaStatus::AwaitingInput
            | SagaStatus::Running
            | SagaStatus::Compensating
            | SagaStatus::Completed
            | SagaStatus::Failed
            | SagaStatus::TimedOut
            | SagaStatus::Cancelled => None,
        };
        if let Some(input) = input {
            let expected = self.expected(instance.version);
            self.ask(Asked::bring(saga, input, expected));
        }
    }

    fn decide_stuck(&mut self, instance: &Instance, tries: u32) -> Option<Input> {
        let number = instance.stack.last()?.number;
        Some(if tries < PATIENCE && self.chance.happens(600) {
            Input::CompensationRetried { number }
        } else {
            Input::CompensationSkipped { number }
        })
    }

    fn decide_parked(&mut self, instance: &Instance, tries: u32) -> Option<Input> {
        let number = instance.parked.first()?.number;
        if tries >= PATIENCE {
            return Some(Input::ParkedDiscarded { number });
        }
        Some(match self.chance.below(4) {
            0 => Input::ParkedDiscarded { number },
            1 => Input::Retried {
                context: Fields::from([(FieldName::new("noted").expect("a name"), JsonText::trusted("true"))]),
            },
            _ => Input::ParkedRetried { number },
        })
    }

    fn answer_input(&mut self, instance: &Instance) -> Option<Input> {
        let name = instance.awaiting.clone()?;
        let data = self.data();
        // The answer to one question, whoever gives it.
        let id = format!("answer {} {}", instance.entry, self.chance.below(2));
        Some(Input::EventRaised(Event { id, name, data }))
    }
}
