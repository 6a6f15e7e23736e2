//! What comes of starts of children.

use orchestratum_core::saga::{Event, SagaStatus, check};
use uuid::Uuid;

use super::*;

const WAITING: &str = "
name: waiting
initial: Initial
states:
  Initial: {on: {start: {target: Waiting}}}
  Waiting: {on: {stop: {target: Stopped}}}
  Stopped: {final: true}
";

fn unbegun_child() -> LockedSaga {
    let checked = check(WAITING, &SpecLimits::default(), Timestamp::EPOCH).unwrap_or_else(|faults| panic!("{faults}"));
    let name = checked.definition.name.clone();
    let definition = CompiledDefinition::new(checked.definition).unwrap_or_else(|faults| panic!("{faults}"));
    let id = SagaId(Uuid::from_u128(2));
    LockedSaga {
        instance: Instance::new(definition.definition(), id, "c".to_owned(), JsonText::null()),
        head: SagaHead {
            id,
            definition: name,
            definition_version: 1,
            parent: Some((SagaId(Uuid::from_u128(1)), 8)),
            depth: 1,
            origin: Origin::default(),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            finished_at: None,
            last_seq: 0,
            refusals: 0,
        },
        definition: Arc::new(definition),
    }
}

/// What a look makes of one input, and the saga after it.
fn after(saga: LockedSaga, id: i64, input: Input) -> (Folded, LockedSaga) {
    let definition = Arc::clone(&saga.definition);
    let limits = SpecLimits::default();
    let mut folding = Folding::new(saga, (&limits, 0), Timestamp::EPOCH);
    folding.arrive(Arrived { id, input });
    let folded = folding.end();
    let saga = LockedSaga {
        head: folded.head.clone(),
        instance: folded.instance.clone(),
        definition,
    };
    (folded, saga)
}

#[test]
fn a_start_that_another_look_finds_cancelled_leaves_it_as_it_is() {
    let (cancelled, saga) = after(unbegun_child(), 1, Input::CancelRequested);
    assert_eq!(cancelled.instance.status(), SagaStatus::Cancelled);
    assert!(cancelled.parent_told.is_some() && cancelled.ended);
    let started = Input::Started(Event::start(JsonText::null()));
    let (started, saga) = after(saga, 2, started);
    assert_eq!(started.instance.status(), SagaStatus::Cancelled);
    assert!(started.events[0].refusal.is_some() && !started.ended);
    assert_eq!(started.parent_told, None, "it was told before");
    let (again, _) = after(saga, 3, Input::CancelRequested);
    assert_eq!(
        (again.instance.status(), again.parent_told),
        (SagaStatus::Cancelled, None)
    );
}

#[test]
fn a_start_that_cannot_be_is_told_to_who_waits_for_it() {
    let event = Event {
        name: "other".parse().expect("a name"),
        ..Event::start(JsonText::null())
    };
    let (failed, saga) = after(unbegun_child(), 1, Input::Started(event.clone()));
    assert_eq!(failed.instance.status(), SagaStatus::Failed);
    assert!(failed.parent_told.is_some());
    let (again, _) = after(saga, 2, Input::Started(event));
    assert_eq!((again.instance.status(), again.parent_told), (SagaStatus::Failed, None));
}
