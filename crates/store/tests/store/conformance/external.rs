//! External workers: claims under leases of their own, heartbeats, and what ends them.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::{Ending, TaskDraft, TaskEvent, TaskStatus};
use orchestratum_core::{JsonText, RequestId, TaskId, WorkerId};

use super::lab::{Lab, SECOND, audit, done, draft, just_before, name, progress, report, target};
use super::rating::set_rate;
use orchestratum_store::{
    Beaten, DeleteOutcome, EXTERNAL_SILENCE, EndedLease, ExternalClaim, ExternalTask, ExternallyClaimed, Heartbeat,
    Offer, RecordsBefore, Registration, Store, WorkerState,
};

/// Of each task here.
const TASK_LEASE: Duration = Duration::from_secs(20);

const GRACE: Duration = Duration::from_secs(3);

/// A claim of `echo` at `default`.
fn claim(lab: &Lab) -> ExternalClaim {
    ExternalClaim {
        registration: Registration {
            name: "outside".to_owned(),
            lease: TASK_LEASE + EXTERNAL_SILENCE,
            ..lab.registration(&["default"], &["echo"])
        },
        key_id: "key".to_owned(),
        offer: [7; 32],
        workers_of_key: 10,
        request_id: None,
        limit: 100,
        bytes: 1 << 20,
        lease: TASK_LEASE,
        grace: GRACE,
    }
}

async fn claimed(lab: &Lab, claim: &ExternalClaim) -> (WorkerId, Vec<ExternalTask>) {
    match lab.store.claim_external(claim, lab.now).await.expect("works") {
        ExternallyClaimed::Tasks { worker, tasks, .. } => (worker, tasks),
        ExternallyClaimed::TooManyWorkers => panic!("there are few workers"),
    }
}

/// Claims the one task there is.
async fn claim_one(lab: &Lab) -> (WorkerId, ExternalTask) {
    let (worker, mut tasks) = claimed(lab, &claim(lab)).await;
    assert_eq!(tasks.len(), 1, "one task to claim");
    (worker, tasks.remove(0))
}

fn ids(tasks: &[ExternalTask]) -> Vec<TaskId> {
    tasks.iter().map(|held| held.task.id).collect()
}

fn beat(held: &ExternalTask) -> Heartbeat {
    Heartbeat {
        task: held.task.id,
        attempt: held.task.attempt,
        progress: None,
        checkpoint: None,
    }
}

async fn heartbeat(lab: &Lab, heartbeat: &Heartbeat) -> Option<Beaten> {
    lab.store.heartbeat(heartbeat, lab.now).await.expect("works")
}

async fn ended(lab: &Lab) -> Vec<EndedLease> {
    lab.store.ended_leases(lab.now, 10).await.expect("works")
}

async fn purged(lab: &Lab) -> u64 {
    lab.store.purge_claims(lab.now, 10).await.expect("works")
}

async fn lose(lab: &Lab, worker: WorkerId, held: &ExternalTask) {
    let event = TaskEvent::WorkerLost {
        worker,
        attempt: held.task.attempt,
    };
    lab.put(held.task.id, event).await;
}

fn named(text: &str) -> RequestId {
    RequestId::new(text).expect("a request id")
}

fn text(json: &str) -> JsonText {
    JsonText::new(json.to_owned()).expect("JSON")
}

pub(crate) async fn an_external_claim_registers_its_worker_once_and_gives_tasks_in_their_order(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let (worker, nothing) = claimed(&lab, &claim(&lab)).await;
    assert!(nothing.is_empty());
    let later = lab.create(draft("echo")).await;
    let urgent = TaskDraft {
        priority: Some(5),
        ..draft("echo")
    };
    let urgent = lab.create(urgent).await;
    lab.advance(SECOND);
    let (again, tasks) = claimed(&lab, &claim(&lab)).await;
    assert_eq!(again, worker, "the same key, name and offer");
    assert_eq!(ids(&tasks), [urgent, later]);
    for held in &tasks {
        assert_eq!((held.task.attempt, held.task.started_at), (1, lab.now));
        assert_eq!(held.lease_expires_at, lab.now + TASK_LEASE);
        let task = lab.task(held.task.id).await;
        assert_eq!(
            (task.life.status(), task.worker),
            (TaskStatus::InProgress, Some(worker))
        );
    }
    let workers = lab.store.workers(10).await.expect("works");
    assert_eq!(workers.len(), 1);
    assert_eq!(workers[0].key_id.as_deref(), Some("key"));
    assert_eq!((workers[0].state, workers[0].running), (WorkerState::Live, 2));
    assert_eq!(workers[0].lease_expires_at, lab.now + TASK_LEASE + EXTERNAL_SILENCE);
    // They end like any task's.
    for held in &tasks {
        lab.end(&held.task, Ending::Success).await;
    }
}

