//! What the behaviours of sagas need: definitions, and short words for common steps.

use orchestratum_core::saga::{DefinitionName, Event, EventName, Input, Instance, SagaStatus, check};
use orchestratum_core::task::{Ending, SpecLimits, TaskStatus};
use orchestratum_core::{JsonText, Origin, SagaId, Timestamp};
use orchestratum_store::{
    Advance, AdvanceOutcome, Advanced, Change, ClaimedTask, DefinitionVersion, Evidence, HistoryEntry, NewDefinition,
    NewSaga, Request, Saga, StartOutcome, Task, TaskFilter,
};

use super::lab::{Lab, audit, report};

/// Odd: ids of the lab differ in few bits, and their products in many.
const SPREAD: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;

/// Two steps that can be undone, a state that waits for events, and a delay.
pub(crate) const ORDER: &str = "
name: order
context: {input: \"${ input }\"}
initial: Initial
states:
  Initial:
    on:
      start:
        tasks: [{name: echo, input: pay, raises: {success: paid, failure: unpaid}}]
        target: Paying
  Paying:
    on:
      paid:
        set: {payment: \"${ event.data }\"}
        compensation: [{name: echo, input: refund, max_retries: 0}]
        tasks: [{name: echo, input: reserve, raises: {success: reserved, failure: unreserved}}]
        target: Reserving
      unpaid: {target: Failed}
    after: [{seconds: 900, target: Failed}]
  Reserving:
    on:
      reserved:
        compensation: [{name: echo, input: release, max_retries: 0}]
        target: Waiting
      unreserved: {compensate: true, target: Failed}
  Waiting:
    on:
      shipped: {target: Completed}
      refused: {compensate: true, target: Failed}
  Completed: {final: true}
  Failed: {final: failed}
";

/// It counts events until it is told to stop.
pub(crate) const COUNTER: &str = "
name: counter
context: {count: 0, added: []}
initial: Counting
states:
  Counting:
    on:
      start: {}
      add: {set: {count: \"${ context.count + 1 }\", added: \"${ context.added + [event.data] }\"}}
      stop: {target: Stopped}
  Stopped: {final: true}
";

pub(crate) fn json(text: &str) -> JsonText {
    JsonText::new(text).expect("JSON")
}

pub(crate) fn definition_name(name: &str) -> DefinitionName {
    DefinitionName::new(name).expect("a name")
}

pub(crate) fn event_name(name: &str) -> EventName {
    EventName::new(name).expect("a name")
}

pub(crate) fn new_definition(text: &str, starting_events: &[&str]) -> NewDefinition {
    let checked = check(text, &SpecLimits::default(), Timestamp::EPOCH);
    let definition = checked.unwrap_or_else(|faults| panic!("{faults}")).definition;
    NewDefinition {
        name: definition.name.clone(),
        fingerprint: definition.fingerprint(),
        source: text.to_owned(),
        canonical: definition.canonical(),
        starting_events: starting_events.iter().map(|name| event_name(name)).collect(),
    }
}

pub(crate) async fn put(lab: &Lab, definition: &NewDefinition) -> DefinitionVersion {
    let stored = lab
        .store
        .put_definition(definition, &audit("put_definition"), lab.now)
        .await;
    stored.expect("the store works")
}

/// Stores a definition that is new.
pub(crate) async fn define(lab: &Lab, text: &str) {
    assert!(put(lab, &new_definition(text, &["start"])).await.is_new);
}

fn seed(lab: &Lab) -> u128 {
    lab.id().0.as_u128().wrapping_mul(SPREAD)
}

pub(crate) fn new_saga(lab: &Lab, definition: &str, correlation_id: &str) -> NewSaga {
    let input = json(r#"{"of": "the caller"}"#);
    NewSaga {
        id: SagaId(lab.id().0),
        definition: definition_name(definition),
        version: None,
        correlation_id: correlation_id.to_owned(),
        input: input.clone(),
        event: Event {
            id: format!("the start of {correlation_id}"),
            name: event_name("start"),
            data: input,
        },
        origin: Origin::default(),
        actor: Some("key".to_owned()),
        seed: seed(lab),
        idempotency: None,
    }
}

pub(crate) async fn start_all(lab: &Lab, sagas: &[NewSaga]) -> Vec<StartOutcome> {
    let outcomes = lab.store.start_sagas(sagas, lab.now).await.expect("the store works");
    assert_eq!(outcomes.len(), sagas.len(), "one outcome a start");
    outcomes
}

#[track_caller]
pub(crate) fn started(outcome: StartOutcome) -> Advanced {
    match outcome {
        StartOutcome::Started(advanced) => *advanced,
        other => panic!("expected the saga to start, not {other:?}"),
    }
}

/// Starts one that must start.
pub(crate) async fn start(lab: &Lab, definition: &str, correlation_id: &str) -> SagaId {
    let saga = new_saga(lab, definition, correlation_id);
    started(start_all(lab, &[saga]).await.remove(0)).saga.id
}

pub(crate) fn event(id: &str, name: &str, data: &str) -> Input {
    Input::EventRaised(Event {
        id: id.to_owned(),
        name: event_name(name),
        data: json(data),
    })
}

/// A look at a saga, with what a caller brings.
pub(crate) fn bringing(lab: &Lab, saga: SagaId, input: Input) -> Advance {
    Advance {
        saga,
        request: Some(Request {
            input,
            expected: None,
            actor: Some("key".to_owned()),
            reason: Some("because".to_owned()),
        }),
        offer: None,
        seed: seed(lab),
    }
}

/// A look at what has arrived.
pub(crate) fn looking(lab: &Lab, saga: SagaId) -> Advance {
    Advance {
        saga,
        request: None,
        offer: None,
        seed: seed(lab),
    }
}

pub(crate) async fn advance(lab: &Lab, advances: &[Advance]) -> Vec<AdvanceOutcome> {
    let outcomes = lab
        .store
        .advance_sagas(advances, lab.now)
        .await
        .expect("the store works");
    assert_eq!(outcomes.len(), advances.len(), "one outcome a look");
    outcomes
}

pub(crate) async fn bring(lab: &Lab, saga: SagaId, input: Input) -> AdvanceOutcome {
    advance(lab, &[bringing(lab, saga, input)]).await.remove(0)
}

#[track_caller]
pub(crate) fn taken(outcome: AdvanceOutcome) -> Advanced {
    match outcome {
        AdvanceOutcome::Done(advanced) => *advanced,
        other => panic!("expected it to be taken, not {other:?}"),
    }
}

/// Why it was refused.
#[track_caller]
pub(crate) fn refused(outcome: AdvanceOutcome) -> String {
    match outcome {
        AdvanceOutcome::Rejected { rejection, .. } => rejection.to_string(),
        other => panic!("expected a refusal, not {other:?}"),
    }
}

/// Raises an event that must be taken.
pub(crate) async fn raise(lab: &Lab, saga: SagaId, name: &str) -> Advanced {
    let id = lab.id().to_string();
    taken(bring(lab, saga, event(&id, name, "null")).await)
}

/// A look that a caller brings nothing to.
pub(crate) async fn look(lab: &Lab, saga: SagaId) -> Advanced {
    taken(advance(lab, &[looking(lab, saga)]).await.remove(0))
}

pub(crate) async fn unlooked(lab: &Lab) -> Vec<SagaId> {
    lab.store.unlooked_sagas(None, 1_000).await.expect("the store works")
}

/// Looks at sagas until nothing waits: what the loop for sagas does.
pub(crate) async fn look_at_all(lab: &Lab) {
    for _ in 0..100 {
        let sagas = unlooked(lab).await;
        if sagas.is_empty() {
            return;
        }
        let looks: Vec<Advance> = sagas.into_iter().map(|saga| looking(lab, saga)).collect();
        for outcome in advance(lab, &looks).await {
            taken(outcome);
        }
    }
    panic!("there is always something to look at: {:?}", unlooked(lab).await);
}

pub(crate) async fn read(lab: &Lab, saga: SagaId) -> Saga {
    let found = lab.store.saga(saga).await.expect("the store works");
    found.expect("the saga exists")
}

#[track_caller]
pub(crate) fn assert_at(instance: &Instance, state: &str, status: SagaStatus) {
    assert_eq!((instance.state.as_str(), instance.status()), (state, status));
}

pub(crate) async fn assert_stands(lab: &Lab, saga: SagaId, state: &str, status: SagaStatus) {
    assert_at(&read(lab, saga).await.instance, state, status);
}

/// The tasks of a saga, in the order of its numbers; of those with the same, one that goes on is the last.
pub(crate) async fn tasks_of(lab: &Lab, saga: SagaId) -> Vec<Task> {
    let page = lab.store.list(&TaskFilter::default(), None, 1_000).await;
    let mut tasks = page.expect("the store works").items;
    tasks.retain(|task| task.spec.saga.is_some_and(|place| place.saga == saga));
    tasks.sort_unstable_by_key(|task| (number_of(task), !task.life.status().is_terminal()));
    tasks
}

pub(crate) fn number_of(task: &Task) -> u32 {
    task.spec.saga.expect("it is of a saga").number
}

/// The compensation that a saga runs, or at which it is stuck.
pub(crate) async fn newest_undo(lab: &Lab, saga: SagaId) -> u32 {
    let instance = read(lab, saga).await.instance;
    instance.stack.last().expect("something to be undone").number
}

/// Those of them that are not over, as the input of each.
pub(crate) async fn live_tasks(lab: &Lab, saga: SagaId) -> Vec<String> {
    let tasks = tasks_of(lab, saga).await.into_iter();
    let live = tasks.filter(|task| !task.life.status().is_terminal());
    live.map(|task| task.spec.input.to_string()).collect()
}

/// Claims the one task of a saga that waits; there may be tasks of others.
pub(crate) async fn claim_of(lab: &Lab, saga: SagaId) -> ClaimedTask {
    let tasks = tasks_of(lab, saga).await.into_iter();
    let mut waiting = tasks.filter(|task| task.life.status() == TaskStatus::Pending);
    let id = waiting.next().expect("a task that waits").spec.id;
    assert!(waiting.next().is_none(), "one task that waits");
    let worker = lab.echo_worker().await;
    let request = orchestratum_store::ClaimRequest {
        named: vec![id],
        fill_up: false,
        ..lab.request(worker)
    };
    lab.claim_as(&request).await.remove(0)
}

/// A worker ends the one task of a saga that waits, and the saga looks at it.
pub(crate) async fn work(lab: &Lab, saga: SagaId, ending: Ending) -> Advanced {
    let task = claim_of(lab, saga).await;
    let told = lab.end(&task, ending).await;
    assert_eq!(told.saga, Some(saga), "whoever ended it knows whom to look at");
    look(lab, saga).await
}

pub(crate) fn success(task: &ClaimedTask, output: &str) -> Change {
    Change {
        evidence: Evidence {
            output: Some(json(output)),
            ..Evidence::default()
        },
        ..report(task, Ending::Success)
    }
}

pub(crate) fn for_good() -> Ending {
    Ending::Failed {
        message: "it is broken".to_owned(),
        retryable: false,
        code: None,
    }
}

pub(crate) async fn history(lab: &Lab, saga: SagaId) -> Vec<HistoryEntry> {
    let page = lab
        .store
        .saga_history(saga, None, 10_000)
        .await
        .expect("the store works");
    assert_eq!(page.next, None, "it fits one page");
    page.items
}

/// A field of the context.
pub(crate) fn field(instance: &Instance, name: &str) -> String {
    let name = name.parse().expect("a name");
    instance
        .context
        .get(&name)
        .map_or_else(|| "absent".to_owned(), ToString::to_string)
}

/// A saga of an [`ORDER`] that has been paid and reserved, and waits.
pub(crate) async fn waiting_order(lab: &Lab, correlation_id: &str) -> SagaId {
    let saga = start(lab, "order", correlation_id).await;
    work(lab, saga, Ending::Success).await;
    work(lab, saga, Ending::Success).await;
    assert_stands(lab, saga, "Waiting", SagaStatus::Running).await;
    saga
}
