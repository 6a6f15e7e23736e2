//! What the background loops look for.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::{Ending, TaskDraft};
use orchestratum_core::{JsonText, TaskId, TaskName};

use super::lab::{LEASE, Lab, SECOND, TICK, draft, just_before, target};
use orchestratum_store::{
    Announce, EXTERNAL_SILENCE, ExternalClaim, NewTask, Orphan, PUBLISH_LEASE, Pulse, Ready, Registration, Store,
    UnofferedSearch,
};

const GRACE: Duration = Duration::from_secs(3);

async fn pulse(lab: &Lab) -> Pulse {
    lab.store.pulse(lab.now, GRACE).await.expect("works")
}

fn later(seconds: f64) -> TaskDraft {
    TaskDraft {
        delay_seconds: Some(seconds),
        ..draft("echo")
    }
}

fn with_ttl(seconds: f64) -> TaskDraft {
    TaskDraft {
        ttl_seconds: Some(seconds),
        ..draft("echo")
    }
}

fn at(target: &str) -> TaskDraft {
    TaskDraft {
        target: Some(target.to_owned()),
        ..draft("echo")
    }
}

fn ids(ready: &[Ready]) -> Vec<TaskId> {
    ready.iter().map(|ready| ready.task).collect()
}

pub(crate) async fn an_idle_store_has_no_pulse(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    assert_eq!(pulse(&lab).await, Pulse::default());
    lab.echo_worker().await;
    let idle = Pulse {
        served_targets: [target("default")].into(),
        ..Pulse::default()
    };
    assert_eq!(pulse(&lab).await, idle);
    lab.finished(draft("echo")).await;
    assert_eq!(pulse(&lab).await, idle);
}

pub(crate) async fn the_pulse_tells_when_the_next_task_is_due(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.create(later(5.0)).await;
    lab.create(later(2.0)).await;
    let due_at = lab.now + SECOND * 2;
    assert_eq!(pulse(&lab).await.next_due_at, Some(due_at));
    lab.echo_worker().await;
    assert_eq!(pulse(&lab).await.ready_targets, [].into(), "none of them is ready");
    lab.advance(SECOND * 3);
    assert_eq!(pulse(&lab).await.next_due_at, Some(due_at), "until it is released");
}

pub(crate) async fn the_pulse_tells_the_next_deadline_of_a_pending_task(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.create(with_ttl(9.0)).await;
    lab.create(with_ttl(4.0)).await;
    let deadline = lab.now + SECOND * 4;
    assert_eq!(pulse(&lab).await.next_deadline, Some(deadline));
    lab.advance(SECOND * 5);
    assert_eq!(pulse(&lab).await.next_deadline, Some(deadline), "until it is expired");
}

pub(crate) async fn the_pulse_tells_of_running_tasks_past_their_deadline_and_grace(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.running(with_ttl(1.0)).await;
    lab.advance(SECOND + GRACE);
    assert!(!pulse(&lab).await.overdue_running, "its worker has the whole grace");
    lab.advance(TICK);
    assert!(pulse(&lab).await.overdue_running);
}

pub(crate) async fn the_pulse_tells_of_silent_workers_and_then_of_orphans(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.running(draft("echo")).await;
    let flags = async |lab: &Lab| {
        let pulse = pulse(lab).await;
        (pulse.silent_workers, pulse.orphans)
    };
    assert_eq!(flags(&lab).await, (false, false));
    lab.advance(LEASE);
    assert_eq!(flags(&lab).await, (true, false), "first it is marked dead");
    lab.store.mark_dead(lab.now).await.expect("works");
    assert_eq!(flags(&lab).await, (false, true));
}

pub(crate) async fn the_pulse_tells_which_targets_of_the_workers_have_ready_tasks(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.worker(&["gpu", "idle"], &["echo"]).await;
    for name in ["gpu", "default", "gpu", "a", "invented"] {
        lab.create(at(name)).await;
    }
    lab.create(TaskDraft {
        delay_seconds: Some(1.0),
        ..at("idle")
    })
    .await;
    let served = pulse(&lab).await;
    assert_eq!(served.served_targets, ["gpu", "idle"].map(target).into());
    assert_eq!(served.ready_targets, ["gpu"].map(target).into());

    lab.advance(LEASE);
    lab.store.mark_dead(lab.now).await.expect("works");
    lab.worker(&["a", "gpu"], &["echo"]).await;
    lab.worker(&["default"], &["sum"]).await;
    let served = pulse(&lab).await;
    assert_eq!(served.served_targets, ["a", "default", "gpu"].map(target).into());
    assert_eq!(served.ready_targets, served.served_targets, "whatever the names");
}

