//! What comes after a task.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::{Edge, Ending, FollowUpPlace, FollowUps, TaskDraft, TaskEvent, TaskStatus};
use orchestratum_core::{JsonText, Origin, TaskId};
use orchestratum_store::{Change, ChangeOutcome, Changed, Children, Evidence, MissingCause, NewTask, Store, Task};

use super::lab::{Lab, SECOND, audit, done, draft, evidence, failure, report, report_of};

const PLENTY: usize = 1_000;

/// Lists of follow-ups: an object of arrays.
fn lists(text: &str) -> FollowUps {
    FollowUps::from_stored(text).expect("lists of follow-ups")
}

fn followed_by(text: &str) -> TaskDraft {
    TaskDraft {
        follow_ups: lists(text),
        ..draft("echo")
    }
}

/// One of each kind, with its way in its input.
const EACH: &str = r#"{
    "on_success": [{"name": "echo", "input": "completed"}],
    "on_failure": [{"name": "echo", "input": "failed: ${ error.kind }"}],
    "on_cancel": [{"name": "echo", "input": "cancelled: ${ error.message }"}],
    "on_expire": [{"name": "echo", "input": "expired"}]
}"#;

async fn children(lab: &Lab, parent: TaskId) -> Children {
    let children = lab
        .store
        .children(&[parent], PLENTY, 1 << 20)
        .await
        .expect("the store works");
    assert!(!children.truncated, "they fit");
    children
}

/// The inputs of what came after a task, and that each is a task as its place says.
async fn inputs(lab: &Lab, parent: TaskId) -> Vec<String> {
    let children = children(lab, parent).await;
    for task in &children.tasks {
        assert_eq!(task.spec.parent_id, Some(parent));
        assert!(task.spec.place.is_some(), "it has a place");
    }
    assert_eq!(children.missing, []);
    children.tasks.iter().map(input).collect()
}

fn input(task: &Task) -> String {
    task.spec.input.as_str().to_owned()
}

fn success(output: &str) -> Evidence {
    Evidence {
        output: Some(JsonText::new(output.to_owned()).expect("JSON")),
        ..Evidence::default()
    }
}

async fn completed(lab: &Lab, draft: TaskDraft, evidence: Evidence) -> Changed {
    let claimed = lab.running_beside(draft).await;
    let change = Change {
        evidence,
        ..report(&claimed, Ending::Success)
    };
    done(lab.apply(change).await)
}

