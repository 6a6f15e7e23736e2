//! Passes over schedules: what bounds them, one that fails, and slots that wait.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::schedule::{Misfire, Overlap, ScheduleDraft, Skip, SkipReason};
use orchestratum_core::task::{ScheduledBy, TaskEvent};
use orchestratum_core::{ScheduleId, TaskId, Timestamp};
use orchestratum_store::{DeleteOutcome, Fired, Store};

use super::lab::{Lab, SECOND, START, audit, draft};
use super::scheduling::{MINUTE, each, minutely};

pub(crate) async fn large_tasks_are_made_in_several_passes_and_none_is_lost(store: Arc<dyn Store>) {
    const SLOTS: u32 = 12;
    let mut lab = Lab::new(store);
    let large = format!(r#"{{"name": "echo", "input": "{}"}}"#, "x".repeat(900_000));
    let catching_up = ScheduleDraft {
        misfire: Misfire::CatchUp,
        ..each("* * * * *", &large)
    };
    let id = lab.schedule_new(catching_up).await;
    lab.advance(MINUTE * SLOTS);
    let mut slots = Vec::new();
    loop {
        let fired = lab.fire().await;
        assert!(fired.tasks.len() <= 4, "{} in one transaction", fired.tasks.len());
        slots.extend(fired.tasks.into_iter().map(|task| task.slot));
        if !fired.more {
            break;
        }
        assert_eq!(lab.schedule(id).await.standing.last_slot, slots.last().copied());
    }
    let all: Vec<Timestamp> = (1..=SLOTS).map(|minute| START + MINUTE * minute).collect();
    assert_eq!(slots, all);
    assert_eq!(lab.schedule(id).await.standing.waiting, []);

    // What is read is bounded, too: of many that make little of much.
    let skips = format!(
        r#"{{"name": "echo", "target": "${{ schedule.slot }}", "input": "{}"}}"#,
        "x".repeat(900_000)
    );
    for _ in 0..6 {
        lab.schedule_new(each("0 * * * *", &skips)).await;
    }
    lab.advance(MINUTE * 60);
    lab.fire_all().await;
    let looks = async |lab: &mut Lab| {
        lab.advance(MINUTE * 60);
        let first = lab.fire().await;
        (first.looked, first.more)
    };
    let (looked, more) = looks(&mut lab).await;
    assert!(looked <= 4 && more, "{looked}");
}

/// A schedule whose next slot cannot be written: its task is there already. With that task.
async fn poisoned(lab: &Lab) -> (ScheduleId, TaskId) {
    let id = lab.schedule_new(minutely()).await;
    let mut task = lab.task_of(draft("echo"));
    task.spec.scheduled_by = Some(ScheduledBy {
        schedule: id,
        slot: Some(START + MINUTE),
    });
    (id, lab.create_new(task).await)
}

pub(crate) async fn a_schedule_that_fails_is_put_off_alone_and_says_so(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let (broken, in_the_way) = poisoned(&lab).await;
    let other = lab.schedule_new(minutely()).await;
    lab.advance(MINUTE);
    let all = lab.store.fire_schedules(500, lab.seed(), lab.now).await;
    all.expect_err("a slot has one task");
    let due = lab.store.due_schedules(500, lab.now).await.expect("the store works");
    assert_eq!(due.iter().collect::<BTreeSet<_>>(), [broken, other].iter().collect());
    let one = lab.store.fire_schedule(broken, lab.seed(), lab.now).await;
    one.expect_err("it is the one");
    let until = lab.now + SECOND * 20;
    let put_off = lab.store.put_off_schedule(broken, until, "why", lab.now);
    put_off.await.expect("the store works");
    let standing = lab.schedule(broken).await.standing;
    let failed = Skip {
        slot: lab.now,
        reason: SkipReason::Failed,
        detail: Some("why".to_owned()),
    };
    assert_eq!((standing.wake_at, standing.last_skip), (Some(until), Some(failed)));
    assert_eq!(standing.next_slot, Some(lab.now), "its slot is not given up");
    let fired = lab.store.fire_schedule(other, lab.seed(), lab.now).await;
    assert_eq!(fired.expect("the store works").tasks.len(), 1);
    assert_eq!(lab.fire().await, Fired::default());

    lab.put(in_the_way, TaskEvent::CancelRequested { reason: None }).await;
    let deleted = lab.store.delete(in_the_way, &audit("delete"), lab.now).await;
    assert_eq!(deleted.expect("the store works"), DeleteOutcome::Deleted);
    // As late as a loop looks.
    lab.advance(SECOND * 20 + Duration::from_millis(900));
    let fired = lab.store.fire_schedule(broken, lab.seed(), lab.now).await;
    assert_eq!(fired.expect("the store works").tasks.len(), 1, "its slot is on time");
    assert_eq!(lab.schedule(broken).await.standing.last_skip, None);
}

pub(crate) async fn slots_that_wait_are_woken_and_nothing_else_is(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let queue = |overlap| ScheduleDraft { overlap, ..minutely() };
    let waiting = lab.schedule_new(queue(Overlap::Queue)).await;
    let other = lab.schedule_new(queue(Overlap::Skip)).await;
    lab.advance(MINUTE);
    let first = lab.fire().await;
    assert_eq!(first.waiting, [], "none waits");
    lab.advance(MINUTE);
    let second = lab.fire().await;
    let task = first.tasks.iter().find(|task| task.schedule == waiting);
    assert_eq!(second.waiting, [(waiting, vec![task.expect("its first").task])]);
    let wake = lab.store.wake_schedules(&[waiting, other], lab.now).await;
    wake.expect("the store works");
    assert_eq!(lab.schedule(waiting).await.standing.wake_at, Some(lab.now));
    assert_eq!(lab.schedule(other).await.standing.wake_at, Some(lab.now + MINUTE));
    assert_eq!(lab.fire().await.looked, 1);
}
