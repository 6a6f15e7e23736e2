//! What reaches a saga: the ends of its tasks, events, and what is known of each.

use std::sync::Arc;

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Input, SagaStatus};
use orchestratum_core::task::{Ending, TaskEvent};
use orchestratum_store::{
    Advance, AdvanceOutcome, Change, ChangeOutcome, EventKind, Expected, NewSaga, Request, Store,
};
use serde_json::{Value, json};

use super::lab::{Lab, SECOND, done, evidence, report};
use super::saga_lab::{
    COUNTER, ORDER, advance, assert_at, assert_stands, bring, bringing, claim_of, define, event, field, for_good,
    history, live_tasks, look, look_at_all, new_saga, raise, read, refused, start, start_all, started, success, taken,
    tasks_of, unlooked, waiting_order, work,
};

/// A saga that tells each way in which a task can end from the others.
const WAYS: &str = "
name: ways
context: {told: null}
initial: Initial
states:
  Initial:
    on:
      start:
        tasks:
          - name: echo
            ttl_seconds: 60
            max_retries: 0
            max_losses: 0
            raises: {success: succeeded, failure: failed, cancelled: cancelled, expired: expired}
        target: Working
  Working:
    on:
      succeeded: {set: {told: \"${ event.data }\"}, target: Succeeded}
      failed: {set: {told: \"${ event.data }\"}, target: Failed}
      cancelled: {set: {told: \"${ event.data }\"}, target: Cancelled}
      expired: {set: {told: \"${ event.data }\"}, target: Expired}
  Succeeded: {final: true}
  Failed: {final: true}
  Cancelled: {final: true}
  Expired: {final: true}
";

async fn ways(lab: &Lab, correlation_id: &str) -> SagaId {
    start(lab, "ways", correlation_id).await
}

/// What the saga was told of the end of its task, where it has led.
async fn ended_in(lab: &Lab, saga: SagaId, state: &str) -> Value {
    assert_eq!(unlooked(lab).await, [saga]);
    let advanced = look(lab, saga).await;
    assert_at(&advanced.saga.instance, state, SagaStatus::Completed);
    assert_eq!(advanced.saga.finished_at, Some(lab.now));
    assert_eq!(unlooked(lab).await, []);
    let told = history(lab, saga).await;
    assert_eq!((told.len(), told[1].kind), (2, EventKind::TaskEnded));
    assert_eq!(
        told[1].number,
        tasks_of(lab, saga).await[0].spec.saga.map(|place| place.number)
    );
    serde_json::from_str(&field(&advanced.saga.instance, "told")).expect("JSON")
}

pub(crate) async fn the_end_of_a_task_moves_its_saga_whichever_way_it_came(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, WAYS).await;

    let saga = ways(&lab, "short").await;
    let task = claim_of(&lab, saga).await;
    let outcomes = lab.apply_all(vec![success(&task, "{\"n\": 1}")]).await;
    assert!(matches!(&outcomes[0], ChangeOutcome::Done(changed) if changed.saga == Some(saga)));
    assert_eq!(ended_in(&lab, saga, "Succeeded").await, json!({"n": 1}));

    let saga = ways(&lab, "nothing").await;
    let task = claim_of(&lab, saga).await;
    lab.end(&task, Ending::Success).await;
    assert_eq!(ended_in(&lab, saga, "Succeeded").await, Value::Null);

    let saga = ways(&lab, "long").await;
    let task = claim_of(&lab, saga).await;
    let logged = Change {
        evidence: evidence("[1, 2]"),
        ..report(&task, Ending::Success)
    };
    done(lab.apply(logged).await);
    assert_eq!(ended_in(&lab, saga, "Succeeded").await, json!([1, 2]));

    let saga = ways(&lab, "failed").await;
    let task = claim_of(&lab, saga).await;
    lab.end(&task, for_good()).await;
    assert_eq!(ended_in(&lab, saga, "Failed").await["message"], "it is broken");

    let saga = ways(&lab, "cancelled").await;
    let task = tasks_of(&lab, saga).await[0].spec.id;
    let reason = Some("not now".to_owned());
    lab.put(task, TaskEvent::CancelRequested { reason }).await;
    assert_eq!(ended_in(&lab, saga, "Cancelled").await["message"], "not now");

    let saga = ways(&lab, "lost").await;
    let claimed = claim_of(&lab, saga).await;
    let worker = lab.task(claimed.id).await.worker.expect("it runs");
    let lost = TaskEvent::WorkerLost {
        worker,
        attempt: claimed.attempt,
    };
    lab.put(claimed.id, lost).await;
    assert_eq!(ended_in(&lab, saga, "Failed").await["kind"], "Lost");

    let saga = ways(&lab, "expired").await;
    lab.advance(SECOND * 61);
    let task = tasks_of(&lab, saga).await[0].spec.id;
    lab.put(task, TaskEvent::DeadlinePassed).await;
    assert_eq!(ended_in(&lab, saga, "Expired").await["kind"], "Expired");
}

pub(crate) async fn the_end_of_a_task_that_goes_on_is_none(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let saga = start(&lab, "order", "o-1").await;
    let task = claim_of(&lab, saga).await;
    let released = lab
        .end(
            &task,
            Ending::Released {
                message: "the worker stops".to_owned(),
            },
        )
        .await;
    assert!(!released.life.status().is_terminal());
    assert_eq!(unlooked(&lab).await, []);
    assert_eq!(
        look(&lab, saga).await.saga.instance.version,
        1,
        "a look at nothing changes nothing"
    );
    assert_eq!(history(&lab, saga).await.len(), 1);
}

pub(crate) async fn an_event_is_taken_once_by_its_id(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let (saga, other) = (start(&lab, "counter", "c-1").await, start(&lab, "counter", "c-2").await);
    let add = |id: &str, data: &str| event(id, "add", data);
    taken(bring(&lab, saga, add("e-1", "1")).await);
    let again = bring(&lab, saga, add("e-1", "1")).await;
    let AdvanceOutcome::Repeated(again) = again else {
        panic!("{again:?}")
    };
    assert_eq!(again.saga, read(&lab, saga).await);
    taken(bring(&lab, other, add("e-1", "3")).await);
    // Also within one call.
    let looks = [
        bringing(&lab, saga, add("e-2", "4")),
        bringing(&lab, other, add("e-2", "5")),
        bringing(&lab, saga, add("e-2", "4")),
        bringing(&lab, saga, add("e-3", "7")),
    ];
    let outcomes = advance(&lab, &looks).await;
    let kinds: Vec<bool> = outcomes
        .iter()
        .map(|outcome| matches!(outcome, AdvanceOutcome::Repeated(_)))
        .collect();
    assert_eq!(kinds, [false, false, true, false]);
    assert_eq!(field(&read(&lab, saga).await.instance, "added"), "[1,4,7]");
    assert_eq!(field(&read(&lab, other).await.instance, "added"), "[3,5]");
}

pub(crate) async fn each_caller_is_told_how_the_saga_stands_after_what_it_brought(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let saga = start(&lab, "counter", "c-1").await;
    let looks = [
        bringing(&lab, saga, event("e-1", "add", "1")),
        bringing(&lab, saga, event("e-2", "stop", "null")),
        bringing(&lab, saga, event("e-3", "add", "3")),
        bringing(&lab, SagaId(lab.id().0), event("e-4", "add", "4")),
    ];
    let outcomes = advance(&lab, &looks).await;
    let [one, stop, late, unknown] = outcomes.try_into().expect("four");
    let (one, stop) = (taken(one), taken(stop));
    assert_eq!(one.before.map(|stand| stand.version), Some(1));
    assert_eq!(
        (one.saga.instance.version, field(&one.saga.instance, "count")),
        (2, "1".to_owned())
    );
    assert_eq!(stop.before.map(|stand| stand.version), Some(2));
    assert_at(&stop.saga.instance, "Stopped", SagaStatus::Completed);
    assert_eq!(refused(late), "the saga is over");
    assert!(matches!(unknown, AdvanceOutcome::NotFound), "{unknown:?}");
}

pub(crate) async fn what_is_refused_is_recorded_and_may_come_again(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let saga = start(&lab, "order", "o-1").await;
    let shipped = || event("e-1", "shipped", "{\"large\": true}");
    let reason = refused(bring(&lab, saga, shipped()).await);
    assert!(reason.contains("Paying") && reason.contains("paid"), "{reason}");
    let before = read(&lab, saga).await;
    assert_eq!((before.instance.version, before.updated_at), (1, lab.now));
    let told = history(&lab, saga).await;
    assert_eq!((told.len(), told[1].seq, told[1].version), (2, 2, 1));
    assert_eq!(told[1].refusal.as_deref(), Some(reason.as_str()));
    assert_eq!(told[1].event_id.as_deref(), Some("e-1"));
    assert_eq!(told[1].name.as_deref(), Some("shipped"));
    assert_eq!(told[1].actor.as_deref(), Some("key"));
    assert_eq!(told[1].data, None, "its sender has it");
    assert_eq!(refused(bring(&lab, saga, shipped()).await), reason);
    work(&lab, saga, Ending::Success).await;
    work(&lab, saga, Ending::Success).await;
    let advanced = taken(bring(&lab, saga, shipped()).await);
    assert_at(&advanced.saga.instance, "Completed", SagaStatus::Completed);
    let again = bring(&lab, saga, shipped()).await;
    assert!(matches!(again, AdvanceOutcome::Repeated(_)), "{again:?}");
}

pub(crate) async fn refusals_are_kept_up_to_a_limit(store: Arc<dyn Store>) {
    const KEPT: usize = 1_000;
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let saga = start(&lab, "counter", "c-1").await;
    let looks: Vec<Advance> = (0..KEPT + 5)
        .map(|number| bringing(&lab, saga, event(&format!("e-{number}"), "unknown", "null")))
        .collect();
    for outcome in advance(&lab, &looks).await {
        refused(outcome);
    }
    refused(bring(&lab, saga, event("e", "unknown", "null")).await);
    assert_eq!(history(&lab, saga).await.len(), 1 + KEPT);
    raise(&lab, saga, "add").await;
    assert_eq!(
        history(&lab, saga).await.len(),
        2 + KEPT,
        "what is taken is always told"
    );
}

pub(crate) async fn an_expected_version_is_held_against_the_saga_after_what_had_arrived(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let saga = waiting_order(&lab, "o-1").await;
    let expecting = |version: u64, id: &str, name: &str| Advance {
        request: Some(Request {
            input: event(id, name, "null"),
            expected: Some(Expected::Version(version)),
            actor: None,
            reason: None,
        }),
        ..bringing(&lab, saga, Input::CancelRequested)
    };
    let outcome = advance(&lab, &[expecting(2, "e-1", "shipped")]).await.remove(0);
    let AdvanceOutcome::NotThere { advanced } = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(advanced.saga.instance.version, 3);
    assert_eq!(history(&lab, saga).await.len(), 3, "nothing came of it");
    taken(advance(&lab, &[expecting(3, "e-1", "shipped")]).await.remove(0));
    // An event that was taken before is repeated, whatever was expected.
    let outcome = advance(&lab, &[expecting(3, "e-1", "shipped")]).await.remove(0);
    assert!(matches!(outcome, AdvanceOutcome::Repeated(_)), "{outcome:?}");

    let saga = start(&lab, "order", "o-2").await;
    let task = claim_of(&lab, saga).await;
    lab.end(&task, Ending::Success).await;
    let expecting = Advance {
        saga,
        ..expecting(1, "e-2", "shipped")
    };
    let outcome = advance(&lab, &[expecting]).await.remove(0);
    assert!(matches!(outcome, AdvanceOutcome::NotThere { .. }), "{outcome:?}");
    assert_stands(&lab, saga, "Reserving", SagaStatus::Running).await;
}

pub(crate) async fn an_expected_entry_is_held_against_the_saga_however_much_happens_there(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let saga = start(&lab, "counter", "c-1").await;
    let entry = read(&lab, saga).await.instance.entry;
    let expecting = |entry: u32, id: &str, name: &str| Advance {
        request: Some(Request {
            input: event(id, name, "null"),
            expected: Some(Expected::Entry(entry)),
            actor: None,
            reason: None,
        }),
        ..bringing(&lab, saga, Input::CancelRequested)
    };
    for id in ["e-1", "e-2"] {
        taken(advance(&lab, &[expecting(entry, id, "add")]).await.remove(0));
    }
    taken(advance(&lab, &[expecting(entry, "e-3", "stop")]).await.remove(0));
    let outcome = advance(&lab, &[expecting(entry, "e-4", "stop")]).await.remove(0);
    assert!(matches!(outcome, AdvanceOutcome::NotThere { .. }), "{outcome:?}");
    // What was taken before is repeated, whatever was expected.
    let outcome = advance(&lab, &[expecting(entry, "e-1", "add")]).await.remove(0);
    assert!(matches!(outcome, AdvanceOutcome::Repeated(_)), "{outcome:?}");
}

pub(crate) async fn what_is_brought_comes_after_what_had_arrived(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let saga = start(&lab, "order", "o-1").await;
    work(&lab, saga, Ending::Success).await;
    let task = claim_of(&lab, saga).await;
    lab.end(&task, Ending::Success).await;
    // Only the state to which the end of the task leads takes it.
    let advanced = raise(&lab, saga, "shipped").await;
    assert_at(&advanced.saga.instance, "Completed", SagaStatus::Completed);
    assert_eq!(advanced.before.map(|stand| stand.version), Some(2));
    let kinds: Vec<EventKind> = history(&lab, saga).await.iter().map(|entry| entry.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::Started,
            EventKind::TaskEnded,
            EventKind::TaskEnded,
            EventKind::Event
        ]
    );
}

pub(crate) async fn an_id_of_an_event_is_that_of_one_event(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let saga = start(&lab, "counter", "c-1").await;
    let add = |data: &str| event("e-1", "add", data);
    taken(bring(&lab, saga, add(r#"{"a": 1, "b": 2}"#)).await);
    let again = bring(&lab, saga, add(r#"{"b":2,"a":1}"#)).await;
    assert!(matches!(again, AdvanceOutcome::Repeated(_)), "{again:?}");
    for other in [add("1"), event("e-1", "stop", r#"{"a": 1, "b": 2}"#)] {
        let refused = bring(&lab, saga, other).await;
        let AdvanceOutcome::EventIdReused { event, advanced } = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((event.as_str(), advanced.saga.instance.version), ("e-1", 2));
    }
    // Two of one look.
    let looks = ["1", "2"].map(|data| bringing(&lab, saga, event("e-2", "add", data)));
    let outcomes = advance(&lab, &looks).await;
    assert!(
        matches!(
            outcomes[..],
            [AdvanceOutcome::Done(_), AdvanceOutcome::EventIdReused { .. }]
        ),
        "{outcomes:?}"
    );
    // That on which it began has an id as well.
    let began = bring(&lab, saga, event("the start of c-1", "add", "1")).await;
    assert!(matches!(began, AdvanceOutcome::EventIdReused { .. }), "{began:?}");
    assert_eq!(field(&read(&lab, saga).await.instance, "count"), "2");
}

/// Many tasks at once, and a state that only the end of the last one leads to.
const WIDE: &str = "
name: wide
context: {items: \"${ input }\"}
initial: Initial
states:
  Initial:
    on:
      start:
        tasks:
          - name: echo
            for_each: ${ context.items }
            join: {raises: all_done, on_partial_failure: continue}
            raises: {failure: none_done}
        target: Working
  Working:
    on:
      all_done: {target: Ready}
      none_done: {target: Ready}
  Ready:
    on:
      go: {target: Completed}
  Completed: {final: true}
";

pub(crate) async fn what_is_brought_comes_after_however_much_had_arrived(store: Arc<dyn Store>) {
    // More than are looked at in one pass.
    const TASKS: usize = 1_100;
    let lab = Lab::new(store);
    define(&lab, WIDE).await;
    let items: Vec<usize> = (0..TASKS).collect();
    let new = NewSaga {
        input: orchestratum_core::JsonText::new(serde_json::to_string(&items).expect("JSON")).expect("JSON"),
        ..new_saga(&lab, "wide", "w-1")
    };
    let saga = started(start_all(&lab, &[new]).await.remove(0)).saga.id;
    let worker = lab.echo_worker().await;
    let mut claimed = Vec::new();
    while claimed.len() < TASKS {
        claimed.extend(lab.claim(worker).await);
    }
    lab.apply_all(claimed.iter().map(|task| report(task, Ending::Success)).collect())
        .await;
    assert_stands(&lab, saga, "Working", SagaStatus::Running).await;
    let advanced = raise(&lab, saga, "go").await;
    assert_at(&advanced.saga.instance, "Completed", SagaStatus::Completed);
    assert_eq!(unlooked(&lab).await, []);
    assert_eq!(history(&lab, saga).await.len(), 2 + TASKS);
}

pub(crate) async fn events_at_once_are_each_taken_once(store: Arc<dyn Store>) {
    const EVENTS: u64 = 64;
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let saga = start(&lab, "counter", "c-1").await;
    // Each comes twice.
    let brought: Vec<_> = (0..EVENTS * 2)
        .map(|number| {
            let (store, now) = (Arc::clone(&lab.store), lab.now);
            let number = number % EVENTS;
            let look = bringing(&lab, saga, event(&format!("e-{number}"), "add", &number.to_string()));
            tokio::spawn(async move { store.advance_sagas(&[look], now).await.expect("works").remove(0) })
        })
        .collect();
    let (mut done, mut repeated) = (0, 0);
    for outcome in futures::future::join_all(brought).await {
        match outcome.expect("no panic") {
            AdvanceOutcome::Done(_) => done += 1,
            AdvanceOutcome::Repeated(_) => repeated += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((done, repeated), (EVENTS, EVENTS));
    let instance = read(&lab, saga).await.instance;
    assert_eq!(
        (instance.version, field(&instance, "count")),
        (EVENTS + 1, EVENTS.to_string())
    );
    let mut added: Vec<u64> = serde_json::from_str(&field(&instance, "added")).expect("numbers");
    added.sort_unstable();
    assert_eq!(added, (0..EVENTS).collect::<Vec<_>>());
    let told: Vec<u64> = history(&lab, saga).await.iter().map(|entry| entry.seq).collect();
    assert_eq!(told, (1..=EVENTS + 1).collect::<Vec<_>>());
}

pub(crate) async fn ends_and_looks_at_once_lose_nothing(store: Arc<dyn Store>) {
    const SAGAS: usize = 40;
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let mut tasks = Vec::new();
    for number in 0..SAGAS {
        let saga = start(&lab, "order", &format!("o-{number}")).await;
        tasks.push((saga, claim_of(&lab, saga).await));
    }
    let running: Vec<_> = tasks
        .iter()
        .flat_map(|(saga, task)| {
            let report = report(task, Ending::Success);
            let (store, now) = (Arc::clone(&lab.store), lab.now);
            let look = super::saga_lab::looking(&lab, *saga);
            let ending = tokio::spawn(async move {
                store.apply(&[report], now).await.expect("works");
            });
            let store = Arc::clone(&lab.store);
            let looking = tokio::spawn(async move {
                store.advance_sagas(&[look], now).await.expect("works");
            });
            [ending, looking]
        })
        .collect();
    for ended in futures::future::join_all(running).await {
        ended.expect("no panic");
    }
    look_at_all(&lab).await;
    for (saga, _) in tasks {
        assert_stands(&lab, saga, "Reserving", SagaStatus::Running).await;
        assert_eq!(live_tasks(&lab, saga).await, ["\"reserve\""]);
    }
}

pub(crate) async fn what_a_process_that_died_has_left_is_found(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, ORDER).await;
    let (first, second) = (start(&lab, "order", "o-1").await, start(&lab, "order", "o-2").await);
    // The younger saga is told first.
    for saga in [second, first] {
        let task = claim_of(&lab, saga).await;
        lab.end(&task, Ending::Success).await;
    }
    assert_eq!(unlooked(&lab).await, [first, second]);
    let behind = |saga| lab.store.unlooked_sagas(saga, 1);
    assert_eq!(behind(None).await.expect("works"), [first]);
    assert_eq!(behind(Some(first)).await.expect("works"), [second]);
    assert_eq!(behind(Some(second)).await.expect("works"), []);
    assert!(lab.store.pulse(lab.now, SECOND).await.expect("works").unlooked_sagas);
    lab.advance(SECOND * 61);
    let broken = lab.store.broken_invariants(lab.now, 10).await.expect("works");
    let rules: Vec<&str> = broken.iter().map(|broken| broken.rule).collect();
    assert_eq!(rules, ["a saga looks within a minute at what has reached it"; 2]);
    look_at_all(&lab).await;
    assert!(!lab.store.pulse(lab.now, SECOND).await.expect("works").unlooked_sagas);
    for saga in [first, second] {
        assert_stands(&lab, saga, "Reserving", SagaStatus::Running).await;
    }
}
