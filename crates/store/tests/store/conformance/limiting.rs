//! Concurrency keys: how many tasks of a key run at a time.

use std::sync::Arc;

use futures::future::join_all;
use orchestratum_core::task::{
    Backoff, ConcurrencyDraft, ConditionsDraft, Ending, FollowUps, LifePatch, TaskDraft, TaskEvent, TaskPatch,
    TaskStatus,
};
use orchestratum_core::{JsonText, TaskId};
use orchestratum_store::{Admission, Change, ClaimRequest, ClaimedTask, CreateOutcome, KeyWait, NewTask, Ready, Store};

use super::lab::{Lab, SECOND, audit, done, draft, failure, report};

/// A task of a concurrency key.
pub(super) fn keyed(key: &str, limit: i64) -> TaskDraft {
    TaskDraft {
        conditions: ConditionsDraft {
            concurrency: Some(ConcurrencyDraft {
                key: key.to_owned(),
                limit,
            }),
            ..ConditionsDraft::default()
        },
        ..draft("echo")
    }
}

pub(super) fn ids(ready: &[Ready]) -> Vec<TaskId> {
    ready.iter().map(|ready| ready.task).collect()
}

/// What became of tasks with conditions.
pub(super) async fn admitted(lab: &Lab, tasks: Vec<NewTask>) -> Admission {
    match lab.try_create(tasks, None).await {
        CreateOutcome::Admitted(admission) => admission,
        other => panic!("expected an admission, not {other:?}"),
    }
}

/// Creates a task with conditions: its id, and whether it is ready.
pub(super) async fn admit(lab: &Lab, draft: TaskDraft) -> (TaskId, bool) {
    let task = lab.task_of(draft);
    let id = task.spec.id;
    let admission = admitted(lab, vec![task]).await;
    assert_eq!(admission.met, []);
    let is_ready = ids(&admission.ready) == [id];
    assert_eq!(is_ready, !admission.ready.is_empty(), "{admission:?}");
    assert_eq!(is_blocked(lab, id).await, !is_ready);
    (id, is_ready)
}

pub(super) async fn is_blocked(lab: &Lab, id: TaskId) -> bool {
    let dispatch = lab.store.dispatch(id).await.expect("the store works");
    dispatch.expect("it is pending").blocked
}

/// So many tasks of one key with one place: the first of them runs.
async fn line(lab: &Lab, length: usize) -> (ClaimedTask, Vec<TaskId>) {
    let mut waiting = Vec::new();
    let (first, is_ready) = admit(lab, keyed("one", 1)).await;
    assert!(is_ready);
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    assert_eq!(claimed.id, first);
    for _ in 0..length {
        let (id, is_ready) = admit(lab, keyed("one", 1)).await;
        assert!(!is_ready);
        waiting.push(id);
    }
    (claimed, waiting)
}

async fn cancel(lab: &Lab, id: TaskId) -> Vec<TaskId> {
    ids(&lab.put(id, TaskEvent::CancelRequested { reason: None }).await.admitted)
}

pub(crate) async fn as_many_as_the_limit_are_ready_and_the_others_are_blocked(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let tasks: Vec<NewTask> = (0..5).map(|_| lab.task_of(keyed("customer-17", 2))).collect();
    let created: Vec<TaskId> = tasks.iter().map(|task| task.spec.id).collect();
    assert_eq!(ids(&admitted(&lab, tasks).await.ready), created[..2]);
    let (other, is_ready) = admit(&lab, keyed("customer-18", 1)).await;
    assert!(is_ready);
    let plain = lab.create(draft("echo")).await;
    let worker = lab.echo_worker().await;
    let mut claimed = lab.claimed_ids(&lab.request(worker)).await;
    claimed.sort_unstable();
    assert_eq!(claimed, [created[0], created[1], other, plain]);
    let named = ClaimRequest {
        named: created.clone(),
        ..lab.request(worker)
    };
    assert_eq!(lab.claimed_ids(&named).await, [], "a message changes nothing");
    assert_eq!(
        lab.store
            .ready(&super::lab::target("default"), 10)
            .await
            .expect("works"),
        0
    );
    let wait = lab.store.key_wait(created[3]).await.expect("the store works");
    let expected = KeyWait::Place {
        key: "customer-17".to_owned(),
        limit: 2,
        held: 2,
        holders: created[..2].to_vec(),
        ahead: 1,
    };
    assert_eq!(wait, Some(expected));
    for id in [plain, other] {
        assert_eq!(lab.store.key_wait(id).await.expect("the store works"), None);
    }
}