pub(crate) async fn delayed_tasks_are_released_when_due_and_only_once(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create(later(2.0)).await;
    lab.create(later(3.0)).await;
    lab.advance(just_before(SECOND * 2));
    assert_eq!(lab.store.release_due(lab.now, 10).await.expect("works"), []);
    lab.advance(TICK);
    let released = lab.store.release_due(lab.now, 10).await.expect("works");
    let task = lab.task(id).await.spec;
    assert_eq!(
        released,
        [Ready {
            task: id,
            target: task.target,
            name: task.name
        }]
    );
    let dispatch = lab.store.dispatch(id).await.expect("works").expect("has one");
    assert!(!dispatch.delayed);
    assert_eq!(dispatch.publish_at, lab.now, "it may be announced from now on");
    lab.echo_worker().await;
    assert_eq!(feed(&lab, 10, 10, false).await, [id], "by the feeder");
    assert_eq!(lab.store.release_due(lab.now, 10).await.expect("works"), []);
}

pub(crate) async fn releasing_takes_the_oldest_first_up_to_its_limit(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let third = lab.create(later(3.0)).await;
    let first = lab.create(later(1.0)).await;
    let second = lab.create(later(2.0)).await;
    lab.advance(SECOND * 5);
    let released = lab.store.release_due(lab.now, 2).await.expect("works");
    let mut released = ids(&released);
    released.sort_unstable();
    let mut expected = [first, second];
    expected.sort_unstable();
    assert_eq!(released, expected);
    assert_eq!(ids(&lab.store.release_due(lab.now, 2).await.expect("works")), [third]);
}

async fn feed(lab: &Lab, window: usize, missing: usize, force: bool) -> Vec<TaskId> {
    let fed = lab
        .store
        .feed(&target("default"), window, missing, force, lab.now)
        .await
        .expect("works");
    ids(&fed)
}

pub(crate) async fn feeding_takes_what_may_be_announced_and_moves_it_on(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.echo_worker().await;
    let announced = NewTask {
        announce: Announce::ByCaller,
        ..lab.task_of(draft("echo"))
    };
    let by_caller = lab.create_new(announced).await;
    let by_feeder = lab.create(draft("echo")).await;
    assert_eq!(feed(&lab, 10, 10, false).await, [by_feeder]);
    assert_eq!(feed(&lab, 10, 10, false).await, [], "not again at once");
    lab.advance(just_before(PUBLISH_LEASE));
    assert_eq!(feed(&lab, 10, 10, false).await, []);
    lab.advance(TICK);
    assert_eq!(
        feed(&lab, 10, 10, false).await,
        [by_caller, by_feeder],
        "a message may get lost"
    );
    let dispatch = lab.store.dispatch(by_caller).await.expect("works").expect("has one");
    assert_eq!(dispatch.publish_at, lab.now + PUBLISH_LEASE);
}

pub(crate) async fn feeding_looks_at_the_window_only(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.echo_worker().await;
    let first = lab.create(draft("echo")).await;
    lab.advance(SECOND);
    let second = lab.create(draft("echo")).await;
    assert_eq!(feed(&lab, 1, 10, false).await, [first]);
    assert_eq!(
        feed(&lab, 1, 10, false).await,
        [],
        "the window is full of what was announced"
    );
    assert_eq!(feed(&lab, 2, 10, false).await, [second]);
}

pub(crate) async fn feeding_takes_no_more_than_is_missing_in_order(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.echo_worker().await;
    let mut expected = Vec::new();
    for priority in [0, 5, 5, 9] {
        let id = lab
            .create(TaskDraft {
                priority: Some(priority),
                ..draft("echo")
            })
            .await;
        expected.push((priority, id));
        lab.advance(SECOND);
    }
    expected.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    let expected: Vec<TaskId> = expected.into_iter().map(|(_, id)| id).collect();
    assert_eq!(feed(&lab, 10, 3, false).await, expected[..3]);
    assert_eq!(feed(&lab, 10, 3, false).await, expected[3..]);
    assert_eq!(feed(&lab, 10, 0, true).await, []);
}

pub(crate) async fn feeding_by_force_takes_what_was_announced_just_now(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    lab.echo_worker().await;
    let id = lab.create(draft("echo")).await;
    assert_eq!(feed(&lab, 10, 10, false).await, [id]);
    assert_eq!(feed(&lab, 10, 10, true).await, [id], "the queue was seen empty");
}

pub(crate) async fn feeding_leaves_other_targets_and_delayed_tasks_alone(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    lab.echo_worker().await;
    lab.create(at("gpu")).await;
    lab.create(later(1.0)).await;
    assert_eq!(feed(&lab, 10, 10, true).await, []);
}

