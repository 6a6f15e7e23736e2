//! A worker of PostgreSQL goes on with what follows the task that it reports.

use std::sync::Arc;

use orchestratum_core::task::{Ending, FollowUps, SpecLimits, TaskDraft, TaskEvent, TaskPatch, TaskState, TaskStatus};
use orchestratum_core::{JsonText, Origin, WorkerId};
use orchestratum_store::{Change, Changed, ClaimedTask, Evidence, FollowedBy, Takes, Task};

use crate::conformance::Fixture;
use crate::conformance::lab::{LEASE, Lab, SECOND, audit, done, draft, name, report, target};
use crate::support::Postgres;

async fn fresh() -> Postgres {
    Postgres::fresh(&crate::support::database_url()).await
}

fn followed_by(list: &str) -> TaskDraft {
    let list: Vec<JsonText> = serde_json::from_str(list).expect("a list of JSON");
    TaskDraft {
        follow_ups: FollowUps::on_success(list),
        priority: Some(3),
        ..draft("echo")
    }
}

/// By the worker that has ended this task.
fn takes(worker: WorkerId, task: &ClaimedTask) -> Takes {
    Takes {
        worker,
        targets: Arc::new([target("default")]),
        names: Arc::new([name("echo"), name("resize")]),
        known: task.known.clone(),
    }
}

/// Reports a success of the only task that runs, by the worker that would go on.
async fn reported(lab: &Lab, task: &ClaimedTask, worker: WorkerId) -> Changed {
    let change = Change {
        evidence: Evidence {
            output: Some(JsonText::trusted("41")),
            ..Evidence::default()
        },
        takes: Some(takes(worker, task)),
        ..report(task, Ending::Success)
    };
    done(lab.apply(change).await)
}

/// A worker, and a task that it runs.
async fn running(lab: &Lab, draft: TaskDraft) -> (WorkerId, ClaimedTask) {
    lab.create(draft).await;
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    assert_eq!(claimed.followed_by, FollowedBy::FollowUps);
    (worker, claimed)
}

async fn set_paused(lab: &Lab, paused: bool) {
    lab.store
        .set_paused(&target("default"), paused, &audit("pause"), lab.now)
        .await
        .expect("the store works");
}

async fn assert_waiting(lab: &Lab, changed: &Changed) {
    for follow_up in &changed.followed.tasks {
        assert_eq!(follow_up.claimed, None);
        assert_eq!(lab.status(follow_up.task).await, TaskStatus::Pending);
    }
    lab.assert_sound().await;
}

#[tokio::test]
async fn the_first_that_a_worker_serves_runs_there_at_once_and_the_others_wait() {
    let postgres = fresh().await;
    let lab = Lab::new(postgres.store());
    let list = r#"[
        {"name": "mail", "priority": 9}, {"name": "echo", "delay_seconds": 5, "priority": 9},
        {"name": "echo", "priority": 3, "input": "${ output + 1 }", "timeout_seconds": 7, "on_success": [{"name": "echo"}]},
        {"name": "echo", "priority": 9}]"#;
    let (worker, first) = running(&lab, followed_by(list)).await;
    let origin = Origin::default();
    let changed = reported(&lab, &first, worker).await;
    let claimed: Vec<_> = changed
        .followed
        .tasks
        .iter()
        .map(|task| task.claimed.as_deref())
        .collect();
    let [None, None, Some(next), None] = claimed[..] else {
        panic!("the third alone: {claimed:?}");
    };
    assert_eq!(next.id, changed.followed.tasks[2].task);
    assert_eq!((next.attempt, next.run, next.input.as_str()), (1, 1, "42"));
    assert_eq!(
        (next.timeout, &next.origin, next.followed_by),
        (Some(7 * SECOND), &origin, FollowedBy::FollowUps)
    );
    let stored = lab.task(next.id).await;
    assert_eq!(
        stored.life.state,
        TaskState::InProgress {
            worker,
            started_at: lab.now,
            cancel_requested: None
        }
    );
    assert_eq!(
        (stored.life.attempt, stored.life.version, stored.worker),
        (1, 2, Some(worker))
    );
    assert_eq!(stored.life.expires_at, next.expires_at);
    let ready = lab.claimed_ids(&lab.request(worker)).await;
    assert_eq!(ready, [changed.followed.tasks[3].task], "and it waits for nobody");
    lab.assert_sound().await;

    let last = reported(&lab, next, worker).await;
    assert!(
        last.followed.tasks[0].claimed.is_none(),
        "less urgent than what it follows"
    );
    assert_eq!(lab.attempts(next.id).await.len(), 1);
    lab.assert_sound().await;
}