pub(crate) async fn an_external_claim_takes_no_more_than_its_inputs_may_have_together(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let large = TaskDraft {
            input: Some(text(&format!("\"{}\"", "x".repeat(1_000)))),
            ..draft("echo")
        };
        tasks.push(lab.create(large).await);
        lab.advance(SECOND);
    }
    let small = |bytes| ExternalClaim { bytes, ..claim(&lab) };
    assert_eq!(ids(&claimed(&lab, &small(2_100)).await.1), tasks[..2]);
    assert_eq!(
        ids(&claimed(&lab, &small(10)).await.1),
        tasks[2..],
        "the first is always given"
    );
    assert_eq!(lab.store.ready(&target("default"), 10).await.expect("works"), 0);
}

pub(crate) async fn the_same_claim_again_has_the_same_tasks_as_far_as_they_are_held(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    for _ in 0..3 {
        lab.create(draft("echo")).await;
        lab.advance(SECOND);
    }
    let first = ExternalClaim {
        request_id: Some(named("a")),
        limit: 2,
        ..claim(&lab)
    };
    let (_, tasks) = claimed(&lab, &first).await;
    lab.advance(SECOND);
    let again = lab.store.claim_external(&first, lab.now).await.expect("works");
    let ExternallyClaimed::Tasks {
        tasks: same, repeated, ..
    } = again
    else {
        panic!("there is one worker");
    };
    assert!(repeated);
    assert_eq!(ids(&same), ids(&tasks));
    for (same, held) in same.iter().zip(&tasks) {
        assert_eq!(same.lease_expires_at, held.lease_expires_at);
        assert_eq!(
            (same.task.attempt, same.task.started_at),
            (held.task.attempt, held.task.started_at)
        );
        assert_eq!(same.task.input, held.task.input);
    }
    lab.end(&tasks[0].task, Ending::Success).await;
    assert_eq!(ids(&claimed(&lab, &first).await.1), ids(&tasks[1..]), "and no others");
    lab.end(&tasks[1].task, Ending::Success).await;
    assert!(claimed(&lab, &first).await.1.is_empty(), "and no others");
    let other = ExternalClaim {
        request_id: Some(named("b")),
        ..first
    };
    assert_eq!(claimed(&lab, &other).await.1.len(), 1);
}

pub(crate) async fn of_two_claims_that_are_the_same_at_once_both_have_the_same_tasks(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for _ in 0..20 {
        lab.create(draft("echo")).await;
    }
    let both = ExternalClaim {
        request_id: Some(named("a")),
        limit: 5,
        ..claim(&lab)
    };
    // Each would register the worker under its own id.
    let other = ExternalClaim {
        registration: lab.registration(&["default"], &["echo"]),
        ..both.clone()
    };
    let ((first, tasks), (second, same)) = tokio::join!(claimed(&lab, &both), claimed(&lab, &other));
    assert_eq!((first, ids(&tasks)), (second, ids(&same)));
    assert_eq!(tasks.len(), 5);
}

pub(crate) async fn a_paused_target_and_other_names_give_an_external_claim_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    lab.create(draft("mail")).await;
    lab.create(draft("echo")).await;
    let (paused_target, because) = (target("default"), audit("pause"));
    let pause = |paused| lab.store.set_paused(&paused_target, paused, &because, lab.now);
    pause(true).await.expect("works");
    assert!(claimed(&lab, &claim(&lab)).await.1.is_empty());
    pause(false).await.expect("works");
    assert_eq!(claimed(&lab, &claim(&lab)).await.1.len(), 1, "the mail is for others");
}