pub(crate) async fn whatever_ends_a_task_gives_its_place_to_the_next_in_line(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let (mut running, waiting) = line(&lab, 5).await;
    let worker = lab.echo_worker().await;
    let (urgent, _) = admit(
        &lab,
        TaskDraft {
            priority: Some(5),
            ..keyed("one", 1)
        },
    )
    .await;
    let next = [urgent].into_iter().chain(waiting);
    let endings = [
        Ending::Success,
        failure(),
        Ending::Cancelled { message: String::new() },
        Ending::Expired { message: String::new() },
    ];
    let mut next = next.peekable();
    for ending in endings {
        let changed = lab.end(&running, ending).await;
        let expected = next.next().expect("more than endings");
        assert_eq!(ids(&changed.admitted), [expected]);
        assert_eq!(
            (&changed.admitted[0].name, &changed.admitted[0].target),
            (&changed.name, &changed.target)
        );
        running = lab.claim_one(worker).await;
        assert_eq!(running.id, expected);
    }
    lab.advance(SECOND);
    let lost = TaskEvent::WorkerLost { worker, attempt: 1 };
    let changed = lab.put(running.id, lost).await;
    assert_eq!(changed.life.status(), TaskStatus::Pending);
    assert_eq!(
        ids(&changed.admitted),
        [next.next().expect("one more")],
        "the others were first"
    );
    lab.advance(86_400 * SECOND);
    let last = next.next().expect("the last");
    assert_eq!(next.next(), None);
    // Of those that are over, nobody has anything.
    for id in [last, running.id] {
        lab.put(id, TaskEvent::DeadlinePassed).await;
    }
    assert!(admit(&lab, keyed("two", 1)).await.1);
}

pub(crate) async fn a_retry_that_waits_gives_its_place_back(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let slow = TaskDraft {
        max_retries: Some(2),
        backoff: Some(Backoff::Fixed { delay: 5 * SECOND }),
        ..keyed("one", 1)
    };
    let (first, _) = admit(&lab, slow).await;
    let (second, is_ready) = admit(&lab, keyed("one", 1)).await;
    assert!(!is_ready);
    let worker = lab.echo_worker().await;
    let running = lab.claim_one(worker).await;
    let changed = lab.end(&running, failure()).await;
    assert_eq!((changed.task, ids(&changed.admitted)), (first, vec![second]));
    lab.assert_reads_as(&changed).await;
    let running = lab.claim_one(worker).await;
    lab.advance(6 * SECOND);
    let released = lab.store.release_due(lab.now, 10).await.expect("the store works");
    assert_eq!(released, [], "it is due, and the place is taken");
    assert!(is_blocked(&lab, first).await);
    assert_eq!(ids(&lab.end(&running, Ending::Success).await.admitted), [first]);
    assert_eq!(lab.claim_one(worker).await.attempt, 2);
}

pub(crate) async fn what_is_handed_back_keeps_its_place(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (running, waiting) = line(&lab, 1).await;
    let released = Ending::Released {
        message: "it drains".to_owned(),
    };
    let changed = lab.end(&running, released).await;
    assert_eq!(ids(&changed.admitted), []);
    assert!(is_blocked(&lab, waiting[0]).await);
    let worker = lab.echo_worker().await;
    assert_eq!(lab.claim_one(worker).await.id, running.id);
}

pub(crate) async fn what_waits_may_be_cancelled_edited_and_put_off(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let (running, waiting) = line(&lab, 4).await;
    assert_eq!(cancel(&lab, waiting[0]).await, []);
    patch(
        &lab,
        waiting[2],
        TaskPatch {
            priority: Some(9),
            ..TaskPatch::default()
        },
    )
    .await;
    let later = TaskPatch {
        scheduled_at: Some(lab.now + 10 * SECOND),
        ..TaskPatch::default()
    };
    assert_eq!(patch(&lab, waiting[1], later.clone()).await, []);
    assert!(!is_blocked(&lab, waiting[1]).await, "it is not due");
    let changed = lab.end(&running, Ending::Success).await;
    assert_eq!(ids(&changed.admitted), [waiting[2]], "it was made urgent");
    // Ready, it goes on with its place however it is edited, until it is put off.
    let relabelled = TaskPatch {
        priority: Some(1),
        ..TaskPatch::default()
    };
    assert_eq!(patch(&lab, waiting[2], relabelled).await, []);
    assert_eq!(patch(&lab, waiting[2], later).await, [waiting[3]]);
    assert_eq!(cancel(&lab, waiting[3]).await, []);
    lab.advance(10 * SECOND);
    let released = lab.store.release_due(lab.now, 10).await.expect("the store works");
    assert_eq!(ids(&released), [waiting[2]], "of two that are due, the urgent one");
}

