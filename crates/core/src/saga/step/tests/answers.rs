//! What is asked for is held against its schema, whichever way it comes.

use super::*;
use crate::saga::{AnswerSchema, CheckedAnswer};

const ASKING: &str = "name: asking
unhandled: defer
initial: A
states:
  A: {on: {start: {}, go: {target: B}}}
  B:
    on_entry: [{name: look, raises: {success: approved, failure: refused}}]
    await_input: {event: approved, prompt: Go on?, schema: {type: boolean}}
    on: {approved: {target: C}, refused: {}}
  C: {final: true}
";

/// As if the only schema there is were one of true and false.
#[derive(Debug)]
struct Truth;

impl Truth {
    fn read(schema: &JsonText) -> Box<dyn AnswerSchema> {
        assert_eq!(schema.as_str(), r#"{"type":"boolean"}"#);
        Box::new(Self)
    }
}

impl AnswerSchema for Truth {
    fn check(&self, answer: &JsonText) -> CheckedAnswer {
        let mut broken = Violations::default();
        if !matches!(answer.as_str(), "true" | "false") {
            broken.add("/data", "is neither true nor false");
        }
        CheckedAnswer {
            steps: 7,
            broken: broken.into_result(),
        }
    }
}

fn asking() -> Saga {
    let definition = read(ASKING).unwrap_or_else(|faults| panic!("{faults}"));
    let definition = CompiledDefinition::new(definition).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = Saga::created(ASKING, "{}");
    saga.definition = Arc::new(definition.checking_answers(Truth::read));
    saga.takes(Input::Started(event("start", "{}")));
    saga
}

#[test]
fn an_event_that_answers_is_held_against_the_schema() {
    let mut saga = asking();
    saga.raised("go", "{}");
    assert_eq!(
        saga.refuses(Input::EventRaised(event("approved", "1"))),
        "the data of approved do not meet the schema that the state asks for: /data is neither true nor false"
    );
    saga.is_at("B", SagaStatus::AwaitingInput);
    saga.raised("approved", "true");
    // Its task is live still.
    saga.is_at("C", SagaStatus::Running);
}

#[test]
fn what_it_takes_to_check_an_answer_is_paid_for() {
    let mut saga = asking();
    saga.raised("go", "{}");
    for answer in ["1", "true"] {
        let input = Input::EventRaised(event("approved", answer));
        let mut instance = saga.instance.clone();
        let (_, cost) = step_in_place(
            &saga.definition,
            &mut instance,
            input,
            &SpecLimits::default(),
            Timestamp::EPOCH,
        );
        assert_eq!(cost.steps, 7);
    }
}

#[test]
fn one_that_has_waited_is_refused_when_its_turn_comes_and_the_next_one_is_taken() {
    let mut saga = asking();
    saga.raised("approved", "1");
    saga.raised("go", "{}");
    saga.is_at("B", SagaStatus::AwaitingInput);
    assert!(saga.instance.deferred.is_empty());
    let refused = |note: &Note| matches!(note, Note::EventRejected { name, .. } if name.as_str() == "approved");
    assert!(saga.notes.iter().any(refused), "{:?}", saga.notes);

    let mut saga = asking();
    saga.raised("approved", "1");
    saga.raised("approved", "false");
    saga.raised("go", "{}");
    saga.is_at("C", SagaStatus::Running);
}

#[test]
fn what_a_saga_raises_by_itself_answers_without_a_schema() {
    let mut saga = asking();
    saga.raised("go", "{}");
    saga.task_ended(1, succeeded("1"));
    saga.is_at("C", SagaStatus::Completed);
    assert!(Event::is_own("task/1") && !Event::is_own("tasks/1"));
    let start = Event::start(json("null")).id;
    assert!(Event::is_reserved(&start) && Event::is_reserved("task/1") && !Event::is_reserved("start"));
    assert!(!Event::is_own(&start), "it comes from outside");
}
