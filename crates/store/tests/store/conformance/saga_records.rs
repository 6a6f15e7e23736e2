//! What is kept of sagas, and for how long.

use std::collections::BTreeMap;
use std::sync::Arc;

use orchestratum_core::saga::{CompiledDefinition, Event, Input, Instance, Outcome, SagaStatus, Timer, check, step};
use orchestratum_core::task::{Ending, SpecLimits};
use orchestratum_core::{JsonText, SagaId, Timestamp};
use orchestratum_store::{EventKind, HistoryEntry, NewSaga, SagaFilter, Store};

use super::lab::{Lab, SECOND};
use super::saga_lab::{
    COUNTER, ORDER, assert_stands, bring, define, event, event_name, for_good, history, json, look_at_all, new_saga,
    newest_undo, raise, read, refused, start, start_all, started, tasks_of, unlooked, waiting_order, work,
};

/// Each of these breaks one rule that `doctor` checks, of sagas as [`one_in_each_phase`] leaves them.
pub(crate) const SAGA_VIOLATIONS: [(&str, &str); 9] = [
    (
        "DELETE FROM saga_events WHERE seq = 2",
        "the history of a saga has no gap, and its version is the number of entries that were taken",
    ),
    (
        "UPDATE sagas SET version = version + 1 WHERE status = 0",
        "the history of a saga has no gap, and its version is the number of entries that were taken",
    ),
    (
        "DELETE FROM sagas WHERE status = 5",
        "whatever belongs to a saga belongs to one that is there",
    ),
    (
        "UPDATE tasks SET saga_id = (SELECT id FROM sagas WHERE status = 5) WHERE saga_id IS NOT NULL AND status = 0",
        "a saga that is over has no live task, no live child and no timer",
    ),
    (
        "UPDATE sagas SET parent_id = (SELECT id FROM sagas WHERE status = 5), parent_number = 1, depth = 1 WHERE status = 0",
        "a saga that is over has no live task, no live child and no timer",
    ),
    (
        "UPDATE saga_timers SET saga_id = (SELECT id FROM sagas WHERE status = 5)",
        "a saga that is over has no live task, no live child and no timer",
    ),
    (
        "DELETE FROM tasks WHERE saga_id IS NOT NULL AND NOT saga_undoes",
        "each task or child that a saga waits for is live, or its end has reached the saga",
    ),
    (
        "UPDATE tasks SET saga_number = saga_number + 100 WHERE saga_id IS NOT NULL AND NOT saga_undoes",
        "each task or child that a saga waits for is live, or its end has reached the saga",
    ),
    (
        "DELETE FROM tasks WHERE saga_id IS NOT NULL AND saga_undoes",
        "the compensation that a saga runs is live, or its end has reached the saga",
    ),
];

/// A saga that waits for its task, one that undoes what was done, and one that is over.
pub(crate) async fn one_in_each_phase(lab: &Lab) {
    define(lab, ORDER).await;
    define(lab, COUNTER).await;
    start(lab, "order", "running").await;
    let undoing = waiting_order(lab, "undoing").await;
    raise(lab, undoing, "refused").await;
    let ended = start(lab, "counter", "ended").await;
    raise(lab, ended, "stop").await;
}

pub(crate) async fn sagas_that_are_not_over_are_counted_by_status(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    assert_eq!(lab.store.count_live_sagas().await.expect("works"), BTreeMap::new());
    one_in_each_phase(&lab).await;
    start(&lab, "order", "another").await;
    let counts = lab.store.count_live_sagas().await.expect("works");
    let expected = BTreeMap::from([(SagaStatus::Running, 2), (SagaStatus::Compensating, 1)]);
    assert_eq!(counts, expected, "those that are over are not counted");
}