pub(crate) async fn a_key_has_a_bounded_number_of_external_workers(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    lab.create(draft("echo")).await;
    let number = |number| ExternalClaim {
        offer: [number; 32],
        workers_of_key: 2,
        limit: 0,
        ..claim(&lab)
    };
    for offer in [1, 2, 1] {
        claimed(&lab, &number(offer)).await;
    }
    let third = ExternalClaim { limit: 1, ..number(3) };
    let refused = lab.store.claim_external(&third, lab.now).await.expect("works");
    assert!(matches!(refused, ExternallyClaimed::TooManyWorkers));
    assert_eq!(
        lab.store.workers(10).await.expect("works").len(),
        2,
        "nothing is left of it"
    );
    let other_key = ExternalClaim {
        key_id: "other".to_owned(),
        ..third
    };
    assert_eq!(claimed(&lab, &other_key).await.1.len(), 1);
}

pub(crate) async fn a_heartbeat_extends_the_lease_and_the_life_of_the_worker(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let (worker, held) = claim_one(&lab).await;
    for _ in 0..10 {
        lab.advance(just_before(TASK_LEASE));
        let beaten = heartbeat(&lab, &beat(&held)).await.expect("it goes on");
        assert_eq!(beaten.lease_expires_at, lab.now + TASK_LEASE);
        assert_eq!((beaten.cancel_requested, beaten.timeout), (false, None));
        assert_eq!(beaten.expires_at, lab.task(id).await.life.expires_at);
        assert_eq!(ended(&lab).await, []);
        assert_eq!(lab.store.mark_dead(lab.now).await.expect("works"), []);
    }
    let workers = lab.store.workers(10).await.expect("works");
    assert_eq!(workers[0].registration.id, worker);
    assert!(workers[0].lease_expires_at >= lab.now + TASK_LEASE);
    lab.end(&held.task, Ending::Success).await;
}

pub(crate) async fn a_heartbeat_tells_of_a_cancel_and_keeps_what_it_brings(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let (_, held) = claim_one(&lab).await;
    let version = lab.task(id).await.life.version;
    let told = Heartbeat {
        progress: Some(progress(1)),
        ..beat(&held)
    };
    assert!(!heartbeat(&lab, &told).await.expect("it goes on").cancel_requested);
    heartbeat(&lab, &beat(&held)).await.expect("it goes on");
    let task = lab.task(id).await;
    assert_eq!(task.progress, Some(progress(1)), "one without progress leaves it");
    assert_eq!(task.life.version, version, "it is no other version");
    lab.put(id, TaskEvent::CancelRequested { reason: None }).await;
    assert!(
        heartbeat(&lab, &beat(&held))
            .await
            .expect("it goes on")
            .cancel_requested
    );
    let message = "stopped".to_owned();
    let cancelled = lab.end(&held.task, Ending::Cancelled { message }).await;
    assert_eq!(cancelled.life.status(), TaskStatus::Cancelled);
}

pub(crate) async fn a_heartbeat_of_an_attempt_that_is_over_is_refused(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let (_, held) = claim_one(&lab).await;
    let message = "later".to_owned();
    lab.end(&held.task, Ending::Released { message }).await;
    let late = Heartbeat {
        progress: Some(progress(1)),
        checkpoint: Some(text("1")),
        ..beat(&held)
    };
    assert_eq!(heartbeat(&lab, &late).await, None, "it waits");
    let (_, next) = claim_one(&lab).await;
    assert_eq!(heartbeat(&lab, &late).await, None, "another attempt runs");
    assert!(heartbeat(&lab, &beat(&next)).await.is_some());
    assert_eq!(next.checkpoint, None);
    assert_eq!(lab.task(id).await.progress, None, "it left nothing");
    let unknown = Heartbeat { task: lab.id(), ..late };
    assert_eq!(heartbeat(&lab, &unknown).await, None);
    // What a worker process runs has no such lease.
    lab.end(&next.task, Ending::Success).await;
    let inside = lab.running(draft("echo")).await;
    let foreign = Heartbeat {
        task: inside.id,
        attempt: inside.attempt,
        ..beat(&next)
    };
    assert_eq!(heartbeat(&lab, &foreign).await, None);
}