async fn patch(lab: &Lab, id: TaskId, patch: TaskPatch) -> Vec<TaskId> {
    let checked = patch
        .check(
            &super::lab::name("echo"),
            &orchestratum_core::task::SpecLimits::default(),
            lab.now,
        )
        .expect("it meets the rules");
    let life: LifePatch = checked.life.clone();
    let change = Change {
        patch: Some(checked),
        ..Change::new(id, TaskEvent::Patched(life))
    };
    let changed = done(lab.apply(change).await);
    lab.assert_reads_as(&changed).await;
    ids(&changed.admitted)
}

pub(crate) async fn a_task_for_later_asks_when_it_is_due(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let later = || TaskDraft {
        delay_seconds: Some(5.0),
        ..keyed("one", 1)
    };
    let (first, second) = (lab.task_of(later()), lab.task_of(later()));
    let (first_id, second_id) = (first.spec.id, second.spec.id);
    assert_eq!(admitted(&lab, vec![first, second]).await, Admission::default());
    let (now, is_ready) = admit(&lab, keyed("one", 1)).await;
    assert!(is_ready, "those for later have no place");
    let pulse = lab.store.pulse(lab.now, 3 * SECOND).await.expect("the store works");
    assert_eq!(pulse.next_due_at, Some(lab.now + 5 * SECOND));
    assert_eq!(lab.store.release_due(lab.now, 10).await.expect("the store works"), []);
    assert_eq!(cancel(&lab, now).await, []);
    lab.advance(5 * SECOND);
    let released = lab.store.release_due(lab.now, 10).await.expect("the store works");
    assert_eq!(ids(&released), [first_id]);
    let pulse = lab.store.pulse(lab.now, 3 * SECOND).await.expect("the store works");
    assert_eq!(pulse.next_due_at, None, "nothing is free");
    assert_eq!(cancel(&lab, first_id).await, [second_id]);
}

pub(crate) async fn the_newest_task_says_how_many(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (_, waiting) = line(&lab, 3).await;
    let task = lab.task_of(keyed("one", 3));
    let newest = task.spec.id;
    let admission = admitted(&lab, vec![task]).await;
    assert_eq!(
        ids(&admission.ready),
        waiting[..2],
        "two more places, and the older go first"
    );
    assert_eq!(cancel(&lab, waiting[0]).await, [waiting[2]]);
    assert!(!admit(&lab, keyed("one", 1)).await.1);
    assert_eq!(
        cancel(&lab, waiting[1]).await,
        [],
        "two are held, and one is the limit again"
    );
    assert_eq!(cancel(&lab, waiting[2]).await, []);
    assert!(is_blocked(&lab, newest).await);
}

pub(crate) async fn many_that_get_a_place_at_once_get_it_in_bounded_passes(store: Arc<dyn Store>) {
    const TASKS: usize = 1_200;
    let lab = Lab::new(store);
    let of = |limit, tasks| (0..tasks).map(|_| lab.task_of(keyed("one", limit))).collect::<Vec<_>>();
    assert_eq!(admitted(&lab, of(1, TASKS)).await.ready.len(), 1);
    let raised = admitted(&lab, of(10_000, 1)).await;
    assert_eq!(raised.ready.len(), 1_000, "as many as one transaction gives");
    let rest = lab.store.release_due(lab.now, 500).await.expect("works");
    assert_eq!(rest.len(), TASKS - 1_000, "the loop goes on");
    assert_eq!(lab.store.release_due(lab.now, 500).await.expect("works"), []);
}

pub(crate) async fn another_run_asks_anew(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (running, waiting) = line(&lab, 1).await;
    let changed = lab.end(&running, Ending::Cancelled { message: String::new() }).await;
    assert_eq!(ids(&changed.admitted), waiting);
    let retried = lab
        .put(running.id, TaskEvent::RetryRequested { ttl: 60 * SECOND })
        .await;
    assert_eq!(ids(&retried.admitted), []);
    assert!(is_blocked(&lab, running.id).await);
    assert_eq!(cancel(&lab, waiting[0]).await, [running.id]);
    assert_eq!(cancel(&lab, running.id).await, []);
    let retried = lab
        .put(waiting[0], TaskEvent::RetryRequested { ttl: 60 * SECOND })
        .await;
    assert_eq!(ids(&retried.admitted), waiting, "nobody else wants it");
}

