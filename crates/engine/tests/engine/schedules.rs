//! Slots become tasks by the loop, and a later slot takes the place of a task that is not over.

use std::time::Duration;

use crate::common::{claim, engine, eventually, worker};
use orchestratum_core::schedule::{Misfire, Overlap, ScheduleDraft, SkipReason};
use orchestratum_core::task::{Ending, ScheduledBy, SpecLimits, TaskDraft, TaskState, TaskStatus};
use orchestratum_core::{JsonText, Origin, ScheduleId};
use orchestratum_engine::schedules::{CreateSchedule, CreatedSchedule};
use orchestratum_engine::{Engine, identity};
use orchestratum_store::{Announce, CreateOutcome, CreateRequest, Evidence, NewTask, Schedule, Task, TaskFilter};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const MINUTE: Duration = Duration::from_secs(60);

async fn schedule(engine: &Engine, overlap: Overlap) -> ScheduleId {
    let draft = ScheduleDraft {
        name: "each minute".to_owned(),
        cron: "* * * * *".to_owned(),
        time_zone: "UTC".to_owned(),
        task: JsonText::trusted(r#"{"name": "echo"}"#),
        overlap,
        misfire: Misfire::FireOnce,
        start_at: None,
        end_at: None,
        jitter_seconds: 0.0,
        paused: false,
    };
    let request = CreateSchedule {
        draft,
        idempotency: None,
        actor: None,
    };
    match engine.create_schedule(request).await.expect("a valid draft") {
        CreatedSchedule::Created(Schedule { id, .. }) => id,
        other @ CreatedSchedule::Replayed(_) => panic!("{other:?}"),
    }
}

/// Its tasks, newest first, once there are so many.
async fn tasks(engine: &Engine, schedule: ScheduleId, count: usize) -> Vec<Task> {
    let filter = TaskFilter {
        schedule_id: Some(schedule),
        ..TaskFilter::default()
    };
    eventually(&format!("{count} tasks"), || async {
        let page = engine.list(&filter, None, 50).await.expect("a page");
        (page.items.len() >= count).then_some(page.items)
    })
    .await
}

#[tokio::test]
async fn each_slot_becomes_a_task_that_a_worker_can_claim() {
    let engine = engine().await;
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let id = schedule(&engine, Overlap::Allow).await;
    engine.start_background(true, &tracker, &stop);
    for slot in 1..=3 {
        engine.clock().advance(MINUTE);
        let made = tasks(&engine, id, slot).await;
        assert_eq!(made.len(), slot);
        let worker = worker(&engine).await;
        let claimed = claim(&engine, worker).await;
        assert_eq!(
            claimed.iter().map(|task| task.id).collect::<Vec<_>>(),
            [made[0].spec.id]
        );
        let reported = engine.finish(claimed[0].id, claimed[0].attempt, Ending::Success, Evidence::default());
        reported.await.expect("a report");
    }
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn a_later_slot_replaces_a_running_task_once_its_worker_has_killed_it() {
    let engine = engine().await;
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let id = schedule(&engine, Overlap::Replace).await;
    engine.start_background(true, &tracker, &stop);
    engine.clock().advance(MINUTE);
    let first = tasks(&engine, id, 1).await.remove(0);
    // Its lease must outlive the wait.
    engine.clock().advance(Duration::from_secs(55));
    let worker = worker(&engine).await;
    let claimed = claim(&engine, worker).await.remove(0);
    assert_eq!(claimed.id, first.spec.id);
    engine.clock().advance(Duration::from_secs(5));
    eventually("it is told to stop", || async {
        let task = engine.task(claimed.id).await.expect("it exists");
        let is_asked = matches!(
            task.life.state,
            TaskState::InProgress {
                cancel_requested: Some(_),
                ..
            }
        );
        is_asked.then_some(())
    })
    .await;
    let waiting = engine.schedule(id).await.expect("it exists").standing.waiting;
    assert_eq!(waiting.len(), 1, "the slot waits for the end of that");
    let cancelled = Ending::Cancelled {
        message: "killed".to_owned(),
    };
    let reported = engine.finish(claimed.id, claimed.attempt, cancelled, Evidence::default());
    reported.await.expect("a report");
    engine.clock().advance(Duration::from_secs(2));
    let both = tasks(&engine, id, 2).await;
    assert_eq!(both[1].life.status(), TaskStatus::Cancelled);
    assert_eq!(both[0].spec.scheduled_by.and_then(|by| by.slot), Some(waiting[0]));
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

#[tokio::test]
async fn a_slot_that_waits_runs_as_soon_as_the_task_before_it_is_over() {
    let engine = engine().await;
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let id = schedule(&engine, Overlap::Queue).await;
    engine.start_background(true, &tracker, &stop);
    engine.clock().advance(MINUTE);
    let first = tasks(&engine, id, 1).await.remove(0);
    engine.clock().advance(MINUTE);
    eventually("the second slot waits", || async {
        let standing = engine.schedule(id).await.expect("it exists").standing;
        (!standing.waiting.is_empty()).then_some(())
    })
    .await;
    // The clock stands still from here on: no time comes at which it is asked again.
    let worker = worker(&engine).await;
    let claimed = claim(&engine, worker).await.remove(0);
    assert_eq!(claimed.id, first.spec.id);
    let reported = engine.finish(claimed.id, claimed.attempt, Ending::Success, Evidence::default());
    reported.await.expect("a report");
    tasks(&engine, id, 2).await;
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}

/// A task of the slot that comes next: the task of the schedule cannot be written beside it.
async fn put_in_the_way(engine: &Engine, schedule: ScheduleId) {
    let slot = engine.schedule(schedule).await.expect("it exists").standing.next_slot;
    let now = engine.clock().now();
    let draft = TaskDraft {
        name: "echo".to_owned(),
        ..TaskDraft::default()
    };
    let limits = SpecLimits::default();
    let (mut spec, life) = draft
        .check("", identity::chosen_task_id(), &limits, now)
        .expect("a valid draft");
    spec.scheduled_by = Some(ScheduledBy { schedule, slot });
    let task = NewTask {
        spec,
        life,
        announce: Announce::ByCaller,
        request_hash: None,
        origin: Origin::default(),
    };
    let request = CreateRequest {
        tasks: vec![task],
        idempotency: None,
    };
    let created = engine.store().create(&[request], now).await.expect("the store works");
    assert!(matches!(created[0], CreateOutcome::Created), "{created:?}");
}

#[tokio::test]
async fn a_schedule_that_fails_stops_no_other_and_tells_its_owner() {
    let engine = engine().await;
    let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
    let (broken, other) = (
        schedule(&engine, Overlap::Allow).await,
        schedule(&engine, Overlap::Allow).await,
    );
    put_in_the_way(&engine, broken).await;
    engine.start_background(true, &tracker, &stop);
    engine.clock().advance(MINUTE);
    tasks(&engine, other, 1).await;
    let skip = eventually("it says so", || async {
        engine.schedule(broken).await.expect("it exists").standing.last_skip
    })
    .await;
    assert_eq!(skip.reason, SkipReason::Failed);
    assert!(
        skip.detail
            .is_some_and(|detail| detail.contains("the log of the server"))
    );
    engine.clock().advance(MINUTE);
    tasks(&engine, other, 2).await;
    stop.cancel();
    tracker.close();
    tracker.wait().await;
}