pub(crate) async fn a_checkpoint_is_for_the_next_attempt_of_the_same_run(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let (worker, held) = claim_one(&lab).await;
    assert_eq!(held.checkpoint, None);
    for content in ["{\"page\": 1}", "{\"page\":  2}"] {
        let kept = Heartbeat {
            checkpoint: Some(text(content)),
            ..beat(&held)
        };
        heartbeat(&lab, &kept).await.expect("it goes on");
    }
    heartbeat(&lab, &beat(&held)).await.expect("it goes on");
    lose(&lab, worker, &held).await;
    let (_, second) = claim_one(&lab).await;
    assert_eq!(second.checkpoint, Some(text("{\"page\":  2}")), "byte for byte");
    let failed = Ending::Failed {
        message: "broken".to_owned(),
        retryable: false,
        code: None,
    };
    lab.end(&second.task, failed).await;
    let ttl = Duration::from_secs(3_600);
    lab.put(id, TaskEvent::RetryRequested { ttl }).await;
    let (_, third) = claim_one(&lab).await;
    assert_eq!((third.task.run, third.checkpoint), (2, None), "another run begins anew");
    lab.end(&third.task, Ending::Success).await;
    lab.advance(TASK_LEASE);
    assert_eq!(purged(&lab).await, 1);
}

pub(crate) async fn a_lease_that_ends_is_found_until_its_attempt_is_over_and_is_then_purged(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let (worker, held) = claim_one(&lab).await;
    lab.advance(just_before(TASK_LEASE));
    let pulse = |now| lab.store.pulse(now, GRACE);
    assert!(!pulse(lab.now).await.expect("works").ended_leases);
    assert_eq!((ended(&lab).await, purged(&lab).await), (vec![], 0));
    let over = lab.now + SECOND;
    assert!(pulse(over).await.expect("works").ended_leases);
    lab.advance(SECOND);
    let lost = EndedLease {
        task: id,
        worker,
        attempt: 1,
        timed_out: false,
    };
    assert_eq!(ended(&lab).await, [lost]);
    assert_eq!(purged(&lab).await, 0, "it is still held");
    lose(&lab, worker, &held).await;
    assert_eq!(ended(&lab).await, []);
    assert_eq!(lab.status(id).await, TaskStatus::Pending);
    // Claimed again before the sweep has taken what was left: the new lease is another one.
    let (_, again) = claim_one(&lab).await;
    assert_eq!((again.task.attempt, purged(&lab).await), (2, 0));
    lab.end(&again.task, Ending::Success).await;
    lab.advance(TASK_LEASE);
    assert_eq!(ended(&lab).await, []);
    assert_eq!((purged(&lab).await, purged(&lab).await), (1, 0));
    assert!(!lab.store.pulse(lab.now, GRACE).await.expect("works").ended_leases);
}

pub(crate) async fn a_lease_ends_with_the_timeout_of_its_attempt_however_often_it_beats(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let timeout = Duration::from_secs(30);
    let with_timeout = TaskDraft {
        timeout_seconds: Some(timeout.as_secs_f64()),
        ..draft("echo")
    };
    let id = lab.create(with_timeout).await;
    let (worker, held) = claim_one(&lab).await;
    let ends_at = held.task.started_at + timeout + GRACE;
    assert_eq!(held.lease_expires_at, lab.now + TASK_LEASE, "sooner than the timeout");
    lab.advance(SECOND * 19);
    let beaten = heartbeat(&lab, &beat(&held)).await.expect("it goes on");
    assert_eq!((beaten.lease_expires_at, beaten.timeout), (ends_at, Some(timeout)));
    lab.advance((timeout + GRACE).saturating_sub(SECOND * 19));
    let timed_out = EndedLease {
        task: id,
        worker,
        attempt: 1,
        timed_out: true,
    };
    assert_eq!(ended(&lab).await, [timed_out]);
    let message = "its timeout passed".to_owned();
    let failed = lab.end(&held.task, Ending::TimedOut { message }).await;
    assert_eq!(failed.life.status(), TaskStatus::Failed);
    assert_eq!((ended(&lab).await, purged(&lab).await), (vec![], 1));
}

