//! Schedules: what callers make and change of them, and slots that become tasks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use orchestratum_core::schedule::{
    Misfire, Overlap, ScheduleDraft, SchedulePatch, ScheduleSpec, Skip, SkipReason, Standing,
};
use orchestratum_core::task::{Ending, ScheduledBy, SpecLimits, TaskEvent, TaskStatus};
use orchestratum_core::{JsonText, ScheduleId, TaskId, Timestamp};
use orchestratum_store::{
    ChangeScheduleOutcome, CreateScheduleOutcome, Fired, IdempotencyKey, LastTask, NewSchedule, Schedule, Store,
    TaskFilter,
};

use super::lab::{Lab, SECOND, START, TICK, audit, draft, just_before};

pub(super) const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn each(cron: &str, task: &str) -> ScheduleDraft {
    ScheduleDraft {
        name: "of a test".to_owned(),
        cron: cron.to_owned(),
        time_zone: "UTC".to_owned(),
        task: JsonText::new(task).expect("JSON"),
        overlap: Overlap::Allow,
        misfire: Misfire::FireOnce,
        start_at: None,
        end_at: None,
        jitter_seconds: 0.0,
        paused: false,
    }
}

/// An echo at each full minute. `START` is one of them.
pub(super) fn minutely() -> ScheduleDraft {
    each("* * * * *", r#"{"name": "echo", "input": "${ schedule.slot }"}"#)
}

fn checked(draft: ScheduleDraft, now: Timestamp) -> ScheduleSpec {
    draft
        .check(&SpecLimits::default(), now)
        .expect("a draft that meets the rules")
}

impl Lab {
    fn new_schedule(&self, draft: ScheduleDraft) -> NewSchedule {
        NewSchedule {
            id: ScheduleId(self.id().0),
            spec: checked(draft, self.now),
            idempotency: None,
        }
    }

    async fn try_schedule(&self, schedule: &NewSchedule) -> CreateScheduleOutcome {
        let audit = audit("create_schedule");
        let created = self.store.create_schedule(schedule, &audit, self.now);
        created.await.expect("the store works")
    }

    pub(super) async fn schedule_new(&self, draft: ScheduleDraft) -> ScheduleId {
        let schedule = self.new_schedule(draft);
        assert_eq!(self.try_schedule(&schedule).await, CreateScheduleOutcome::Created);
        schedule.id
    }

    pub(super) async fn schedule(&self, id: ScheduleId) -> Schedule {
        let schedule = self.store.schedule(id).await.expect("the store works");
        schedule.expect("the schedule exists")
    }

    /// As the random ones of the loop, it has nothing in common with any other, nor with an id.
    pub(super) fn seed(&self) -> u128 {
        // Mixed well: seeds that lie at equal distances could meet where the places of tasks are spread in the same way.
        let mixed = self
            .id()
            .0
            .as_u128()
            .wrapping_mul(0x2545_F491_4F6C_DD1D_D6E8_FEB8_6659_FD93);
        (mixed ^ (mixed >> 59)).wrapping_mul(0xA24B_AED4_963E_E407_9FB2_1C65_1E98_DF25)
    }

    pub(super) async fn fire(&self) -> Fired {
        self.store
            .fire_schedules(500, self.seed(), self.now)
            .await
            .expect("the store works")
    }

    /// Until nothing is due.
    pub(super) async fn fire_all(&self) -> Vec<TaskId> {
        let mut tasks = Vec::new();
        loop {
            let fired = self.fire().await;
            tasks.extend(fired.tasks.into_iter().map(|task| task.task));
            if !fired.more {
                return tasks;
            }
        }
    }

    async fn change(&self, id: ScheduleId, patch: &SchedulePatch, version: Option<u32>) -> ChangeScheduleOutcome {
        let audit = audit("patch_schedule");
        let changed = self.store.change_schedule(id, patch, version, &audit, self.now);
        changed.await.expect("the store works")
    }

    async fn finish_one(&self, id: TaskId) {
        let worker = self.echo_worker().await;
        let claimed = self.claim(worker).await;
        let claimed = claimed.iter().find(|task| task.id == id).expect("it was ready");
        self.end(claimed, Ending::Success).await;
    }

    async fn tasks_of(&self, schedule: ScheduleId) -> Vec<TaskId> {
        let filter = TaskFilter {
            schedule_id: Some(schedule),
            ..TaskFilter::default()
        };
        let page = self.store.list(&filter, None, 200).await.expect("the store works");
        page.items.into_iter().map(|task| task.spec.id).collect()
    }
}

fn done(outcome: ChangeScheduleOutcome) -> Schedule {
    match outcome {
        ChangeScheduleOutcome::Done(schedule) => *schedule,
        other => panic!("expected the change to be made, not {other:?}"),
    }
}

fn pausing(paused: bool) -> SchedulePatch {
    SchedulePatch {
        paused: Some(paused),
        ..SchedulePatch::default()
    }
}

pub(crate) async fn a_schedule_is_read_as_it_was_created(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let plain = lab.schedule_new(minutely()).await;
    let full = ScheduleDraft {
        name: "nächtlich \"1\"\n".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        overlap: Overlap::Replace,
        misfire: Misfire::CatchUp,
        start_at: Some(START + MINUTE * 90 + TICK),
        end_at: Some(START + MINUTE * 2_000),
        jitter_seconds: 1.5,
        ..each(
            "15 2 * * *",
            r#"{"name": "echo", "labels": {"a": "b"}, "on_failure": [{"name": "mail"}]}"#,
        )
    };
    let spec = checked(full.clone(), lab.now);
    let full = lab.schedule_new(full).await;
    for (id, spec) in [(plain, checked(minutely(), lab.now)), (full, spec)] {
        let expected = Schedule {
            id,
            standing: spec.standing(lab.now),
            spec,
            created_at: lab.now,
            updated_at: lab.now,
            version: 1,
            last_task: None,
        };
        assert_eq!(lab.schedule(id).await, expected);
    }
    let unknown = lab.store.schedule(ScheduleId(lab.id().0)).await;
    assert_eq!(unknown.expect("the store works"), None);
}

pub(crate) async fn a_slot_becomes_one_task_when_it_comes(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.schedule_new(minutely()).await;
    lab.advance(just_before(MINUTE));
    assert_eq!(lab.fire().await, Fired::default());
    lab.advance(TICK);
    let fired = lab.fire().await;
    assert_eq!((fired.looked, fired.more, fired.tasks.len()), (1, false, 1));
    let made = &fired.tasks[0];
    assert_eq!((made.schedule, made.slot, made.due_at), (id, lab.now, lab.now));
    assert_eq!(lab.fire().await, Fired::default(), "it comes once");

    let task = lab.task(made.task).await;
    let by = ScheduledBy {
        schedule: id,
        slot: Some(lab.now),
    };
    assert_eq!(task.spec.scheduled_by, Some(by));
    assert_eq!(task.spec.input.as_str(), format!("\"{}\"", lab.now));
    assert_eq!(lab.due_at(made.task).await, lab.now);
    let schedule = lab.schedule(id).await;
    let expected = Standing {
        next_slot: Some(lab.now + MINUTE),
        wake_at: Some(lab.now + MINUTE),
        last_slot: Some(lab.now),
        ..Standing::default()
    };
    assert_eq!(schedule.standing, expected);
    let last = LastTask {
        id: made.task,
        status: TaskStatus::Pending,
    };
    assert_eq!((schedule.last_task, schedule.version), (Some(last), 1));
    // It is a task like any other.
    lab.finish_one(made.task).await;
    assert_eq!(lab.status(made.task).await, TaskStatus::Completed);

    lab.create(draft("echo")).await;
    lab.advance(MINUTE);
    let second = lab.fire_all().await;
    assert_eq!(lab.tasks_of(id).await, [second[0], made.task]);
}

pub(crate) async fn jitter_delays_the_task_of_a_slot(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab
        .schedule_new(ScheduleDraft {
            jitter_seconds: 3_600.0,
            ..minutely()
        })
        .await;
    lab.advance(MINUTE);
    let fired = lab.fire().await;
    let due_at = fired.tasks[0].due_at;
    assert!((lab.now..=lab.now + MINUTE * 60).contains(&due_at), "{due_at}");
    assert_eq!(lab.due_at(fired.tasks[0].task).await, due_at);
    assert_eq!(lab.schedule(id).await.standing.next_slot, Some(lab.now + MINUTE));
}

pub(crate) async fn several_that_look_at_once_make_each_task_once(store: Arc<dyn Store>) {
    const SCHEDULES: usize = 60;
    let mut lab = Lab::new(store);
    for _ in 0..SCHEDULES {
        lab.schedule_new(each("* * * * * *", r#"{"name": "echo"}"#)).await;
    }
    let mut slots = BTreeSet::new();
    for _ in 0..3 {
        lab.advance(SECOND);
        let passes = (0..4).map(|_| {
            let (store, now, seed) = (Arc::clone(&lab.store), lab.now, lab.seed());
            tokio::spawn(async move {
                let mut tasks = Vec::new();
                loop {
                    let fired = store.fire_schedules(7, seed, now).await.expect("the store works");
                    tasks.extend(fired.tasks);
                    // What others hold is theirs; a pass that finds nothing else is the end.
                    if fired.looked == 0 {
                        return tasks;
                    }
                }
            })
        });
        for tasks in join_all(passes).await {
            for task in tasks.expect("no panic") {
                assert!(slots.insert((task.schedule, task.slot)), "twice: {task:?}");
            }
        }
    }
    assert_eq!(slots.len(), SCHEDULES * 3);
}

pub(crate) async fn a_pass_makes_a_bounded_number_of_tasks(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    for _ in 0..15 {
        lab.schedule_new(ScheduleDraft {
            misfire: Misfire::CatchUp,
            ..each("* * * * * *", r#"{"name": "echo"}"#)
        })
        .await;
    }
    lab.advance(MINUTE * 60);
    let first = lab.fire().await;
    // Each has 61 slots on time, and 100 that were missed.
    assert_eq!((first.tasks.len(), first.looked, first.more), (1_000, 7, true));
    assert_eq!(lab.fire_all().await.len(), 15 * 161 - 1_000);
}

pub(crate) async fn a_schedule_whose_task_is_not_over_does_what_it_was_told(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let mut schedules = Vec::new();
    for overlap in Overlap::ALL {
        schedules.push(lab.schedule_new(ScheduleDraft { overlap, ..minutely() }).await);
    }
    let [skip, queue, replace, allow] = schedules[..] else {
        panic!("four policies");
    };
    lab.advance(MINUTE);
    let first = lab.fire().await;
    assert_eq!(first.tasks.len(), 4);
    let of = |schedule: ScheduleId, fired: &Fired| {
        let task = fired.tasks.iter().find(|task| task.schedule == schedule);
        task.map(|task| task.task)
    };
    let slot = lab.now + MINUTE;
    lab.advance(MINUTE);
    let second = lab.fire().await;
    assert_eq!(second.tasks.len(), 1, "beside the first, and nothing else");
    assert!(of(allow, &second).is_some());
    let skipped = Skip {
        slot,
        reason: SkipReason::Overlap,
        detail: None,
    };
    assert_eq!(second.skipped, [(skip, skipped.clone())]);
    assert_eq!(lab.schedule(skip).await.standing.last_skip, Some(skipped));
    assert_eq!(second.cancel, [of(replace, &first).expect("its first")]);
    assert_eq!(lab.schedule(queue).await.standing.waiting, [slot]);

    // The first of each is over.
    for schedule in [skip, queue] {
        lab.finish_one_of(of(schedule, &first).expect("its first")).await;
    }
    let cancel = TaskEvent::CancelRequested { reason: None };
    lab.put(second.cancel[0], cancel).await;
    lab.advance(SECOND * 2);
    let third = lab.fire().await;
    assert_eq!(third.tasks.len(), 2);
    for schedule in [queue, replace] {
        let task = third.tasks.iter().find(|task| task.schedule == schedule);
        assert_eq!(task.map(|task| task.slot), Some(slot));
        assert_eq!(lab.schedule(schedule).await.standing.waiting, []);
    }
    lab.advance(SECOND * 58);
    let fourth = lab.fire().await;
    assert!(of(skip, &fourth).is_some(), "nothing is in its way any more");
}

impl Lab {
    /// Claims it alone, among others that wait.
    async fn finish_one_of(&self, id: TaskId) {
        let worker = self.echo_worker().await;
        let request = orchestratum_store::ClaimRequest {
            named: vec![id],
            fill_up: false,
            ..self.request(worker)
        };
        let claimed = self.claim_as(&request).await;
        self.end(&claimed[0], Ending::Success).await;
    }
}

pub(crate) async fn a_running_or_triggered_task_counts_as_not_over(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab
        .schedule_new(ScheduleDraft {
            overlap: Overlap::Skip,
            ..minutely()
        })
        .await;
    // As a trigger makes it.
    let mut task = lab.task_of(draft("echo"));
    task.spec.scheduled_by = Some(ScheduledBy {
        schedule: id,
        slot: None,
    });
    let triggered = lab.create_new(task).await;
    assert_eq!(lab.schedule(id).await.last_task.map(|task| task.id), Some(triggered));
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    lab.advance(MINUTE);
    assert_eq!(lab.fire().await.skipped.len(), 1, "it runs");
    lab.end(&claimed, Ending::Success).await;
    lab.advance(MINUTE);
    assert_eq!(lab.fire().await.tasks.len(), 1);
}

pub(crate) async fn the_conditions_of_a_task_hold_for_slots(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let unique = r#"{"name": "echo", "input": "once", "unique": {"by": ["name", "input"]}}"#;
    let unique = lab.schedule_new(each("* * * * *", unique)).await;
    let gated = r#"{"name": "echo", "concurrency": {"key": "one", "limit": 1}}"#;
    let gated = lab.schedule_new(each("* * * * *", gated)).await;
    lab.advance(MINUTE);
    let first = lab.fire().await;
    assert_eq!((first.tasks.len(), first.ready.len()), (2, 2));
    let of = |fired: &Fired, schedule| {
        let task = fired.tasks.iter().find(|task| task.schedule == schedule);
        task.expect("a task of it").task
    };
    lab.advance(MINUTE);
    let second = lab.fire().await;
    let met = Skip {
        slot: lab.now,
        reason: SkipReason::Met,
        detail: Some(format!("task {} is like it", of(&first, unique))),
    };
    assert_eq!(second.skipped, [(unique, met.clone())]);
    let standing = lab.schedule(unique).await.standing;
    assert_eq!(
        (standing.last_skip, standing.next_slot),
        (Some(met), Some(lab.now + MINUTE))
    );
    assert_eq!(
        (second.tasks.len(), second.ready.len()),
        (1, 0),
        "it waits for its place"
    );
    lab.finish_one_of(of(&first, gated)).await;
    let worker = lab.echo_worker().await;
    let claimed = lab.claimed_ids(&lab.request(worker)).await;
    assert!(claimed.contains(&of(&second, gated)), "and gets it");
}

pub(crate) async fn what_cannot_be_made_is_recorded_and_the_others_run(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let broken = lab
        .schedule_new(each("* * * * *", r#"{"name": "echo", "target": "${ schedule.slot }"}"#))
        .await;
    lab.schedule_new(minutely()).await;
    lab.advance(MINUTE);
    let fired = lab.fire().await;
    assert_eq!((fired.tasks.len(), fired.skipped.len()), (1, 1));
    let standing = lab.schedule(broken).await.standing;
    let expected = Skip {
        slot: lab.now,
        reason: SkipReason::Unmade,
        detail: Some("/target must match [A-Za-z0-9._-]{1,100}".to_owned()),
    };
    assert_eq!(standing.last_skip, Some(expected));
    assert_eq!(standing.next_slot, Some(lab.now + MINUTE), "it goes on");
}

pub(crate) async fn a_change_is_guarded_and_what_is_so_already_is_not_written(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.schedule_new(minutely()).await;
    lab.advance(SECOND);
    let patch = SchedulePatch {
        cron: Some("*/5 * * * *".to_owned()),
        end_at: Some(Some(START + MINUTE * 30)),
        ..SchedulePatch::default()
    };
    let changed = done(lab.change(id, &patch, Some(1)).await);
    assert_eq!((changed.version, changed.updated_at), (2, lab.now));
    assert_eq!(changed.standing.next_slot, Some(START + MINUTE * 5));
    assert_eq!(lab.schedule(id).await, changed);
    assert_eq!(
        lab.change(id, &patch, Some(1)).await,
        ChangeScheduleOutcome::VersionMismatch { current: 2 }
    );
    lab.advance(SECOND);
    assert_eq!(done(lab.change(id, &patch, None).await), changed, "it is so already");
    let wrong = SchedulePatch {
        cron: Some("0 0 31 2 *".to_owned()),
        ..SchedulePatch::default()
    };
    let ChangeScheduleOutcome::Invalid(broken) = lab.change(id, &wrong, None).await else {
        panic!("there is no 31 February");
    };
    assert_eq!(broken.0[0].pointer, "/cron");
    assert_eq!(lab.schedule(id).await, changed);
    let unknown = ScheduleId(lab.id().0);
    assert_eq!(lab.change(unknown, &patch, None).await, ChangeScheduleOutcome::NotFound);
}

pub(crate) async fn a_paused_schedule_does_nothing_until_it_is_resumed(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab
        .schedule_new(ScheduleDraft {
            misfire: Misfire::CatchUp,
            ..minutely()
        })
        .await;
    let paused = done(lab.change(id, &pausing(true), None).await);
    assert_eq!((paused.standing.next_slot, paused.standing.wake_at), (None, None));
    lab.advance(MINUTE * 10);
    assert_eq!(lab.fire().await, Fired::default());
    lab.advance(SECOND);
    let resumed = done(lab.change(id, &pausing(false), None).await);
    assert_eq!(
        resumed.standing.next_slot,
        Some(START + MINUTE * 11),
        "nothing was missed"
    );
    assert_eq!(lab.fire().await, Fired::default());
    lab.advance(MINUTE);
    assert_eq!(lab.fire().await.tasks.len(), 1);
}

pub(crate) async fn a_deleted_schedule_leaves_its_tasks(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let id = lab.schedule_new(minutely()).await;
    lab.advance(MINUTE);
    let made = lab.fire_all().await;
    let deleting = audit("delete_schedule");
    let delete = || lab.store.delete_schedule(id, &deleting, lab.now);
    assert!(delete().await.expect("the store works"));
    assert!(!delete().await.expect("the store works"), "it is gone");
    assert_eq!(lab.store.schedule(id).await.expect("the store works"), None);
    assert_eq!(lab.tasks_of(id).await, made);
    lab.advance(MINUTE);
    assert_eq!(lab.fire().await, Fired::default());
}

pub(crate) async fn a_repeated_key_makes_one_schedule(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let keyed = |body_hash| NewSchedule {
        idempotency: Some(IdempotencyKey {
            scope: "default".to_owned(),
            key: "once".to_owned(),
            body_hash,
        }),
        ..lab.new_schedule(minutely())
    };
    let first = keyed([1; 32]);
    assert_eq!(lab.try_schedule(&first).await, CreateScheduleOutcome::Created);
    let again = CreateScheduleOutcome::Replayed { id: first.id };
    assert_eq!(lab.try_schedule(&keyed([1; 32])).await, again);
    assert_eq!(
        lab.try_schedule(&keyed([2; 32])).await,
        CreateScheduleOutcome::KeyReused
    );
    let all = lab.store.schedules(None, None, 10).await.expect("the store works");
    assert_eq!(all.items.len(), 1);
}

pub(crate) async fn schedules_are_listed_newest_first_page_by_page(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let mut ids = Vec::new();
    for number in 0..5 {
        let name = format!("number {}", number % 2);
        ids.push(lab.schedule_new(ScheduleDraft { name, ..minutely() }).await);
    }
    ids.reverse();
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = lab.store.schedules(None, before, 2).await.expect("the store works");
        assert!(page.items.len() <= 2);
        listed.extend(page.items.iter().map(|schedule| schedule.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(listed, ids);
    let odd = lab.store.schedules(Some("number 1"), None, 10).await;
    let odd = odd.expect("the store works").items;
    assert_eq!(
        odd.iter().map(|schedule| schedule.id).collect::<Vec<_>>(),
        [ids[1], ids[3]]
    );
    // A page ends before its texts are too large.
    let large = format!(r#"{{"name": "echo", "input": "{}"}}"#, "x".repeat(1_000_000));
    for _ in 0..9 {
        lab.schedule_new(each("* * * * *", &large)).await;
    }
    let page = lab.store.schedules(None, None, 10).await.expect("the store works");
    assert_eq!(page.items.len(), 8);
    assert!(page.next.is_some());
}

pub(crate) async fn the_pulse_tells_when_the_next_schedule_is_due(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let pulse = async |lab: &Lab| lab.store.pulse(lab.now, SECOND).await.expect("the store works");
    assert_eq!(pulse(&lab).await.next_schedule_at, None);
    lab.schedule_new(each("30 * * * *", r#"{"name": "echo"}"#)).await;
    let id = lab.schedule_new(minutely()).await;
    assert_eq!(pulse(&lab).await.next_schedule_at, Some(START + MINUTE));
    done(lab.change(id, &pausing(true), None).await);
    assert_eq!(pulse(&lab).await.next_schedule_at, Some(START + MINUTE * 30));
    lab.advance(MINUTE * 30);
    lab.fire_all().await;
    assert_eq!(pulse(&lab).await.next_schedule_at, Some(START + MINUTE * 90));
}
