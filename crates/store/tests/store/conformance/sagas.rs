//! Sagas begin, and are read.

use std::sync::Arc;

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Input, Purpose, SagaStatus};
use orchestratum_core::task::{Ending, TaskStatus};
use orchestratum_store::{Advance, EventKind, IdempotencyKey, NewSaga, Saga, SagaFilter, Stand, StartOutcome, Store};

use super::lab::{Lab, SECOND};
use super::saga_lab::{
    COUNTER, ORDER, advance, assert_at, assert_stands, bring, claim_of, define, definition_name, event_name, field,
    history, json, look, looking, new_saga, raise, read, start, start_all, started, success, taken, tasks_of, unlooked,
};

async fn sagas(lab: &Lab, filter: &SagaFilter) -> Vec<SagaId> {
    let page = lab.store.sagas(filter, None, 1_000).await.expect("works");
    assert_eq!(page.next, None, "they fit one page");
    page.items.into_iter().map(|saga| saga.id).collect()
}

pub(crate) async fn a_saga_is_there_with_its_first_tasks_and_timers(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let new = new_saga(&lab, "order", "o-1");
    let advanced = started(start_all(&lab, std::slice::from_ref(&new)).await.remove(0));
    assert_eq!(advanced.before, None);
    let saga = read(&lab, new.id).await;
    assert_eq!(advanced.saga, saga, "what is read is what was answered");
    assert_at(&saga.instance, "Paying", SagaStatus::Running);
    assert_eq!((saga.definition.as_str(), saga.definition_version), ("order", 1));
    assert_eq!(
        (saga.instance.version, saga.instance.input.clone()),
        (1, new.input.clone())
    );
    assert_eq!(field(&saga.instance, "input"), new.input.to_string());
    assert_eq!(
        (saga.created_at, saga.updated_at, saga.finished_at),
        (lab.now, lab.now, None)
    );

    let tasks = tasks_of(&lab, new.id).await;
    let place = tasks[0].spec.saga.expect("it is of a saga");
    assert_eq!((tasks.len(), place.saga, place.purpose), (1, new.id, Purpose::Forward));
    assert_eq!(tasks[0].life.status(), TaskStatus::Pending);
    let consequences = advanced.consequences;
    assert_eq!(consequences.issued, 1);
    assert_eq!(consequences.ready.len(), 1);
    assert_eq!(consequences.ready[0].task, tasks[0].spec.id);
    assert_eq!(consequences.next_timer, Some(lab.now + SECOND * 900));
    let pulse = lab.store.pulse(lab.now, SECOND).await.expect("works");
    assert_eq!(
        (pulse.next_saga_timer_at, pulse.unlooked_sagas),
        (consequences.next_timer, false)
    );

    let told = history(&lab, new.id).await;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].seq, told[0].kind, told[0].version), (1, EventKind::Started, 1));
    assert_eq!((told[0].from.as_str(), told[0].to.as_str()), ("Initial", "Paying"));
    assert_eq!(told[0].actor.as_deref(), Some("key"));
    let issued: Vec<_> = told[0].told.tasks.iter().map(|issued| issued.task_id).collect();
    assert_eq!(issued, [Some(tasks[0].spec.id)]);
}

pub(crate) async fn a_start_that_is_refused_leaves_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let mut unwanted = new_saga(&lab, "order", "o-1");
    unwanted.event.name = event_name("shipped");
    let unknown = new_saga(&lab, "orders", "o-1");
    let no_version = NewSaga {
        version: Some(2),
        ..new_saga(&lab, "order", "o-2")
    };
    let outcomes = start_all(&lab, &[unwanted, unknown, no_version]).await;
    assert!(matches!(outcomes[0], StartOutcome::Rejected(_)), "{outcomes:?}");
    assert!(matches!(outcomes[1], StartOutcome::NoDefinition), "{outcomes:?}");
    assert!(matches!(outcomes[2], StartOutcome::NoDefinition), "{outcomes:?}");
    assert_eq!(sagas(&lab, &SagaFilter::default()).await, []);
    let counts = lab.store.counts(10).await.expect("works");
    assert_eq!(counts[&TaskStatus::Pending], 0);
    assert_eq!(
        lab.store
            .pulse(lab.now, SECOND)
            .await
            .expect("works")
            .next_saga_timer_at,
        None
    );
}