pub(crate) async fn a_clock_that_is_moved_ends_no_lease_but_by_the_timeout_of_its_attempt(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.create(draft("echo")).await;
    let (_, free) = claim_one(&lab).await;
    let with_timeout = TaskDraft {
        timeout_seconds: Some(30.0),
        ..draft("echo")
    };
    let bounded = lab.create(with_timeout).await;
    let (worker, _) = claim_one(&lab).await;
    let by = SECOND * 900;
    lab.store.lengthen_leases(by, lab.now).await.expect("works");
    lab.advance(by);
    let timed_out = EndedLease {
        task: bounded,
        worker,
        attempt: 1,
        timed_out: true,
    };
    assert_eq!(ended(&lab).await, [timed_out]);
    let beaten = heartbeat(&lab, &beat(&free)).await.expect("it goes on");
    assert_eq!(beaten.lease_expires_at, lab.now + TASK_LEASE);
    assert_eq!(lab.store.mark_dead(lab.now).await.expect("works"), []);
}

pub(crate) async fn who_made_an_attempt_is_known_also_after_its_end(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let holders = |attempt| {
        let (store, asked) = (Arc::clone(&lab.store), [(id, attempt)]);
        async move {
            let holders = store.holders(&asked).await.expect("works");
            let holder = holders.into_iter().next().expect("the task exists");
            assert_eq!((holder.task, holder.attempt), (id, attempt));
            (holder.newest, holder.key_id)
        }
    };
    let key = Some("key".to_owned());
    assert_eq!(holders(1).await, (0, None), "nobody yet");
    let (worker, held) = claim_one(&lab).await;
    assert_eq!(holders(1).await, (1, key.clone()));
    lose(&lab, worker, &held).await;
    assert_eq!(holders(1).await, (1, key.clone()));
    let inside = lab.echo_worker().await;
    let second = lab.claim_one(inside).await;
    assert_eq!((holders(1).await, holders(2).await), ((2, key.clone()), (2, None)));
    lab.end(&second, Ending::Success).await;
    assert_eq!((holders(1).await, holders(2).await), ((2, key), (2, None)));
    assert_eq!(lab.store.holders(&[(lab.id(), 1)]).await.expect("works"), []);
    let late = lab.apply(report(&held.task, Ending::Success)).await;
    assert!(!matches!(late, orchestratum_store::ChangeOutcome::Done(_)), "{late:?}");
}

pub(crate) async fn a_claim_of_a_deleted_task_holds_no_other_one_with_its_id(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let (_, held) = claim_one(&lab).await;
    lab.end(&held.task, Ending::Success).await;
    let deleted = lab.store.delete(id, &audit("delete"), lab.now).await;
    assert_eq!(deleted.expect("works"), DeleteOutcome::Deleted);
    let mut again = lab.task_of(draft("echo"));
    again.spec.id = id;
    assert_eq!(lab.create_new(again).await, id);
    let inside = lab.echo_worker().await;
    let running = lab.claim_one(inside).await;
    assert_eq!((running.id, running.attempt), (id, held.task.attempt));
    let told = Heartbeat {
        progress: Some(progress(1)),
        ..beat(&held)
    };
    assert_eq!(heartbeat(&lab, &told).await, None);
    assert_eq!(lab.task(id).await.progress, None);
    lab.advance(TASK_LEASE);
    assert_eq!((ended(&lab).await, purged(&lab).await), (vec![], 0));
}