/// What an entry of the history of an [`ORDER`] says has reached it. Its timers are all of one kind.
fn input(entry: &HistoryEntry, instance: &Instance) -> Input {
    let number = || entry.number.expect("a number");
    let outcome = || match &entry.error {
        None => Outcome::Succeeded {
            output: entry.data.clone().expect("an output"),
        },
        Some(error) => Outcome::Unsuccessful {
            error: serde_json::from_str(error.as_str()).expect("an error"),
            // No task of it has something of its own to be undone.
            may_have_run: true,
        },
    };
    let event = || Event {
        id: entry.event_id.clone().expect("an id"),
        name: event_name(entry.name.as_deref().expect("a name")),
        data: entry.data.clone().expect("data"),
    };
    match entry.kind {
        EventKind::Started => Input::Started(event()),
        EventKind::Event => Input::EventRaised(event()),
        EventKind::TaskEnded => Input::TaskEnded {
            number: number(),
            outcome: outcome(),
        },
        EventKind::CompensationEnded => Input::CompensationEnded {
            number: number(),
            outcome: outcome(),
        },
        EventKind::Timer => Input::TimerFired(Timer::After {
            entry: instance.entry,
            index: u16::try_from(number()).expect("a small number"),
        }),
        EventKind::Cancel => Input::CancelRequested,
        EventKind::CompensationRetried => Input::CompensationRetried { number: number() },
        EventKind::CompensationSkipped => Input::CompensationSkipped { number: number() },
        EventKind::ParkedRetried | EventKind::ParkedDiscarded | EventKind::Retried | EventKind::Migrated => {
            panic!("{entry:?}")
        }
    }
}

/// The instance that follows from the history alone.
fn folded(saga: SagaId, correlation_id: &str, start: JsonText, history: &[HistoryEntry]) -> Instance {
    let checked = check(ORDER, &SpecLimits::default(), Timestamp::EPOCH).unwrap_or_else(|faults| panic!("{faults}"));
    let definition = CompiledDefinition::new(checked.definition).unwrap_or_else(|faults| panic!("{faults}"));
    let mut instance = Instance::new(definition.definition(), saga, correlation_id.to_owned(), start);
    for (entry, seq) in history.iter().zip(1..) {
        assert_eq!(entry.seq, seq, "no gap");
        assert_eq!(entry.from, instance.state);
        if entry.refusal.is_none() {
            let input = input(entry, &instance);
            let limits = SpecLimits::default();
            let step = step(&definition, instance, input, &limits, entry.processed_at);
            instance = step
                .unwrap_or_else(|rejection| panic!("{entry:?}: {rejection}"))
                .instance;
        }
        assert_eq!((&entry.to, entry.version), (&instance.state, instance.version));
    }
    instance
}

pub(crate) async fn a_saga_is_what_its_history_leads_to(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, ORDER).await;
    let mut sagas = Vec::new();
    for way in [
        "paying",
        "waiting",
        "completed",
        "stuck",
        "undone",
        "timed out",
        "cancelled",
    ] {
        lab.advance(SECOND);
        let saga = start(&lab, "order", way).await;
        sagas.push((saga, way));
        refused(bring(&lab, saga, event("e", "shipped", "1")).await);
        if way == "paying" {
            continue;
        }
        if way == "timed out" {
            let mut later = Lab::new(Arc::clone(&lab.store));
            later.now = lab.now + SECOND * 900;
            later.store.fire_saga_timers(1_000, later.now).await.expect("works");
            look_at_all(&later).await;
            continue;
        }
        work(&lab, saga, Ending::Success).await;
        work(&lab, saga, Ending::Success).await;
        match way {
            "completed" => drop(raise(&lab, saga, "shipped").await),
            "cancelled" => {
                bring(&lab, saga, Input::CancelRequested).await;
                refused(bring(&lab, saga, Input::CancelRequested).await);
                work(&lab, saga, Ending::Success).await;
                work(&lab, saga, Ending::Success).await;
            }
            "stuck" | "undone" => {
                raise(&lab, saga, "refused").await;
                work(&lab, saga, for_good()).await;
                let number = newest_undo(&lab, saga).await;
                if way == "undone" {
                    bring(&lab, saga, Input::CompensationRetried { number }).await;
                    work(&lab, saga, for_good()).await;
                    bring(&lab, saga, Input::CompensationSkipped { number }).await;
                    work(&lab, saga, Ending::Success).await;
                }
            }
            _ => {}
        }
    }
    for (id, way) in sagas {
        let saga = read(&lab, id).await;
        let told = history(&lab, id).await;
        let folded = folded(id, way, saga.instance.input.clone(), &told);
        assert_eq!(folded, saga.instance, "{way}");
        let version = told.iter().filter(|entry| entry.refusal.is_none()).count();
        assert_eq!(usize::try_from(saga.instance.version).ok(), Some(version), "{way}");
    }
}