#[tokio::test]
async fn nothing_is_gone_on_with_where_a_claim_would_get_nothing() {
    const LIST: &str = r#"[{"name": "echo", "priority": 3}]"#;
    let postgres = fresh().await;
    let mut lab = Lab::new(postgres.store());
    let (worker, first) = running(&lab, followed_by(LIST)).await;
    set_paused(&lab, true).await;
    let changed = reported(&lab, &first, worker).await;
    assert_eq!(changed.life.status(), TaskStatus::Completed);
    assert_waiting(&lab, &changed).await;
    set_paused(&lab, false).await;
    assert_eq!(lab.claim_one(worker).await.id, changed.followed.tasks[0].task);

    let (worker, first) = running(&lab, followed_by(LIST)).await;
    lab.now = lab.now + LEASE + SECOND;
    let changed = reported(&lab, &first, worker).await;
    assert_eq!(
        changed.life.status(),
        TaskStatus::Completed,
        "nobody has taken it away yet"
    );
    assert_waiting(&lab, &changed).await;
}

#[tokio::test]
async fn a_report_that_is_repeated_brings_nothing_a_second_time() {
    let postgres = fresh().await;
    let lab = Lab::new(postgres.store());
    let (worker, first) = running(&lab, followed_by(r#"[{"name": "echo", "priority": 3}]"#)).await;
    let changed = reported(&lab, &first, worker).await;
    let next = changed.followed.tasks[0].claimed.as_ref().expect("it goes on");
    let again = Change {
        takes: Some(takes(worker, &first)),
        ..report(&first, Ending::Success)
    };
    let again = lab.apply(again).await;
    assert_eq!(again, orchestratum_store::ChangeOutcome::AlreadyReported { saga: None });
    // Were the first answer lost, the renewal of the lease would list it.
    let holding = lab
        .store
        .task(next.id)
        .await
        .expect("the store works")
        .expect("it is there");
    assert_eq!(holding.worker, Some(worker));
    lab.assert_sound().await;
}

/// A link of a chain that began with the end of the first. What follows it shows all that is known of it.
async fn link(lab: &Lab) -> (WorkerId, ClaimedTask) {
    const LIST: &str = r#"[{
        "name": "echo", "priority": 7, "ttl_seconds": 90, "description": "the second", "labels": {"of": "chain"}, "input": "${ output }",
        "on_success": [{"name": "resize", "priority": 8, "input": {"task": "${ task }", "input": "${ input }", "output": "${ output }"}}]
    }]"#;
    let (worker, first) = running(lab, followed_by(LIST)).await;
    let changed = reported(lab, &first, worker).await;
    let link = changed.followed.tasks[0].claimed.clone().expect("it goes on");
    assert!(link.known.is_some(), "it is followed by something");
    (worker, *link)
}

#[tokio::test]
async fn what_follows_a_link_is_the_same_whether_it_is_known_or_read() {
    let postgres = fresh().await;
    let lab = Lab::new(postgres.store());
    let mut followed = Vec::new();
    for is_known in [true, false] {
        let (worker, mut link) = link(&lab).await;
        link.known = link.known.filter(|_| is_known);
        let changed = reported(&lab, &link, worker).await;
        let Task {
            spec, life, worker: by, ..
        } = lab.task(changed.followed.tasks[0].task).await;
        assert_eq!(by, Some(worker), "it runs there at once");
        let first = lab.task(link.id).await.spec.parent_id.expect("it follows the first");
        let shown = spec.input.as_str();
        let shown = shown
            .replace(&link.id.to_string(), "link")
            .replace(&first.to_string(), "first");
        assert!(shown.contains(r#""description":"the second""#) && shown.contains(r#""status":"Completed""#));
        let rest = (
            spec.labels,
            spec.description,
            spec.priority,
            spec.ttl,
            spec.target,
            spec.policy,
        );
        followed.push((shown, rest, life.run, life.attempt, life.version, life.expires_at));
        lab.assert_sound().await;
    }
    assert_eq!(followed[0], followed[1]);
}

#[tokio::test]
async fn a_link_that_was_changed_while_it_ran_is_followed_as_it_is_now() {
    let postgres = fresh().await;
    let lab = Lab::new(postgres.store());
    let (worker, link) = link(&lab).await;
    let patch = TaskPatch {
        description: Some(Some("edited".to_owned())),
        ..TaskPatch::default()
    };
    let patch = patch.check(&link.name, &SpecLimits::default(), lab.now);
    let patch = patch.expect("it meets the rules");
    let edit = Change {
        patch: Some(patch.clone()),
        ..Change::new(link.id, TaskEvent::Patched(patch.life))
    };
    done(lab.apply(edit).await);
    let changed = reported(&lab, &link, worker).await;
    let next = lab.task(changed.followed.tasks[0].task).await;
    let shown = next.spec.input.as_str();
    assert!(shown.contains(r#""description":"edited""#), "{shown}");
    lab.assert_sound().await;
}
