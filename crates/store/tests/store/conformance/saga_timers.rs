//! The timers of sagas.

use std::sync::Arc;

use orchestratum_core::saga::{SagaStatus, Timer};
use orchestratum_core::task::Ending;
use orchestratum_core::{SagaId, Timestamp};
use orchestratum_store::{EventKind, FiredTimers, PendingTimer, Store};

use super::lab::{Lab, SECOND, TICK};
use super::saga_lab::{
    ORDER, assert_at, assert_stands, claim_of, define, history, look, look_at_all, new_saga, raise, start, start_all,
    started, unlooked, work,
};

async fn fire(lab: &Lab, limit: usize) -> FiredTimers {
    lab.store.fire_saga_timers(limit, lab.now).await.expect("works")
}

async fn next_timer(lab: &Lab) -> Option<Timestamp> {
    lab.store
        .pulse(lab.now, SECOND)
        .await
        .expect("works")
        .next_saga_timer_at
}

fn fired(sagas: &[SagaId], more: bool) -> FiredTimers {
    FiredTimers {
        sagas: sagas.to_vec(),
        more,
    }
}

pub(crate) async fn a_timer_fires_once_when_it_is_due(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, ORDER).await;
    let saga = start(&lab, "order", "o-1").await;
    let due_at = lab.now + SECOND * 900;
    lab.now = due_at - TICK;
    assert_eq!(fire(&lab, 10).await, FiredTimers::default());
    lab.now = due_at;
    assert_eq!(next_timer(&lab).await, Some(due_at));
    assert_eq!(fire(&lab, 10).await, fired(&[saga], false));
    assert_eq!(fire(&lab, 10).await, FiredTimers::default());
    assert_eq!(next_timer(&lab).await, None);
    assert_eq!(unlooked(&lab).await, [saga]);
    let advanced = look(&lab, saga).await;
    assert_at(&advanced.saga.instance, "Failed", SagaStatus::Running);
    look_at_all(&lab).await;
    assert_stands(&lab, saga, "Failed", SagaStatus::Failed).await;
    let told = history(&lab, saga).await;
    assert_eq!(
        (told[1].kind, told[1].number, told[1].received_at),
        (EventKind::Timer, Some(0), due_at)
    );
}

pub(crate) async fn a_timer_of_a_state_that_was_left_is_gone(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, ORDER).await;
    let saga = start(&lab, "order", "o-1").await;
    work(&lab, saga, Ending::Success).await;
    assert_eq!(next_timer(&lab).await, None);
    lab.advance(SECOND * 900);
    assert_eq!(fire(&lab, 10).await, FiredTimers::default());
}

const ASKING: &str = "
name: asking
initial: Initial
timeout: {after_seconds: 900, target: Failed}
states:
  Initial: {on: {start: {target: Asking}}}
  Asking:
    await_input:
      event: answered
      prompt: Well?
      reminders: [{seconds: 300, event: reminded}, {seconds: 100, event: reminded}]
      default_after: {seconds: 400, data: no}
    after: [{seconds: 200, set: {late: true}}]
    on: {answered: {target: Done}, reminded: {set: {late: true}}}
  Done: {final: true}
  Failed: {final: failed}
";

pub(crate) async fn timers_are_told_in_the_order_in_which_they_are_due(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    define(&lab, ASKING).await;
    let saga = start(&lab, "asking", "a-1").await;
    // Of another saga nothing is told.
    start(&lab, "asking", "a-2").await;
    let entry = lab
        .store
        .saga(saga)
        .await
        .expect("works")
        .expect("it is there")
        .instance
        .entry;
    let pending = |timer: Timer, seconds: u32| PendingTimer {
        timer,
        due_at: lab.now + SECOND * seconds,
    };
    let all = [
        pending(Timer::Reminder { entry, index: 1 }, 100),
        pending(Timer::After { entry, index: 0 }, 200),
        pending(Timer::Reminder { entry, index: 0 }, 300),
        pending(Timer::DefaultAnswer { entry }, 400),
        pending(Timer::Saga, 900),
    ];
    assert_eq!(lab.store.saga_timers(saga, 100).await.expect("works"), all);
    assert_eq!(lab.store.saga_timers(saga, 2).await.expect("works"), all[..2]);
    raise(&lab, saga, "answered").await;
    assert_eq!(lab.store.saga_timers(saga, 100).await.expect("works"), []);
}