pub(crate) async fn starts_that_are_bound_begin_together_or_not_at_all(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    define(&lab, COUNTER).await;
    let together = async |sagas: [NewSaga; 2]| {
        let outcomes = lab.store.start_sagas_together(&sagas, lab.now).await;
        outcomes.expect("the store works")
    };
    let mut unwanted = new_saga(&lab, "order", "o-1");
    unwanted.event.name = event_name("shipped");
    let outcomes = together([new_saga(&lab, "counter", "o-1"), unwanted]).await;
    assert!(
        matches!(outcomes[..], [StartOutcome::Withheld, StartOutcome::Rejected(_)]),
        "{outcomes:?}"
    );
    assert_eq!(sagas(&lab, &SagaFilter::default()).await, []);
    assert_eq!(lab.store.counts(10).await.expect("works")[&TaskStatus::Pending], 0);

    let there = start(&lab, "counter", "o-1").await;
    let outcomes = together([new_saga(&lab, "counter", "o-1"), new_saga(&lab, "order", "o-1")]).await;
    assert!(
        matches!(&outcomes[..], [StartOutcome::Exists(saga), StartOutcome::Started(_)] if saga.id == there),
        "{outcomes:?}"
    );
}

pub(crate) async fn a_start_that_is_repeated_finds_the_saga_of_the_first(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    define(&lab, COUNTER).await;
    let first = start(&lab, "order", "o-1").await;
    let new = |definition, correlation_id| new_saga(&lab, definition, correlation_id);
    let outcomes = start_all(
        &lab,
        &[
            new("order", "o-1"),
            new("order", "o-2"),
            new("order", "o-2"),
            new("counter", "o-1"),
        ],
    )
    .await;
    let mut ids = Vec::new();
    for outcome in outcomes {
        ids.push(match outcome {
            StartOutcome::Started(advanced) => (advanced.saga.id, true),
            StartOutcome::Exists(saga) => {
                assert_eq!(*saga, read(&lab, saga.id).await);
                (saga.id, false)
            }
            other => panic!("{other:?}"),
        });
    }
    let [again, second, beside, other] = ids.try_into().expect("four");
    assert_eq!(again, (first, false));
    assert!(second.1 && other.1);
    assert_eq!(beside, (second.0, false));
    assert_eq!(tasks_of(&lab, first).await.len(), 1);
    assert_eq!(tasks_of(&lab, second.0).await.len(), 1);
    // Also when it is over.
    raise(&lab, other.0, "stop").await;
    let outcomes = start_all(&lab, &[new("counter", "o-1")]).await;
    assert!(
        matches!(&outcomes[0], StartOutcome::Exists(saga) if saga.id == other.0),
        "{outcomes:?}"
    );
}

fn keyed(lab: &Lab, key: &str, body: u8, correlation_id: &str) -> NewSaga {
    NewSaga {
        idempotency: Some(IdempotencyKey {
            scope: "default".to_owned(),
            key: key.to_owned(),
            body_hash: [body; 32],
        }),
        ..new_saga(lab, "counter", correlation_id)
    }
}

pub(crate) async fn a_start_is_repeated_by_its_idempotency_key(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let refused = NewSaga {
        version: Some(7),
        ..keyed(&lab, "k", 1, "c-1")
    };
    let outcomes = start_all(&lab, &[refused]).await;
    assert!(matches!(outcomes[0], StartOutcome::NoDefinition), "{outcomes:?}");

    // The correlation ids differ, as those do that the engine makes up; beside the first of a key in one call, too.
    let new = keyed(&lab, "k", 1, "c-1");
    let mut outcomes = start_all(
        &lab,
        &[new.clone(), keyed(&lab, "k", 1, "c-2"), keyed(&lab, "other", 1, "c-3")],
    )
    .await;
    started(outcomes.pop().expect("three"));
    assert_eq!(outcomes[1], StartOutcome::Replayed(new.id));
    started(outcomes.remove(0));
    let again = [
        keyed(&lab, "k", 1, "c-4"),
        keyed(&lab, "k", 2, "c-5"),
        keyed(&lab, "k", 2, "c-1"),
    ];
    let outcomes = start_all(&lab, &again).await;
    assert_eq!(
        outcomes,
        [
            StartOutcome::Replayed(new.id),
            StartOutcome::KeyReused,
            StartOutcome::KeyReused
        ]
    );
    // The answer to its commit was lost.
    let outcomes = start_all(&lab, std::slice::from_ref(&new)).await;
    assert!(
        matches!(&outcomes[0], StartOutcome::Exists(saga) if saga.id == new.id),
        "{outcomes:?}"
    );

    // A key that has found the saga of another start stands for that.
    let outcomes = start_all(&lab, &[keyed(&lab, "late", 1, "c-1")]).await;
    assert!(
        matches!(&outcomes[0], StartOutcome::Exists(saga) if saga.id == new.id),
        "{outcomes:?}"
    );
    let outcomes = start_all(&lab, &[keyed(&lab, "late", 1, "c-6"), keyed(&lab, "late", 2, "c-6")]).await;
    assert_eq!(outcomes, [StartOutcome::Replayed(new.id), StartOutcome::KeyReused]);
    assert_eq!(sagas(&lab, &SagaFilter::default()).await.len(), 2, "of two keys");
}