pub(crate) async fn feeding_passes_over_names_that_no_worker_of_the_target_offers(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.create(draft("unheard.of")).await;
    lab.create(draft("elsewhere")).await;
    lab.advance(SECOND);
    let sum = lab.create(draft("sum")).await;
    lab.advance(SECOND);
    let echo = lab.create(draft("echo")).await;
    assert_eq!(feed(&lab, 1, 10, true).await, [], "nobody is there");
    lab.worker(&["gpu"], &["elsewhere"]).await;
    lab.echo_worker().await;
    assert_eq!(
        feed(&lab, 1, 10, true).await,
        [echo],
        "behind any backlog of the others"
    );
    lab.worker(&["default", "gpu"], &["echo", "sum"]).await;
    assert_eq!(feed(&lab, 1, 10, true).await, [sum]);
    assert_eq!(feed(&lab, 10, 10, true).await, [sum, echo], "in the order of their age");
}

pub(crate) async fn expired_pending_tasks_are_found_oldest_deadline_first(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let second = lab.create(with_ttl(2.0)).await;
    let first = lab.create(with_ttl(1.0)).await;
    lab.create(with_ttl(3.0)).await;
    lab.advance(SECOND * 2);
    let found = lab.store.expired_pending(lab.now, 10).await.expect("works");
    assert_eq!(found, [first, second]);
    assert_eq!(lab.store.expired_pending(lab.now, 1).await.expect("works"), [first]);
}

pub(crate) async fn overdue_running_tasks_are_found_by_their_deadline(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let first = lab.running(with_ttl(1.0)).await.id;
    let second = lab.running(with_ttl(2.0)).await.id;
    lab.create(with_ttl(1.0)).await;
    let overdue = async |deadline| lab.store.overdue_running(deadline, 10).await.expect("works");
    assert_eq!(overdue(lab.now + SECOND).await, [], "not at its deadline");
    assert_eq!(overdue(lab.now + SECOND * 2).await, [first]);
    assert_eq!(overdue(lab.now + SECOND * 3).await, [first, second]);
}

pub(crate) async fn tasks_of_dead_and_unknown_workers_are_orphans(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let held = lab.running(draft("echo")).await;
    let released = lab.running(draft("echo")).await;
    lab.end(&released, Ending::Success).await;
    assert_eq!(lab.store.orphans(10).await.expect("works"), []);
    lab.advance(LEASE);
    lab.store.mark_dead(lab.now).await.expect("works");
    let worker = lab.task(held.id).await.worker.expect("claimed");
    assert_eq!(
        lab.store.orphans(10).await.expect("works"),
        [Orphan {
            task: held.id,
            worker,
            attempt: 1
        }]
    );
    // A worker that left although it still held something is no different.
    let late = lab.running(draft("echo")).await;
    let left = lab.task(late.id).await.worker.expect("claimed");
    lab.store.leave(left, lab.now).await.expect("works");
    assert_eq!(lab.store.orphans(10).await.expect("works").len(), 2);
    assert_eq!(lab.store.orphans(1).await.expect("works").len(), 1);
}

fn search(lab: &Lab, since: Duration) -> UnofferedSearch {
    UnofferedSearch {
        target: target("default"),
        after: None,
        since: lab.now - since,
        now: lab.now,
        names: 10,
        tasks: 10,
    }
}

/// The tasks, and where to go on.
async fn found(lab: &Lab, search: &UnofferedSearch) -> (Vec<TaskId>, Option<TaskName>) {
    let found = lab.store.unoffered(search).await.expect("works");
    (found.tasks.into_iter().map(|task| task.id).collect(), found.next)
}

async fn unoffered(lab: &Lab, since: Duration) -> Vec<TaskId> {
    found(lab, &search(lab, since)).await.0
}

pub(crate) async fn a_name_that_no_worker_of_its_target_offers_is_found(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.echo_worker().await;
    let id = lab.create(draft("unheard.of")).await;
    lab.create(draft("echo")).await;
    lab.create(TaskDraft {
        target: Some("gpu".to_owned()),
        ..draft("unheard.of")
    })
    .await;
    lab.create(TaskDraft {
        delay_seconds: Some(60.0),
        ..draft("unheard.of")
    })
    .await;
    assert_eq!(unoffered(&lab, SECOND).await, [], "not before its time");
    lab.advance(SECOND * 10);
    assert_eq!(unoffered(&lab, SECOND * 11).await, [], "due, but not that long");
    assert_eq!(
        unoffered(&lab, SECOND * 10).await,
        [id],
        "only where somebody serves the target and nobody the name"
    );
    lab.advance(LEASE);
    assert_eq!(unoffered(&lab, SECOND * 10).await, [], "nobody serves the target now");
}