pub(crate) async fn a_follow_up_waits_for_a_place_like_any_task(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let text = r#"{"on_success": [
        {"name": "echo", "input": {"customer": "${ output }"},
         "concurrency": {"key": "customer-${ input.customer }", "limit": 1}},
        {"name": "echo", "input": {"customer": "${ output }"},
         "concurrency": {"key": "customer-${ input.customer }", "limit": 1}},
        {"name": "echo", "input": {"customer": "${ output }"}, "concurrency": {"key": "${ input.missing }", "limit": 1}}]}"#;
    let parent = TaskDraft {
        follow_ups: FollowUps::from_stored(text).expect("lists"),
        ..draft("echo")
    };
    let running = lab.running(parent).await;
    let mut change = report(&running, Ending::Success);
    change.evidence.output = Some(JsonText::trusted("17"));
    let changed = done(lab.apply(change).await);
    let [first, second] = changed.followed.tasks.as_slice() else {
        panic!("two follow-ups, not {:?}", changed.followed);
    };
    assert!(first.asks && second.asks);
    assert_eq!(changed.followed.missing.len(), 1);
    assert_eq!(
        changed.followed.missing[0].reason,
        "/concurrency/key there is no field \"missing\""
    );
    assert_eq!(
        ids(&changed.admitted),
        [first.task.min(second.task)],
        "equal ones go by their ids"
    );
    let read = lab.task(first.task).await.spec.conditions.expect("it has one");
    assert_eq!(read.concurrency.expect("of this kind").key, "customer-17");
    let (one, other) = (first.task.min(second.task), first.task.max(second.task));
    assert!(is_blocked(&lab, other).await);
    assert_eq!(cancel(&lab, one).await, [other]);
}

pub(crate) async fn a_task_and_its_conditions_are_read_as_they_were_created(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let conditions = ConditionsDraft {
        concurrency: keyed("a \u{1F980} 'b'", 7).conditions.concurrency,
        rate: super::rating::rated("r", 5, 0.5).conditions.rate,
        unique: super::unifying::unique(r#"["name", "input"]"#).conditions.unique,
    };
    let task = lab.task_of(TaskDraft {
        conditions,
        follow_ups: FollowUps::from_stored(r#"{"on_success": [{"name": "echo"}]}"#).expect("lists"),
        ..draft("echo")
    });
    let spec = task.spec.clone();
    let plain = lab.task_of(draft("echo"));
    let plain_id = plain.spec.id;
    admitted(&lab, vec![task, plain]).await;
    assert_eq!(lab.task(spec.id).await.spec, spec);
    assert_eq!(lab.task(plain_id).await.spec.conditions, None);
}

pub(crate) async fn ends_at_the_same_moment_lose_no_place(store: Arc<dyn Store>) {
    const TASKS: usize = 60;
    let lab = Lab::new(store);
    let tasks: Vec<NewTask> = (0..TASKS)
        .map(|place| lab.task_of(keyed(["x", "y", "z"][place % 3], 2)))
        .collect();
    let all: Vec<TaskId> = tasks.iter().map(|task| task.spec.id).collect();
    admitted(&lab, tasks).await;
    let worker = lab.echo_worker().await;
    let mut ended = 0;
    // Some run and are ended, some are cancelled while they wait, at the same time.
    for round in 0.. {
        let claimed = lab.claim(worker).await;
        assert!(claimed.len() <= 6, "two of each key");
        let cancelled = all.get(TASKS - 1 - round).copied();
        let ends = claimed.iter().map(|task| report(task, Ending::Success));
        let cancels = cancelled
            .into_iter()
            .map(|id| Change::new(id, TaskEvent::CancelRequested { reason: None }));
        let calls = ends.chain(cancels).map(|change| {
            let (store, now) = (Arc::clone(&lab.store), lab.now);
            async move { store.apply(&[change], now).await.expect("the store works") }
        });
        join_all(calls).await;
        lab.assert_sound().await;
        ended += claimed.len();
        if claimed.is_empty() {
            break;
        }
    }
    assert!(ended > TASKS / 2, "{ended}");
    for status in join_all(all.iter().map(|id| lab.status(*id))).await {
        assert!(status.is_terminal(), "{status}");
    }
}

pub(crate) async fn a_place_that_was_left_free_is_found(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (running, waiting) = line(&lab, 2).await;
    // Refused, and looked at under the lock.
    let change = Change {
        expected_version: Some(99),
        audit: Some(audit("cancel")),
        ..Change::new(waiting[0], TaskEvent::CancelRequested { reason: None })
    };
    lab.apply(change).await;
    assert!(is_blocked(&lab, waiting[0]).await);
    let both = [
        report(&running, Ending::Success),
        Change {
            expected_version: Some(99),
            ..Change::new(waiting[0], TaskEvent::CancelRequested { reason: None })
        },
    ];
    let calls = both.map(|change| {
        let (store, now) = (Arc::clone(&lab.store), lab.now);
        async move { store.apply(&[change], now).await.expect("the store works") }
    });
    join_all(calls).await;
    lab.assert_sound().await;
    let worker = lab.echo_worker().await;
    assert_eq!(lab.claim(worker).await.len(), 1);
    assert_eq!(lab.store.release_due(lab.now, 10).await.expect("works"), []);
}
