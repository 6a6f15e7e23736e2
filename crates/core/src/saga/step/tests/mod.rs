//! Sagas as they go, told in the words of their effects.

mod answers;
mod any;
mod language;
mod limits;
mod notes;
mod order;
mod parked;
mod world;

use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::identity::SagaId;
use crate::saga::instance::{Parked, SagaStatus};
use crate::saga::source::read;
use crate::task::{ErrorCode, ErrorKind, TaskError};

const ORDER: &str = include_str!("../../../../../../config/sagas/order.yaml");

fn json(text: &str) -> JsonText {
    JsonText::new(text).expect("JSON")
}

fn event(name: &str, data: &str) -> Event {
    Event {
        id: format!("id of {name}"),
        name: EventName::new(name).expect("a name"),
        data: json(data),
    }
}

fn succeeded(output: &str) -> Outcome {
    Outcome::Succeeded { output: json(output) }
}

fn ended(kind: ErrorKind, may_have_run: bool) -> Outcome {
    Outcome::Unsuccessful {
        error: TaskError::new(kind, "it broke"),
        may_have_run,
    }
}

fn failed() -> Outcome {
    ended(ErrorKind::Failed, false)
}

/// A saga and what its last step decided.
struct Saga {
    definition: Arc<CompiledDefinition>,
    instance: Instance,
    notes: Vec<Note>,
}

fn compiled(definition: &str) -> Arc<CompiledDefinition> {
    let definition = read(definition).unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(CompiledDefinition::new(definition).unwrap_or_else(|faults| panic!("{faults}")))
}

impl Saga {
    fn created(definition: &str, input: &str) -> Self {
        let definition = compiled(definition);
        let id = SagaId(Uuid::from_u128(7));
        let instance = Instance::new(definition.definition(), id, "c-1".to_owned(), json(input));
        Self {
            definition,
            instance,
            notes: Vec::new(),
        }
    }

    /// One that has started, with what that decided.
    fn started(definition: &str, input: &str) -> (Self, Vec<String>) {
        let mut saga = Self::created(definition, input);
        let decided = saga.takes(Input::Started(event("start", input)));
        (saga, decided)
    }

    fn of_states(states: &str) -> (Self, Vec<String>) {
        Self::started(&format!("name: test\ninitial: A\n{states}"), "{}")
    }

    fn try_take(&mut self, input: Input) -> Result<Vec<String>, Rejection> {
        let limits = SpecLimits::default();
        let before = self.instance.version;
        let (decided, _) = step_in_place(&self.definition, &mut self.instance, input, &limits, Timestamp::EPOCH);
        let Decided { effects, notes } = decided?;
        assert_eq!(self.instance.version, before + 1);
        self.notes = notes;
        Ok(effects.iter().map(told).collect())
    }

    fn takes(&mut self, input: Input) -> Vec<String> {
        let shown = format!("{input:?}");
        self.try_take(input)
            .unwrap_or_else(|rejection| panic!("{shown}: {rejection}"))
    }

    fn refuses(&mut self, input: Input) -> String {
        let before = self.instance.clone();
        let rejection = self.try_take(input).expect_err("it is refused");
        assert_eq!(self.instance, before);
        rejection.to_string()
    }

    fn raised(&mut self, name: &str, data: &str) -> Vec<String> {
        self.takes(Input::EventRaised(event(name, data)))
    }

    fn task_ended(&mut self, number: u32, outcome: Outcome) -> Vec<String> {
        self.takes(Input::TaskEnded { number, outcome })
    }

    fn undone(&mut self, number: u32, outcome: Outcome) -> Vec<String> {
        self.takes(Input::CompensationEnded { number, outcome })
    }

    fn is_at(&self, state: &str, status: SagaStatus) {
        assert_eq!((self.instance.state.as_str(), self.instance.status()), (state, status));
    }

    fn context(&self, name: &str) -> &str {
        let name = name.parse().expect("a name");
        self.instance.context.get(&name).map_or("absent", JsonText::as_str)
    }
}

fn told(effect: &Effect) -> String {
    match effect {
        Effect::IssueTask { number, purpose, task } => {
            let what = match purpose {
                Purpose::Forward => "task",
                Purpose::Compensation => "undo",
            };
            let input = task.input.as_ref().map_or("", JsonText::as_str);
            format!("{what} {number} {} {input}", task.name)
        }
        Effect::StartSaga {
            number,
            saga,
            correlation_id,
            input,
        } => format!("saga {number} {saga} {correlation_id} {input}"),
        Effect::CancelTask { number } => format!("cancel {number}"),
        Effect::StartTimer { timer, at } => format!("timer {timer:?} {}", at.as_micros() / 1_000_000),
        Effect::StopTimers { entry } => format!("stop {entry}"),
        Effect::Finished { end } => format!("finished {end:?}"),
    }
}

const ORDER_INPUT: &str = r#"{"order_id":"O-1","customer_id":"C-1","items":["book"],"total":99.99}"#;

/// An order whose payment has been made.
fn paid() -> Saga {
    let (mut order, decided) = Saga::started(ORDER, ORDER_INPUT);
    assert_eq!(
        decided,
        [
            "timer Saga 86400",
            r#"task 1 process_payment {"amount":99.99,"customer_id":"C-1","order_id":"O-1"}"#,
        ]
    );
    order.is_at("AwaitingPayment", SagaStatus::Running);
    let decided = order.task_ended(1, succeeded(r#"{"transaction_id":"T-1"}"#));
    assert_eq!(
        decided,
        [r#"task 3 reserve_inventory {"items":["book"],"order_id":"O-1"}"#]
    );
    order.is_at("AwaitingInventory", SagaStatus::Running);
    order
}

/// One whose goods are reserved, too.
fn reserved() -> Saga {
    let mut order = paid();
    let decided = order.task_ended(3, succeeded(r#"{"reservation_id":"R-1"}"#));
    assert_eq!(decided, [r#"task 5 create_shipment {"order_id":"O-1"}"#]);
    order.is_at("AwaitingShipment", SagaStatus::Running);
    order
}