pub(crate) async fn a_completed_task_is_followed_in_the_same_commit(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let text = r#"{"on_success": [
        {"name": "echo", "input": {"total": "${ output.n + 1 }", "was": "${ input }"}, "priority": 7,
         "on_failure": [{"name": "mail"}]},
        {"name": "resize", "target": "gpu", "delay_seconds": 2, "labels": {"of": "${ task.id }"}}]}"#;
    let parent = TaskDraft {
        input: Some(JsonText::trusted("[1]")),
        ..followed_by(text)
    };
    let changed = completed(&lab, parent, success(r#"{"n": 41}"#)).await;
    assert_eq!(changed.followed.missing, []);
    let found = children(&lab, changed.task).await.tasks;
    let [first, second] = found.as_slice() else {
        panic!("two follow-ups, not {found:?}");
    };
    assert_eq!(input(first), r#"{"total":42,"was":[1]}"#);
    assert_eq!(
        (
            first.spec.name.as_str(),
            first.spec.target.as_str(),
            first.spec.priority
        ),
        ("echo", "default", 7)
    );
    assert_eq!(first.spec.follow_ups, lists(r#"{"on_failure": [{"name": "mail"}]}"#));
    assert_eq!(
        (second.spec.name.as_str(), second.spec.target.as_str()),
        ("resize", "gpu")
    );
    assert_eq!(second.spec.labels.get("of"), Some(&changed.task.to_string()));
    assert_eq!(lab.due_at(second.spec.id).await, lab.now + 2 * SECOND);
    for (index, (told, task)) in changed.followed.tasks.iter().zip(&found).enumerate() {
        let place = FollowUpPlace {
            run: 1,
            edge: Edge::Success,
            index: u16::try_from(index).expect("two"),
        };
        assert_eq!(
            (told.task, told.place, task.spec.place),
            (task.spec.id, place, Some(place))
        );
        assert_eq!((&told.name, &told.target), (&task.spec.name, &task.spec.target));
        assert_eq!((task.life.status(), task.life.run), (TaskStatus::Pending, 1));
        assert_eq!(*task, lab.task(task.spec.id).await);
    }
}

pub(crate) async fn each_way_a_run_ends_has_follow_ups_of_its_own(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let completed = completed(&lab, followed_by(EACH), success("1")).await.task;
    assert_eq!(inputs(&lab, completed).await, [r#""completed""#]);

    let failed = lab.running_beside(followed_by(EACH)).await;
    lab.end(&failed, failure()).await;
    assert_eq!(inputs(&lab, failed.id).await, [r#""failed: Failed""#]);

    let cancel = |reason: &str| TaskEvent::CancelRequested {
        reason: Some(reason.to_owned()),
    };
    let pending = lab.create(followed_by(EACH)).await;
    lab.put(pending, cancel("not now")).await;
    assert_eq!(inputs(&lab, pending).await, [r#""cancelled: not now""#]);

    let running = lab.running_beside(followed_by(EACH)).await;
    let asked = lab.put(running.id, cancel("enough")).await;
    assert_eq!(asked.followed, orchestratum_store::Followed::default());
    let message = "killed".to_owned();
    lab.end(&running, Ending::Cancelled { message }).await;
    assert_eq!(inputs(&lab, running.id).await, [r#""cancelled: enough""#]);

    let short = || TaskDraft {
        ttl_seconds: Some(5.0),
        ..followed_by(EACH)
    };
    let overdue = lab.running_beside(short()).await;
    let waiting = lab.create(short()).await;
    lab.advance(6 * SECOND);
    for task in [overdue.id, waiting] {
        lab.put(task, TaskEvent::DeadlinePassed).await;
        assert_eq!(inputs(&lab, task).await, [r#""expired""#]);
    }

    let lost = TaskDraft {
        max_losses: Some(0),
        ..followed_by(EACH)
    };
    let lost = lab.running_beside(lost).await;
    let worker = lab.task(lost.id).await.worker.expect("it is held");
    let attempt = lost.attempt;
    lab.put(lost.id, TaskEvent::WorkerLost { worker, attempt }).await;
    assert_eq!(inputs(&lab, lost.id).await, [r#""failed: Lost""#]);

    let unoffered = lab.create(followed_by(EACH)).await;
    let message = "no worker offers it".to_owned();
    lab.put(unoffered, TaskEvent::NameNotOffered { message }).await;
    assert_eq!(inputs(&lab, unoffered).await, [r#""failed: NotFound""#]);
}

pub(crate) async fn nothing_follows_an_attempt_that_is_not_the_last(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let retried = TaskDraft {
        max_retries: Some(1),
        backoff: Some(orchestratum_core::task::Backoff::None),
        ..followed_by(EACH)
    };
    let first = lab.running(retried).await;
    let changed = lab.end(&first, failure()).await;
    assert_eq!(changed.life.status(), TaskStatus::Pending);
    assert_eq!(inputs(&lab, first.id).await, Vec::<String>::new());
    let worker = lab.echo_worker().await;
    let second = lab.claim_one(worker).await;
    lab.end(&second, failure()).await;
    assert_eq!(inputs(&lab, first.id).await, [r#""failed: Failed""#]);
}

pub(crate) async fn another_run_is_followed_once_more(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let first = lab.running(followed_by(EACH)).await;
    lab.end(&first, failure()).await;
    let again = TaskEvent::RetryRequested { ttl: 60 * SECOND };
    lab.put(first.id, again).await;
    let worker = lab.echo_worker().await;
    let mut claimed = lab.claim(worker).await;
    claimed.retain(|task| task.id == first.id);
    let change = Change {
        evidence: success("2"),
        ..report(&claimed[0], Ending::Success)
    };
    done(lab.apply(change).await);
    let found = children(&lab, first.id).await.tasks;
    let places: Vec<_> = found.iter().filter_map(|task| task.spec.place).collect();
    let place = |run, edge| FollowUpPlace { run, edge, index: 0 };
    assert_eq!(places, [place(1, Edge::Failure), place(2, Edge::Success)]);
}

pub(crate) async fn a_report_that_comes_twice_is_followed_once(store: Arc<dyn Store>) {
    let lab = Lab::new(Arc::clone(&store));
    let claimed = lab.running(followed_by(EACH)).await;
    let report = |seed| Change {
        evidence: success("1"),
        seed,
        ..report_of(claimed.id, claimed.attempt, Ending::Success)
    };
    // Beside each other, in one batch, and after each other.
    let racing = (1..=4).map(|seed| {
        let (store, change, now) = (Arc::clone(&store), report(seed), lab.now);
        tokio::spawn(async move { store.apply(&[change.clone(), change], now).await })
    });
    let mut taken = 0;
    for task in racing.collect::<Vec<_>>() {
        let outcomes = task.await.expect("no panic").expect("the store works");
        taken += outcomes
            .iter()
            .filter(|outcome| matches!(outcome, ChangeOutcome::Done(_)))
            .count();
    }
    assert_eq!(taken, 1);
    assert_eq!(
        lab.apply(report(9)).await,
        ChangeOutcome::AlreadyReported { saga: None }
    );
    assert_eq!(inputs(&lab, claimed.id).await, [r#""completed""#]);
}

pub(crate) async fn a_follow_up_that_cannot_be_made_is_recorded_and_the_others_are_there(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let text = r#"{"on_success": [
        {"name": "echo", "input": "${ output.n }"},
        {"name": "mail", "input": {"to": "${ output.address.first }"}},
        {"name": "echo", "target": "${ output.where }"},
        {"name": "echo", "input": "last"}]}"#;
    let changed = completed(&lab, followed_by(text), success(r#"{"n": 1, "where": "no where"}"#)).await;
    assert_eq!(
        changed.life.status(),
        TaskStatus::Completed,
        "the parent's result stands"
    );
    let found = children(&lab, changed.task).await;
    assert_eq!(found.missing, changed.followed.missing);
    let told: Vec<_> = found
        .missing
        .iter()
        .map(|missing| {
            (
                missing.place.index,
                missing.name.as_str(),
                missing.cause,
                missing.reason.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                1,
                "mail",
                MissingCause::Unmade,
                "/input/to there is no field \"address\""
            ),
            (
                2,
                "echo",
                MissingCause::Unmade,
                "/target must match [A-Za-z0-9._-]{1,100}"
            ),
        ]
    );
    assert_eq!(found.missing[0].since, lab.now);
    let made: Vec<_> = found
        .tasks
        .iter()
        .map(|task| (input(task), task.spec.place.map(|place| place.index)))
        .collect();
    assert_eq!(made, [("1".to_owned(), Some(0)), (r#""last""#.to_owned(), Some(3))]);
}

pub(crate) async fn what_comes_with_a_report_follows_a_success_behind_the_list(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let reported = || vec![JsonText::new(r#"{"name": "echo", "input": "${ output }"}"#).expect("JSON")];
    let brought = |output| Evidence {
        follow_ups: reported(),
        ..success(output)
    };
    let plain = completed(&lab, draft("echo"), brought("5")).await;
    assert_eq!(inputs(&lab, plain.task).await, ["5"]);
    let listed = completed(&lab, followed_by(EACH), brought("6")).await;
    assert_eq!(inputs(&lab, listed.task).await, [r#""completed""#, "6"]);
    // A failure takes what was written for it, and nothing that its worker thought of.
    let failed = lab.running_beside(followed_by(EACH)).await;
    let change = Change {
        evidence: Evidence {
            follow_ups: reported(),
            ..Evidence::default()
        },
        ..report(&failed, failure())
    };
    done(lab.apply(change).await);
    assert_eq!(inputs(&lab, failed.id).await, [r#""failed: Failed""#]);
}

pub(crate) async fn a_follow_up_is_run_and_followed_like_any_task(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let chain = r#"{"on_success": [{"name": "echo", "input": "${ input + 1 }",
        "on_success": [{"name": "echo", "input": "${ input + 1 }", "on_success": [{"name": "echo", "input": "${ input + 1 }"}]}]}]}"#;
    let worker = lab.echo_worker().await;
    let mut task = lab
        .create(TaskDraft {
            input: Some(JsonText::trusted("0")),
            ..followed_by(chain)
        })
        .await;
    for link in 0..4 {
        let claimed = lab.claim_one(worker).await;
        assert_eq!((claimed.id, claimed.input.as_str()), (task, link.to_string().as_str()));
        let changed = lab.end(&claimed, Ending::Success).await;
        let next = changed.followed.tasks.first().map(|next| next.task);
        assert_eq!(next.is_some(), link < 3);
        task = next.unwrap_or(task);
    }
    assert_eq!(lab.claim(worker).await.len(), 0);
}

pub(crate) async fn trace_request_and_labels_are_carried_over(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let origin = Origin {
        trace_parent: Some(
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
                .parse()
                .expect("a traceparent"),
        ),
        request_id: Some("request-7".parse().expect("a request id")),
    };
    let parent = lab.task_of(TaskDraft {
        labels: [("team".to_owned(), "billing".to_owned())].into(),
        target: Some("gpu".to_owned()),
        ..followed_by(r#"{"on_cancel": [{"name": "echo"}]}"#)
    });
    let id = lab
        .create_new(NewTask {
            origin: origin.clone(),
            ..parent
        })
        .await;
    lab.put(id, TaskEvent::CancelRequested { reason: None }).await;
    let worker = lab.worker(&["gpu"], &["echo"]).await;
    let mut request = lab.request(worker);
    request.targets = vec![super::lab::target("gpu")];
    let claimed = lab.claim_as(&request).await.remove(0);
    assert_eq!(claimed.origin, origin);
    let task = lab.task(claimed.id).await;
    assert_eq!((task.spec.parent_id, task.spec.target.as_str()), (Some(id), "gpu"));
    assert_eq!(task.spec.labels.get("team").map(String::as_str), Some("billing"));
}

pub(crate) async fn edits_before_the_end_are_seen_by_what_follows(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let text = r#"{"on_cancel": [{"name": "echo", "input": ["${ input }", "${ task.description }"]}]}"#;
    let id = lab.create(followed_by(text)).await;
    let patch = orchestratum_core::task::TaskPatch {
        input: Some(JsonText::trusted("7")),
        description: Some(Some("edited".to_owned())),
        ..orchestratum_core::task::TaskPatch::default()
    };
    let patch = patch
        .check(
            &super::lab::name("echo"),
            &orchestratum_core::task::SpecLimits::default(),
            lab.now,
        )
        .expect("it meets the rules");
    let edit = Change {
        patch: Some(patch.clone()),
        audit: Some(audit("patch")),
        ..Change::new(id, TaskEvent::Patched(patch.life))
    };
    let cancel = Change::new(id, TaskEvent::CancelRequested { reason: None });
    for outcome in lab.apply_all(vec![edit, cancel]).await {
        done(outcome);
    }
    assert_eq!(inputs(&lab, id).await, [r#"[7,"edited"]"#]);
}

pub(crate) async fn a_follow_up_that_is_deleted_leaves_a_gap_and_one_without_parent_none(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let changed = completed(&lab, followed_by(EACH), success("1")).await;
    let child = changed.followed.tasks[0].task;
    lab.put(child, TaskEvent::CancelRequested { reason: None }).await;
    let delete = async |task| {
        lab.store
            .delete(task, &audit("delete"), lab.now)
            .await
            .expect("the store works")
    };
    delete(child).await;
    let found = children(&lab, changed.task).await;
    assert_eq!(found.tasks, []);
    let [gap] = found.missing.as_slice() else {
        panic!("one gap, not {found:?}");
    };
    assert_eq!(
        (gap.cause, gap.name.as_str(), gap.place),
        (MissingCause::Deleted, "echo", changed.followed.tasks[0].place)
    );
    lab.assert_sound().await;

    // With a parent go its gaps, and what followed it stays.
    let other = completed_beside(&lab, followed_by(EACH)).await;
    let orphan = other.followed.tasks[0].task;
    for parent in [changed.task, other.task] {
        delete(parent).await;
        assert_eq!(
            lab.store
                .children(&[parent], PLENTY, 1 << 20)
                .await
                .expect("the store works")
                .missing,
            []
        );
    }
    assert_eq!(lab.task(orphan).await.spec.parent_id, Some(other.task));
    lab.put(orphan, TaskEvent::CancelRequested { reason: None }).await;
    delete(orphan).await;
}

async fn completed_beside(lab: &Lab, draft: TaskDraft) -> Changed {
    let claimed = lab.running_beside(draft).await;
    lab.end(&claimed, Ending::Success).await
}

pub(crate) async fn children_are_read_within_bounds(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let long = "x".repeat(1_000);
    let entry = format!(r#"{{"name": "echo", "input": "{long}"}}"#);
    let bad = r#"{"name": "echo", "input": "${ output.no }"}"#;
    let text = format!(r#"{{"on_success": [{}, {bad}, {bad}]}}"#, [entry.as_str(); 5].join(","));
    let parent = completed(&lab, followed_by(&text), success("{}")).await.task;
    let read = async |limit, bytes| {
        let found = lab
            .store
            .children(&[parent], limit, bytes)
            .await
            .expect("the store works");
        (found.tasks.len(), found.missing.len(), found.truncated)
    };
    assert_eq!(read(5, 1 << 20).await, (5, 2, false));
    assert_eq!(read(4, 1 << 20).await, (4, 2, true));
    assert_eq!(read(1, 1 << 20).await, (1, 1, true));
    assert_eq!(read(5, 2_100).await, (2, 2, true));
    assert_eq!(read(5, 0).await, (1, 2, true), "the first is always there");
    let none = lab.store.children(&[], 5, 1_000).await.expect("the store works");
    assert_eq!(none, Children::default());
}

pub(crate) async fn follow_ups_too_dear_for_one_transaction_are_written_in_several(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let text = format!(
        r#"{{"on_success": [{}]}}"#,
        [r#"{"name": "echo", "input": "${ output }"}"#; 3].join(",")
    );
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(lab.create(followed_by(&text)).await);
    }
    let worker = lab.echo_worker().await;
    let large = format!("\"{}\"", "x".repeat(1_000_000));
    let mut changes = Vec::new();
    for claimed in lab.claim(worker).await {
        changes.push(Change {
            evidence: success(&large),
            ..report(&claimed, Ending::Success)
        });
    }
    // The same again at the end is seen after what it repeats.
    changes.push(changes[0].clone());
    let outcomes = lab.apply_all(changes).await;
    assert_eq!(outcomes[4], ChangeOutcome::AlreadyReported { saga: None });
    for id in ids {
        let found = lab
            .store
            .children(&[id], PLENTY, 1 << 30)
            .await
            .expect("the store works");
        assert_eq!(found.tasks.len(), 3);
    }
}

pub(crate) async fn purging_takes_what_is_missing_with_its_parent(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let text = r#"{"on_success": [{"name": "echo", "input": "${ output.no }"}]}"#;
    let parent = completed(&lab, followed_by(text), success("{}")).await.task;
    lab.advance(Duration::from_secs(86_400));
    let before = lab.now - SECOND;
    assert_eq!(lab.store.purge_finished(before, 100).await.expect("the store works"), 1);
    assert_eq!(children(&lab, parent).await, Children::default());
}

pub(crate) async fn a_report_with_logs_is_followed_too(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let changed = completed(&lab, followed_by(EACH), evidence("1")).await;
    assert_eq!(inputs(&lab, changed.task).await, [r#""completed""#]);
    assert_eq!(lab.attempts(changed.task).await.len(), 1);
}

pub(crate) async fn what_follows_has_seen_every_edit_that_was_accepted(store: Arc<dyn Store>) {
    const ROUNDS: u32 = 40;
    let lab = Lab::new(Arc::clone(&store));
    let text = r#"{"on_success": [{"name": "mail", "input": "${ task.description }"}]}"#;
    let mut edited = 0;
    for round in 0..ROUNDS {
        let claimed = lab.running_beside(followed_by(text)).await;
        let patch = orchestratum_core::task::TaskPatch {
            description: Some(Some(format!("round {round}"))),
            ..orchestratum_core::task::TaskPatch::default()
        };
        let patch = patch
            .check(
                &super::lab::name("echo"),
                &orchestratum_core::task::SpecLimits::default(),
                lab.now,
            )
            .expect("it meets the rules");
        let edit = Change {
            patch: Some(patch.clone()),
            ..Change::new(claimed.id, TaskEvent::Patched(patch.life))
        };
        let end = Change {
            evidence: success("1"),
            ..report(&claimed, Ending::Success)
        };
        let apply = |change: Change| {
            let (store, now) = (Arc::clone(&store), lab.now);
            tokio::spawn(async move { store.apply(&[change], now).await })
        };
        let (edit, end) = (apply(edit), apply(end));
        let taken = |outcomes: Vec<ChangeOutcome>| matches!(outcomes[0], ChangeOutcome::Done(_));
        let was_edited = taken(edit.await.expect("no panic").expect("the store works"));
        assert!(
            taken(end.await.expect("no panic").expect("the store works")),
            "an edit is no reason to refuse"
        );
        edited += u32::from(was_edited);
        let seen = inputs(&lab, claimed.id).await;
        let expected = if was_edited {
            format!("\"round {round}\"")
        } else {
            "null".to_owned()
        };
        assert_eq!(seen, [expected], "round {round}");
    }
    println!("{edited} of {ROUNDS} edits came first");
}