pub(crate) async fn a_history_is_read_in_pages(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let saga = start(&lab, "counter", "c-1").await;
    for _ in 0..6 {
        raise(&lab, saga, "add").await;
    }
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = lab.store.saga_history(saga, after, 3).await.expect("works");
        pages.push(page.items.iter().map(|entry| entry.seq).collect::<Vec<_>>());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);
    let unknown = SagaId(lab.id().0);
    let none = lab.store.saga_history(unknown, None, 3).await.expect("works");
    assert_eq!((none.items, none.next), (vec![], None));
}

pub(crate) async fn pages_of_large_entries_end_early(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, &COUNTER.replace("[event.data]", "[1]")).await;
    let saga = start(&lab, "counter", "c-1").await;
    let large = format!("\"{}\"", "x".repeat(900_000));
    for number in 0..12 {
        super::saga_lab::taken(bring(&lab, saga, event(&number.to_string(), "add", &large)).await);
    }
    let (mut pages, mut seen, mut after) = (0, 0, None);
    loop {
        let page = lab.store.saga_history(saga, after, 100).await.expect("works");
        assert!(!page.items.is_empty(), "each page has one at least");
        pages += 1;
        seen += page.items.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 13);
    assert!(pages > 1, "they are too much for one answer");
}

pub(crate) async fn purging_takes_sagas_that_ended_long_ago_with_their_histories(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, ORDER).await;
    let ended = start(&lab, "order", "ended").await;
    work(&lab, ended, for_good()).await;
    assert_stands(&lab, ended, "Failed", SagaStatus::Failed).await;
    let live = waiting_order(&lab, "live").await;
    lab.advance(SECOND);
    let before = lab.now;
    let young = start(&lab, "order", "young").await;
    work(&lab, young, for_good()).await;
    let purged = lab.store.purge_finished(before, 100).await.expect("works");
    assert_eq!(purged, 2, "the saga that ended and its task");
    assert_eq!(lab.store.saga(ended).await.expect("works"), None);
    assert_eq!(history(&lab, ended).await, []);
    assert_eq!(tasks_of(&lab, ended).await, []);
    assert_eq!(tasks_of(&lab, live).await.len(), 2, "tasks of a saga that goes on stay");
    assert_eq!(history(&lab, live).await.len(), 3);
    assert_eq!(history(&lab, young).await.len(), 2);
    assert_eq!(lab.store.purge_finished(before, 100).await.expect("works"), 0);
    assert_eq!(unlooked(&lab).await, []);
    start(&lab, "order", "ended").await;
}

pub(crate) async fn purging_takes_histories_in_bounded_passes(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, COUNTER).await;
    for number in 0..3 {
        let saga = start(&lab, "counter", &number.to_string()).await;
        for _ in 0..4 {
            raise(&lab, saga, "add").await;
        }
        raise(&lab, saga, "stop").await;
    }
    lab.advance(SECOND);
    // Each has six entries.
    for (limit, expected) in [(13, 2), (2, 1), (2, 0)] {
        assert_eq!(lab.store.purge_finished(lab.now, limit).await.expect("works"), expected);
    }
}

pub(crate) async fn unusual_characters_come_back(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, COUNTER).await;
    let input = json(r#"{"pair": "\ud83e\udd80", "quote": "'\\\"", "more": "ü ✓ 🦀"}"#);
    let saga = NewSaga {
        input: input.clone(),
        ..new_saga(&lab, "counter", "ü ✓ '")
    };
    let id = saga.id;
    started(start_all(&lab, &[saga]).await.remove(0));
    super::saga_lab::taken(bring(&lab, id, event("ü ✓ '", "add", r#""\u0001🦀""#)).await);
    let saga = read(&lab, id).await;
    assert_eq!(
        (saga.instance.correlation_id.as_str(), &saga.instance.input),
        ("ü ✓ '", &input)
    );
    assert_eq!(super::saga_lab::field(&saga.instance, "added"), r#"["\u0001🦀"]"#);
    let told = history(&lab, id).await;
    assert_eq!(told[1].data.as_ref().map(JsonText::as_str), Some(r#""\u0001🦀""#));
    let filter = SagaFilter {
        correlation_id: Some("ü ✓ '".to_owned()),
        ..SagaFilter::default()
    };
    let page = lab.store.sagas(&filter, None, 10).await.expect("works");
    assert_eq!(page.items, [saga]);
}