pub(crate) async fn of_starts_at_once_with_one_key_one_starts_a_saga(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    for round in 0..10 {
        let starts: Vec<_> = (0..8)
            .map(|caller| {
                let (store, now) = (Arc::clone(&lab.store), lab.now);
                let saga = keyed(&lab, &format!("k-{round}"), 1, &format!("c-{round}-{caller}"));
                tokio::spawn(async move { store.start_sagas(&[saga], now).await.expect("works") })
            })
            .collect();
        let (mut ids, mut new) = (Vec::new(), 0);
        for outcomes in futures::future::join_all(starts).await {
            ids.push(match outcomes.expect("no panic").remove(0) {
                StartOutcome::Started(advanced) => {
                    new += 1;
                    advanced.saga.id
                }
                StartOutcome::Replayed(id) => id,
                other => panic!("{other:?}"),
            });
        }
        ids.dedup();
        assert_eq!((new, ids.len()), (1, 1), "all are told of the same");
    }
}

pub(crate) async fn of_starts_at_once_one_starts_a_saga(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    for round in 0..10 {
        let correlation_id = format!("o-{round}");
        let starts: Vec<_> = (0..8)
            .map(|_| {
                let (store, now) = (Arc::clone(&lab.store), lab.now);
                // Beside others, which must start all the same.
                let sagas = [
                    new_saga(&lab, "order", &correlation_id),
                    new_saga(&lab, "order", &lab.id().to_string()),
                ];
                tokio::spawn(async move { store.start_sagas(&sagas, now).await.expect("works") })
            })
            .collect();
        let (mut ids, mut new) = (Vec::new(), 0);
        for outcomes in futures::future::join_all(starts).await {
            let [one, other] = outcomes.expect("no panic").try_into().expect("two");
            started(other);
            ids.push(match one {
                StartOutcome::Started(advanced) => {
                    new += 1;
                    advanced.saga.id
                }
                StartOutcome::Exists(saga) => saga.id,
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(new, 1);
        ids.dedup();
        assert_eq!(ids.len(), 1, "all are told of the same");
        assert_eq!(tasks_of(&lab, ids[0]).await.len(), 1);
    }
}

pub(crate) async fn a_saga_keeps_the_version_with_which_it_began(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let old = start(&lab, "counter", "old").await;
    define(&lab, &COUNTER.replace("context.count + 1", "context.count + 10")).await;
    let young = start(&lab, "counter", "young").await;
    let chosen = NewSaga {
        version: Some(1),
        ..new_saga(&lab, "counter", "chosen")
    };
    let chosen = started(start_all(&lab, &[chosen]).await.remove(0)).saga.id;
    for (saga, version, count) in [(old, 1, "1"), (young, 2, "10"), (chosen, 1, "1")] {
        let advanced = raise(&lab, saga, "add").await;
        assert_eq!(advanced.saga.definition_version, version);
        assert_eq!(field(&advanced.saga.instance, "count"), count);
    }
}

pub(crate) async fn many_sagas_are_started_and_looked_at_in_one_call(store: Arc<dyn Store>) {
    const MANY: usize = 700;
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let new: Vec<NewSaga> = (0..MANY)
        .map(|number| new_saga(&lab, "order", &format!("o-{number}")))
        .collect();
    let mut issued = 0;
    for outcome in start_all(&lab, &new).await {
        issued += started(outcome).consequences.issued;
    }
    assert_eq!(issued, MANY);
    let worker = lab.echo_worker().await;
    let mut claimed = Vec::new();
    while claimed.len() < MANY {
        claimed.extend(lab.claim(worker).await);
    }
    let reports = claimed.iter().map(|task| success(task, "{\"paid\":true}")).collect();
    lab.apply_all(reports).await;
    assert!(lab.store.pulse(lab.now, SECOND).await.expect("works").unlooked_sagas);
    let mut waiting = unlooked(&lab).await;
    waiting.sort_unstable();
    assert_eq!(waiting, new.iter().map(|saga| saga.id).collect::<Vec<_>>());
    let looks: Vec<Advance> = new.iter().map(|saga| looking(&lab, saga.id)).collect();
    let (mut issued, mut ready) = (0, 0);
    for (outcome, saga) in advance(&lab, &looks).await.into_iter().zip(&new) {
        let advanced = taken(outcome);
        assert_eq!(advanced.saga.id, saga.id);
        assert_at(&advanced.saga.instance, "Reserving", SagaStatus::Running);
        assert_eq!(field(&advanced.saga.instance, "payment"), "{\"paid\":true}");
        issued += advanced.consequences.issued;
        ready += advanced.consequences.ready.len();
    }
    assert_eq!((issued, ready), (MANY, MANY));
    assert_eq!(unlooked(&lab).await, []);
}

pub(crate) async fn sagas_are_listed_newest_first_by_what_is_asked_for(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, ORDER).await;
    define(&lab, COUNTER).await;
    let paying = start(&lab, "order", "same").await;
    let counting = start(&lab, "counter", "same").await;
    let stopped = start(&lab, "counter", "stopped").await;
    raise(&lab, stopped, "stop").await;
    lab.advance(SECOND);
    let young = start(&lab, "order", "young").await;
    let filter = SagaFilter::default;
    assert_eq!(sagas(&lab, &filter()).await, [young, stopped, counting, paying]);
    for (filter, expected) in [
        (
            SagaFilter {
                definition: Some(definition_name("order")),
                ..filter()
            },
            vec![young, paying],
        ),
        (
            SagaFilter {
                state: Some("Stopped".parse().expect("a name")),
                ..filter()
            },
            vec![stopped],
        ),
        (
            SagaFilter {
                status: Some(SagaStatus::Running),
                ..filter()
            },
            vec![young, counting, paying],
        ),
        (
            SagaFilter {
                status: Some(SagaStatus::Completed),
                ..filter()
            },
            vec![stopped],
        ),
        (
            SagaFilter {
                correlation_id: Some("same".to_owned()),
                ..filter()
            },
            vec![counting, paying],
        ),
        (
            SagaFilter {
                unchanged_since: Some(lab.now),
                ..filter()
            },
            vec![counting, paying],
        ),
    ] {
        assert_eq!(sagas(&lab, &filter).await, expected, "{filter:?}");
    }
    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let page = lab.store.sagas(&filter(), before, 3).await.expect("works");
        listed.extend(page.items.into_iter().map(|saga| saga.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(listed, [young, stopped, counting, paying]);
}

pub(crate) async fn a_saga_that_was_cancelled_is_in_no_state(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let counting = start(&lab, "counter", "counting").await;
    let cancelled = start(&lab, "counter", "cancelled").await;
    let Saga { instance, .. } = taken(bring(&lab, cancelled, Input::CancelRequested).await).saga;
    assert_eq!(instance.status(), SagaStatus::Cancelled);
    for definition in [None, Some(definition_name("counter"))] {
        let in_its_state = SagaFilter {
            definition,
            state: Some(instance.state.clone()),
            ..SagaFilter::default()
        };
        assert_eq!(sagas(&lab, &in_its_state).await, [counting]);
        let where_it_was = SagaFilter {
            status: Some(SagaStatus::Cancelled),
            ..in_its_state
        };
        assert_eq!(sagas(&lab, &where_it_was).await, [cancelled]);
    }
}

pub(crate) async fn stale_sagas_of_several_statuses_are_one_list(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, ORDER).await;
    define(&lab, COUNTER).await;
    let worker = lab.echo_worker().await;
    let mut expected = Vec::new();
    for number in 0..3 {
        let undone = start(&lab, "order", &number.to_string()).await;
        lab.claim_one(worker).await;
        taken(bring(&lab, undone, Input::CancelRequested).await);
        assert_stands(&lab, undone, "Paying", SagaStatus::Compensating).await;
        let counting = start(&lab, "counter", &number.to_string()).await;
        let stopped = start(&lab, "counter", &format!("stopped {number}")).await;
        raise(&lab, stopped, "stop").await;
        expected.extend([undone, counting]);
    }
    expected.reverse();
    lab.advance(SECOND);
    start(&lab, "counter", "young").await;
    let stale = SagaFilter {
        unchanged_since: Some(lab.now),
        ..SagaFilter::default()
    };
    for limit in [1, 2, 4, 100] {
        let (mut listed, mut before) = (Vec::new(), None);
        loop {
            let page = lab.store.sagas(&stale, before, limit).await.expect("works");
            assert!(page.items.len() <= limit);
            listed.extend(page.items.into_iter().map(|saga| saga.id));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(listed, expected, "{limit} a page");
    }
    let counting = SagaFilter {
        definition: Some(definition_name("counter")),
        ..stale
    };
    let counting = sagas(&lab, &counting).await;
    assert_eq!(counting, [expected[0], expected[2], expected[4]]);
}

/// It asks somebody, and waits.
const ASKING: &str = "
name: asking
initial: Initial
states:
  Initial: {on: {start: {target: Asking}}}
  Asking:
    await_input: {event: answered, prompt: Go on?}
    on: {answered: {target: Done}}
  Done: {final: true}
";

pub(crate) async fn one_that_waits_for_an_answer_is_not_stale(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, COUNTER).await;
    define(&lab, ASKING).await;
    let counting = start(&lab, "counter", "c-1").await;
    let asking = start(&lab, "asking", "a-1").await;
    lab.advance(SECOND);
    let stale = SagaFilter {
        unchanged_since: Some(lab.now),
        ..SagaFilter::default()
    };
    assert_eq!(sagas(&lab, &stale).await, [counting]);
    for (status, found) in [(SagaStatus::AwaitingInput, asking), (SagaStatus::Running, counting)] {
        let filter = SagaFilter {
            status: Some(status),
            ..stale.clone()
        };
        assert_eq!(sagas(&lab, &filter).await, [found], "whoever asks for them has them");
    }
}

pub(crate) async fn pages_of_large_sagas_end_early(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let large = json(&format!("\"{}\"", "x".repeat(900_000)));
    for number in 0..12 {
        let saga = NewSaga {
            input: large.clone(),
            ..new_saga(&lab, "counter", &number.to_string())
        };
        started(start_all(&lab, &[saga]).await.remove(0));
    }
    let (mut pages, mut seen, mut before) = (0, 0, None);
    loop {
        let page = lab
            .store
            .sagas(&SagaFilter::default(), before, 100)
            .await
            .expect("works");
        assert!(!page.items.is_empty(), "each page has one at least");
        pages += 1;
        seen += page.items.len();
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, 12);
    assert!(pages > 1, "they are too much for one answer");
}

pub(crate) async fn whoever_is_addressed_by_a_correlation_id_is_told_with_its_status(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    define(&lab, COUNTER).await;
    let order = start(&lab, "order", "c-1").await;
    let counter = start(&lab, "counter", "c-1").await;
    start(&lab, "counter", "c-2").await;
    raise(&lab, counter, "stop").await;
    let found = lab.store.addressees("c-1").await.expect("works");
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.saga, one.definition.as_str(), one.status))
        .collect();
    assert_eq!(
        found,
        [
            (counter, "counter", SagaStatus::Completed),
            (order, "order", SagaStatus::Running)
        ]
    );
    assert_eq!(lab.store.addressees("c-3").await.expect("works"), []);
}

pub(crate) async fn where_sagas_stand_is_read_without_what_they_hold(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ORDER).await;
    let saga = start(&lab, "order", "o-1").await;
    let unknown = SagaId(lab.id().0);
    assert_eq!(lab.store.saga(unknown).await.expect("works"), None);
    let task = claim_of(&lab, saga).await;
    lab.end(&task, Ending::Success).await;
    let advanced = look(&lab, saga).await;
    let stand = |version: u64, state: &str| Stand {
        status: SagaStatus::Running,
        state: state.parse().expect("a name"),
        version,
    };
    assert_eq!(advanced.before, Some(stand(1, "Paying")));
    assert_stands(&lab, saga, "Reserving", SagaStatus::Running).await;
    let stands = lab.store.saga_stands(&[unknown, saga]).await.expect("works");
    assert_eq!(stands, [(saga, stand(2, "Reserving"))]);
}