pub(crate) async fn an_external_worker_that_is_gone_is_forgotten_when_nothing_of_it_runs(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.create(draft("echo")).await;
    let (worker, held) = claim_one(&lab).await;
    lab.advance(TASK_LEASE + EXTERNAL_SILENCE);
    lab.store.mark_dead(lab.now).await.expect("works");
    let purge = |external_workers| {
        let (store, long_ago) = (Arc::clone(&lab.store), lab.now - SECOND * 3_600);
        async move {
            let before = RecordsBefore {
                external_workers,
                ..RecordsBefore::all(long_ago)
            };
            store.purge_records(&before, 10).await.expect("works")
        }
    };
    let later = lab.now + SECOND;
    assert_eq!(purge(later).await, 0, "its task is still to be rescued");
    lose(&lab, worker, &held).await;
    assert_eq!(purge(lab.now - SECOND).await, 0, "it was there a moment ago");
    let holder = || async {
        let holders = lab.store.holders(&[(held.task.id, 1)]).await.expect("works");
        holders.into_iter().next().expect("the task exists")
    };
    assert!(!holder().await.is_forgotten);
    assert_eq!(purge(later).await, 1);
    let holder = holder().await;
    assert_eq!((holder.key_id, holder.is_forgotten), (None, true));
}

pub(crate) async fn what_can_be_claimed_is_counted_for_each_offer(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for _ in 0..3 {
        lab.create(draft("echo")).await;
    }
    let later = TaskDraft {
        delay_seconds: Some(60.0),
        ..draft("mail")
    };
    lab.create(later).await;
    let offer = |at: &str, text: &str| Offer {
        target: target(at),
        name: name(text),
    };
    let offers = [offer("default", "echo"), offer("default", "mail"), offer("gpu", "echo")];
    let claimable = |most| lab.store.claimable(&offers, most, lab.now);
    let echo = offer("default", "echo");
    assert_eq!(claimable(10).await.expect("works"), [(echo.clone(), 3)]);
    assert_eq!(claimable(2).await.expect("works"), [(echo, 2)]);
    let (everything, pause) = (target("default"), audit("pause"));
    let paused = lab.store.set_paused(&everything, true, &pause, lab.now).await;
    paused.expect("works");
    assert_eq!(claimable(10).await.expect("works"), []);
}

pub(crate) async fn tasks_of_a_silent_external_worker_are_orphans(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.create(draft("echo")).await;
    let (worker, held) = claim_one(&lab).await;
    lab.advance(TASK_LEASE + EXTERNAL_SILENCE);
    assert_eq!(lab.store.mark_dead(lab.now).await.expect("works"), [worker]);
    let orphans = lab.store.orphans(10).await.expect("works");
    assert_eq!((orphans[0].task, orphans[0].worker), (id, worker));
    lose(&lab, worker, &held).await;
    // It is back: in another life.
    let (next, again) = claim_one(&lab).await;
    assert_ne!(next, worker);
    done(lab.apply(report(&again.task, Ending::Success)).await);
}

pub(crate) async fn external_workers_get_no_messages(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    claimed(&lab, &claim(&lab)).await;
    lab.create(draft("echo")).await;
    let pulse = lab.store.pulse(lab.now, GRACE).await.expect("works");
    assert_eq!(pulse.ready_targets, [target("default")].into(), "they serve it");
    let fed = lab.store.feed(&target("default"), 10, 10, true, lab.now).await;
    assert_eq!(fed.expect("works"), []);
    lab.echo_worker().await;
    let fed = lab.store.feed(&target("default"), 10, 10, true, lab.now).await;
    assert_eq!(fed.expect("works").len(), 1);
}

pub(crate) async fn a_target_with_a_rate_gives_an_external_claim_only_its_starts(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    for _ in 0..5 {
        lab.create(draft("echo")).await;
    }
    set_rate(&lab, "default", Some((1, SECOND * 10, 2))).await;
    let offer = Offer {
        target: target("default"),
        name: name("echo"),
    };
    let offers = [offer.clone()];
    let claimable = |now| lab.store.claimable(&offers, 10, now);
    let starts = claimable(lab.now).await.expect("works");
    assert_eq!(starts, [(offer, 2)], "no more than there are starts");
    assert_eq!(claimed(&lab, &claim(&lab)).await.1.len(), 2);
    assert!(claimed(&lab, &claim(&lab)).await.1.is_empty(), "its starts are spent");
    assert_eq!(claimable(lab.now).await.expect("works"), [], "nobody is to be woken");
    lab.advance(SECOND * 10);
    assert_eq!(claimed(&lab, &claim(&lab)).await.1.len(), 1);
    set_rate(&lab, "default", None).await;
    assert_eq!(claimed(&lab, &claim(&lab)).await.1.len(), 2);
}
