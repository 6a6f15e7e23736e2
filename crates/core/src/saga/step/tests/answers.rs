//! What is asked for is held against its schema, whichever way it comes.

use super::*;

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
fn is_a_truth(schema: &JsonText, data: &JsonText) -> Result<(), Violations> {
    assert_eq!(schema.as_str(), r#"{"type":"boolean"}"#);
    let mut broken = Violations::default();
    if !matches!(data.as_str(), "true" | "false") {
        broken.add("/data", "is neither true nor false");
    }
    broken.into_result()
}

fn asking() -> Saga {
    let definition = read(ASKING).unwrap_or_else(|faults| panic!("{faults}"));
    let definition = CompiledDefinition::new(definition).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = Saga::created(ASKING, "{}");
    saga.definition = Arc::new(definition.checking_answers(is_a_truth));
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
}