pub(crate) async fn a_timer_that_fires_behind_what_leaves_its_state_is_refused(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, ORDER).await;
    let saga = start(&lab, "order", "o-1").await;
    lab.advance(SECOND * 899);
    let task = claim_of(&lab, saga).await;
    lab.end(&task, Ending::Success).await;
    lab.advance(SECOND);
    assert_eq!(fire(&lab, 10).await, fired(&[saga], false));
    let advanced = look(&lab, saga).await;
    assert_at(&advanced.saga.instance, "Reserving", SagaStatus::Running);
    let told = history(&lab, saga).await;
    assert_eq!((told.len(), told[2].kind, told[2].version), (3, EventKind::Timer, 2));
    assert_eq!(
        told[2].refusal.as_deref(),
        Some("the timer belongs to a state that was left")
    );
}

pub(crate) async fn timers_that_are_due_fire_in_their_order_in_bounded_passes(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    define(&lab, ORDER).await;
    let mut sagas = Vec::new();
    for number in 0..5 {
        sagas.push(start(&lab, "order", &format!("o-{number}")).await);
        // The younger saga is due first.
        lab.now = lab.now - SECOND;
    }
    lab.advance(SECOND * 1_000);
    sagas.reverse();
    for (most, expected, more) in [(2, 0..2, true), (2, 2..4, true), (2, 4..5, false)] {
        let mut expected: Vec<SagaId> = sagas[expected].to_vec();
        expected.sort_unstable();
        assert_eq!(fire(&lab, most).await, fired(&expected, more));
    }
    assert_eq!(unlooked(&lab).await, sagas);
    look_at_all(&lab).await;
}

/// Two ways out of its state that are due together, and a question that is asked again then.
const TOGETHER: &str = "
name: together
initial: Initial
states:
  Initial: {on: {start: {target: Asking}}}
  Asking:
    await_input:
      event: answered
      prompt: Go on?
      reminders: [{seconds: 5, event: reminded}]
    on: {answered: {target: Second}, reminded: {}}
    after:
      - {seconds: 5, if: saga.correlation_id != '', target: First}
      - {seconds: 5, if: saga.correlation_id != '', target: Second}
  First: {final: true}
  Second: {final: true}
";

pub(crate) async fn of_timers_of_a_state_that_are_due_together_the_first_of_their_list_goes_first(
    store: Arc<dyn Store>,
) {
    let mut lab = Lab::new(store);
    define(&lab, TOGETHER).await;
    let new: Vec<_> = (0..40)
        .map(|number| new_saga(&lab, "together", &number.to_string()))
        .collect();
    for outcome in start_all(&lab, &new).await {
        started(outcome);
    }
    lab.advance(SECOND * 5);
    // A pass may end between them.
    while fire(&lab, 7).await.more {}
    look_at_all(&lab).await;
    for saga in new {
        assert_stands(&lab, saga.id, "First", SagaStatus::Completed).await;
    }
}

pub(crate) async fn several_that_look_for_timers_at_once_fire_each_once(store: Arc<dyn Store>) {
    const SAGAS: usize = 60;
    let mut lab = Lab::new(store);
    define(&lab, ORDER).await;
    let new: Vec<_> = (0..SAGAS)
        .map(|number| new_saga(&lab, "order", &number.to_string()))
        .collect();
    for outcome in start_all(&lab, &new).await {
        started(outcome);
    }
    lab.advance(SECOND * 901);
    let firing: Vec<_> = (0..4)
        .map(|_| {
            let (store, now) = (Arc::clone(&lab.store), lab.now);
            tokio::spawn(async move {
                let mut sagas = Vec::new();
                loop {
                    let fired = store.fire_saga_timers(7, now).await.expect("works");
                    sagas.extend(fired.sagas);
                    if !fired.more {
                        return sagas;
                    }
                }
            })
        })
        .collect();
    for sagas in futures::future::join_all(firing).await {
        sagas.expect("no panic");
    }
    // One pass may have passed over what another had in its hands.
    fire(&lab, SAGAS).await;
    look_at_all(&lab).await;
    for saga in &new {
        assert_stands(&lab, saga.id, "Failed", SagaStatus::Failed).await;
        let fired = history(&lab, saga.id).await;
        let fired = fired.iter().filter(|entry| entry.kind == EventKind::Timer).count();
        assert_eq!(fired, 1);
    }
}