pub(crate) async fn a_name_that_a_worker_offered_until_just_now_is_not_found(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let resizer = lab.worker(&["default"], &["resize"]).await;
    lab.create(draft("resize")).await;
    lab.echo_worker().await;
    lab.advance(SECOND * 10);
    lab.store.leave(resizer, lab.now).await.expect("works");
    assert_eq!(unoffered(&lab, SECOND * 5).await, [], "a rolling deploy brings it back");
    lab.advance(SECOND * 6);
    assert_eq!(unoffered(&lab, SECOND * 5).await.len(), 1);
    lab.worker(&["default"], &["resize"]).await;
    assert_eq!(unoffered(&lab, SECOND * 5).await, [], "it is back");
}

pub(crate) async fn a_name_that_is_offered_at_another_target_only_is_found(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.worker(&["default", "cpu"], &["echo"]).await;
    lab.worker(&["gpu"], &["shell"]).await;
    let resize = lab.create(draft("resize")).await;
    let mut at_gpu = [lab.create(at("gpu")).await, lab.create(at("gpu")).await];
    lab.create(draft("echo")).await;
    lab.create(at("cpu")).await;
    lab.advance(SECOND * 10);
    let of = |name: &str, tasks| UnofferedSearch {
        target: target(name),
        tasks,
        ..search(&lab, SECOND * 5)
    };
    assert_eq!(found(&lab, &of("default", 10)).await.0, [resize]);
    assert_eq!(found(&lab, &of("cpu", 10)).await.0, []);
    let mut tasks = found(&lab, &of("gpu", 10)).await.0;
    tasks.sort_unstable();
    at_gpu.sort_unstable();
    assert_eq!(tasks, at_gpu);
    assert_eq!(found(&lab, &of("gpu", 1)).await.0.len(), 1, "no more than asked for");
}

pub(crate) async fn a_built_in_name_waits_for_workers_that_offer_such(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.worker(&["default"], &["resize"]).await;
    let shell = TaskDraft {
        input: Some(JsonText::trusted(r#"{"command": "true"}"#)),
        ..draft("shell")
    };
    let shell = lab.create(shell).await;
    let unknown = lab.create(draft("unheard.of")).await;
    lab.advance(SECOND * 10);
    assert_eq!(
        unoffered(&lab, SECOND * 5).await,
        [unknown],
        "those that run programs may be away for a moment"
    );
    let echo = lab.echo_worker().await;
    assert_eq!(unoffered(&lab, SECOND * 5).await, [unknown], "one has just come");
    lab.advance(SECOND * 6);
    let mut found = unoffered(&lab, SECOND * 5).await;
    found.sort_unstable();
    assert_eq!(found, [shell, unknown], "and does not offer this one");
    lab.store.leave(echo, lab.now).await.expect("works");
    assert_eq!(unoffered(&lab, SECOND * 5).await, [unknown], "it has left");
}

pub(crate) async fn a_worker_over_http_that_is_silent_serves_nothing(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let claim = ExternalClaim {
        registration: Registration {
            lease: LEASE + EXTERNAL_SILENCE,
            ..lab.registration(&["default"], &["resize"])
        },
        key_id: "key".to_owned(),
        offer: [7; 32],
        workers_of_key: 1,
        request_id: None,
        limit: 1,
        bytes: 1 << 20,
        lease: LEASE,
        grace: GRACE,
    };
    lab.store.claim_external(&claim, lab.now).await.expect("works");
    let id = lab.create(draft("unheard.of")).await;
    lab.advance(just_before(LEASE));
    assert_eq!(unoffered(&lab, SECOND * 5).await, [id]);
    lab.advance(TICK);
    assert_eq!(unoffered(&lab, SECOND * 5).await, [], "it may have ended");
    lab.store.claim_external(&claim, lab.now).await.expect("works");
    assert_eq!(unoffered(&lab, SECOND * 5).await, [id], "it has not");
}

pub(crate) async fn a_flood_of_names_keeps_no_other_from_being_looked_at(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.echo_worker().await;
    let mut expected = Vec::new();
    for name in ["a", "b", "echo", "f", "f", "f", "z"] {
        expected.push(lab.create(draft(name)).await);
        lab.advance(TICK);
    }
    expected.remove(2);
    lab.advance(SECOND * 10);
    let mut search = UnofferedSearch {
        names: 2,
        tasks: 2,
        ..search(&lab, SECOND * 5)
    };
    let mut rounds = Vec::new();
    loop {
        let (mut tasks, next) = found(&lab, &search).await;
        tasks.sort_unstable();
        rounds.push((tasks, next.as_ref().map(|name| name.as_str().to_owned())));
        search.after = next;
        if search.after.is_none() {
            break;
        }
    }
    let stopped_at = |name: &str| Some(name.to_owned());
    assert_eq!(
        rounds,
        [
            (vec![expected[0], expected[1]], stopped_at("b")),
            (vec![expected[2], expected[3]], stopped_at("f")),
            (vec![expected[5]], None),
        ],
        "one of many tasks of a name waits for the next round, as the names behind it have their turn"
    );
}
