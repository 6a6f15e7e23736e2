//! Groups: many tasks, and the one that comes after them.

use std::collections::BTreeMap;
use std::sync::Arc;

use orchestratum_core::task::{
    Ending, FollowUps, GroupDraft, GroupLife, GroupPolicy, GroupStatus, Members, SpecLimits, TaskDraft, TaskEvent,
    TaskStatus,
};
use orchestratum_core::{GroupId, JsonText, Origin, TaskId};
use orchestratum_store::{
    AfterGroup, Announce, CancelGroupOutcome, Change, ClaimedTask, CreateGroupOutcome, DeleteGroupOutcome,
    DeleteOutcome, Evidence, Group, NewGroup, NewTask, Settled, Store, Task,
};
use serde_json::{Value, json};

use super::lab::{Lab, SECOND, audit, done, draft, evidence, failure, report};

/// As good as drawn: ids of the lab differ in few bits, and this one in many.
const SEED: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;

/// What shows all that is to be seen.
const SHOWS_ALL: &str = r#"{"name": "echo", "input": {"outputs": "${ outputs }", "results": "${ results }",
    "group": "${ [group.completed, group.failed, group.expired, group.cancelled, group.deleted] }"}}"#;

/// What comes after a group, as JSON.
/// Of whose members none asked for anything.
pub(crate) const CREATED: CreateGroupOutcome = CreateGroupOutcome::Created { ready: Vec::new() };

pub(crate) fn entry(text: &str) -> JsonText {
    JsonText::new(text).expect("JSON")
}

pub(crate) fn of(policy: GroupPolicy, drafts: Vec<TaskDraft>, on_complete: Option<JsonText>) -> GroupDraft {
    GroupDraft {
        name: Some("nightly".to_owned()),
        policy,
        members: Members::Tasks(drafts),
        on_complete,
        on_failure: None,
    }
}

pub(crate) fn new_group(lab: &Lab, draft: GroupDraft) -> NewGroup {
    let id = GroupId(lab.id().0);
    let checked = draft.check(id, || lab.id(), &SpecLimits::default(), lab.now);
    let (spec, members) = checked.expect("a draft that meets the rules");
    let tasks = members.into_iter().map(|(spec, life)| NewTask {
        spec,
        life,
        announce: Announce::ByFeeder,
        request_hash: None,
        origin: Origin::default(),
    });
    NewGroup {
        spec,
        tasks: tasks.collect(),
        request_hash: None,
        idempotency: None,
        origin: Origin::default(),
    }
}

pub(crate) async fn create_new(lab: &Lab, group: &NewGroup) -> CreateGroupOutcome {
    lab.store.create_group(group, lab.now).await.expect("the store works")
}

pub(crate) async fn create(lab: &Lab, draft: GroupDraft) -> NewGroup {
    let group = new_group(lab, draft);
    assert_eq!(create_new(lab, &group).await, CREATED);
    group
}

pub(crate) async fn read(lab: &Lab, group: GroupId) -> Group {
    let found = lab.store.group(group).await.expect("the store works");
    found.expect("the group exists")
}

/// Counts what members told; nobody else does at the moment.
pub(crate) async fn settle(lab: &Lab, group: GroupId) -> Settled {
    let settled = lab
        .store
        .settle_group(group, SEED, lab.now)
        .await
        .expect("the store works");
    settled.expect("the group exists")
}

async fn follow_up(lab: &Lab, group: GroupId) -> Task {
    match read(lab, group).await.after {
        Some(AfterGroup::Task(task)) => lab.task(task).await,
        other => panic!("expected a task after the group, not {other:?}"),
    }
}

fn input(task: &Task) -> Value {
    serde_json::from_str(task.spec.input.as_str()).expect("JSON")
}

/// The members as a worker holds them, in their order.
async fn running(lab: &Lab, group: &NewGroup) -> Vec<ClaimedTask> {
    let worker = lab.echo_worker().await;
    let mut claimed = lab.claim(worker).await;
    claimed.sort_unstable_by_key(|task| task.id);
    let ids: Vec<TaskId> = claimed.iter().map(|task| task.id).collect();
    let members: Vec<TaskId> = group.tasks.iter().map(|task| task.spec.id).collect();
    assert_eq!(ids, members, "each member is there to be claimed");
    claimed
}

fn success(task: &ClaimedTask, output: &str) -> Change {
    Change {
        evidence: Evidence {
            output: Some(JsonText::new(output.to_owned()).expect("JSON")),
            ..Evidence::default()
        },
        ..report(task, Ending::Success)
    }
}

pub(super) fn killed() -> Ending {
    let message = "killed".to_owned();
    Ending::Cancelled { message }
}

fn life(status: GroupStatus, remaining: i32, failed: i32) -> GroupLife {
    GroupLife {
        status,
        remaining,
        failed,
    }
}

pub(crate) async fn a_group_is_stored_with_its_members_in_their_order(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let drafts = vec![draft("echo"), draft("resize"), draft("echo")];
    let group = create(&lab, of(GroupPolicy::Continue, drafts, Some(entry(SHOWS_ALL)))).await;
    let found = read(&lab, group.spec.id).await;
    assert_eq!(found.spec, group.spec);
    assert_eq!(found.life, life(GroupStatus::Running, 3, 0));
    assert_eq!((found.reason, found.finished_at, found.after), (None, None, None));
    for task in &group.tasks {
        let stored = lab.task(task.spec.id).await;
        assert_eq!((&stored.spec, &stored.life), (&task.spec, &task.life));
    }
    let counts = lab.store.member_counts(group.spec.id).await.expect("works");
    assert_eq!(counts, BTreeMap::from([(TaskStatus::Pending, 3)]));
    let status = lab.store.group_status(group.spec.id).await.expect("works");
    assert_eq!(status, Some(GroupStatus::Running));
    let unknown = GroupId(lab.id().0);
    assert_eq!(lab.store.group(unknown).await.expect("works"), None);
    assert_eq!(lab.store.group_status(unknown).await.expect("works"), None);
}

/// Ends the six members of a group in all the ways there are, and deletes the first.
async fn end_each_way(lab: &mut Lab, id: GroupId, members: &[ClaimedTask]) {
    // Two in a batch of nothing but successes, one of them with a follow-up; one the long way, with logs.
    lab.apply_all(vec![success(&members[0], "[1]"), success(&members[1], "2")])
        .await;
    let logged = Change {
        evidence: evidence(r#"{"n": 3}"#),
        ..report(&members[2], Ending::Success)
    };
    done(lab.apply(logged).await);
    let failed = lab.end(&members[3], failure()).await;
    assert_eq!(failed.group, Some(id), "whoever ended it knows what to settle");
    lab.advance(SECOND * 6);
    lab.put(members[4].id, TaskEvent::DeadlinePassed).await;
    assert_eq!(read(lab, id).await.life, life(GroupStatus::Running, 1, 2));
    assert_eq!(settle(lab, id).await.after, GroupStatus::Running);
    assert_eq!(
        read(lab, id).await.life,
        life(GroupStatus::Running, 1, 2),
        "counted or not"
    );
    let deleted = lab.store.delete(members[0].id, &audit("delete"), lab.now).await;
    assert_eq!(deleted.expect("works"), DeleteOutcome::Deleted);
    let cancelled = lab
        .put(members[5].id, TaskEvent::CancelRequested { reason: None })
        .await;
    assert!(!cancelled.life.status().is_terminal(), "its worker is still to kill it");
    lab.end(&members[5], killed()).await;
}

pub(crate) async fn what_comes_after_a_group_sees_each_way_a_member_can_end(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let followed = TaskDraft {
        follow_ups: FollowUps::from_stored(r#"{"on_success": [{"name": "mail"}]}"#).expect("lists"),
        ..draft("echo")
    };
    let short = TaskDraft {
        ttl_seconds: Some(5.0),
        ..draft("echo")
    };
    let drafts = vec![
        draft("echo"),
        followed,
        draft("echo"),
        draft("echo"),
        short,
        draft("echo"),
    ];
    let group = create(&lab, of(GroupPolicy::Continue, drafts, Some(entry(SHOWS_ALL)))).await;
    let id = group.spec.id;
    let members = running(&lab, &group).await;
    end_each_way(&mut lab, id, &members).await;
    assert_eq!(lab.store.unsettled_groups(10).await.expect("works"), [id]);
    let settled = settle(&lab, id).await;
    assert_eq!(
        (settled.before, settled.after),
        (GroupStatus::Running, GroupStatus::Completed)
    );
    let told = settled.task.expect("a task");
    let task = follow_up(&lab, id).await;
    assert_eq!(
        (told.task, &told.name, &told.target),
        (task.spec.id, &task.spec.name, &task.spec.target)
    );
    assert_eq!(told.due_at, lab.now);
    assert_eq!(
        (task.life.status(), task.spec.group, task.spec.parent_id),
        (TaskStatus::Pending, None, None)
    );
    assert!(lab.store.dispatch(task.spec.id).await.expect("works").is_some());
    let seen = input(&task);
    assert_eq!(seen["outputs"], json!([null, 2, {"n": 3}, null, null, null]));
    assert_eq!(seen["group"], json!([2, 1, 1, 1, 1]));
    let statuses: Vec<&Value> = (0..6).map(|index| &seen["results"][index]["status"]).collect();
    assert_eq!(
        json!(statuses),
        json!([null, "Completed", "Completed", "Failed", "Expired", "Cancelled"])
    );
    assert_eq!(seen["results"][3]["error"]["kind"], "Failed");
    assert_eq!(seen["results"][3]["id"], members[3].id.to_string());
    let found = read(&lab, id).await;
    assert_eq!(
        (found.life, found.finished_at),
        (life(GroupStatus::Completed, 0, 3), Some(lab.now))
    );
    assert_eq!(lab.store.unsettled_groups(10).await.expect("works"), []);
}

pub(crate) async fn a_group_is_joined_once_however_many_settle_it(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let group = create(
        &lab,
        of(GroupPolicy::Fail, vec![draft("echo"); 20], Some(entry(SHOWS_ALL))),
    )
    .await;
    let members = running(&lab, &group).await;
    let reports: Vec<Change> = members.iter().map(|member| success(member, "1")).collect();
    let settling = || async {
        let mut made = 0;
        while !read(&lab, group.spec.id).await.life.status.is_over() {
            let settled = lab
                .store
                .settle_group(group.spec.id, SEED, lab.now)
                .await
                .expect("works");
            made += settled.map_or(0, |settled| usize::from(settled.task.is_some()));
        }
        made
    };
    let finishing = async {
        for report in &reports {
            done(lab.apply(report.clone()).await);
        }
    };
    let (first, second, ()) = futures::join!(settling(), settling(), finishing);
    assert_eq!(first + second, 1);
    // The very same reports again change nothing.
    lab.apply_all(reports).await;
    assert_eq!(read(&lab, group.spec.id).await.life, life(GroupStatus::Completed, 0, 0));
    assert_eq!(
        input(&follow_up(&lab, group.spec.id).await)["outputs"],
        json!(vec![1; 20])
    );
    let counts = lab.store.counts(1_000).await.expect("works");
    assert_eq!(counts[&TaskStatus::Pending], 1, "and no other task is there");
}

pub(crate) async fn a_member_without_success_stops_the_others_where_the_policy_says_so(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let mut drafts = vec![draft("echo"); 3];
    drafts.push(TaskDraft {
        delay_seconds: Some(60.0),
        ..draft("echo")
    });
    let fails = GroupDraft {
        on_failure: Some(entry(
            r#"{"name": "echo", "input": "${ [group.status, group.failed, group.cancelled] }"}"#,
        )),
        ..of(GroupPolicy::Fail, drafts, Some(entry(SHOWS_ALL)))
    };
    let group = create(&lab, fails).await;
    let id = group.spec.id;
    let worker = lab.echo_worker().await;
    let members = lab.claim(worker).await;
    assert_eq!(lab.store.members_to_cancel(None, 10).await.expect("works").members, []);
    lab.end(&members[0], failure()).await;
    assert_eq!(settle(&lab, id).await.after, GroupStatus::Failing);
    let mut left = lab.store.members_to_cancel(None, 10).await.expect("works").members;
    left.sort_unstable_by_key(|(task, _)| *task);
    let mut expected: Vec<_> = group
        .tasks
        .iter()
        .map(|task| (task.spec.id, GroupStatus::Failing))
        .collect();
    expected.retain(|(task, _)| *task != members[0].id);
    assert_eq!(left, expected);
    for (task, _) in left {
        lab.put(task, TaskEvent::CancelRequested { reason: None }).await;
    }
    assert_eq!(
        lab.store.members_to_cancel(None, 10).await.expect("works").members,
        [],
        "the others are up to their worker"
    );
    assert_eq!(settle(&lab, id).await.after, GroupStatus::Failing);
    lab.end(&members[1], killed()).await;
    // A success before the kill counts.
    lab.end(&members[2], Ending::Success).await;
    assert_eq!(settle(&lab, id).await.after, GroupStatus::Failed);
    assert_eq!(input(&follow_up(&lab, id).await), json!(["Failed", 1, 2]));
}

pub(crate) async fn a_member_that_runs_again_before_the_end_is_waited_for(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let group = create(
        &lab,
        of(GroupPolicy::Continue, vec![draft("echo"); 2], Some(entry(SHOWS_ALL))),
    )
    .await;
    let id = group.spec.id;
    let members = running(&lab, &group).await;
    lab.end(&members[0], failure()).await;
    settle(&lab, id).await;
    assert_eq!(read(&lab, id).await.life, life(GroupStatus::Running, 1, 1));
    let again = TaskEvent::RetryRequested { ttl: SECOND * 60 };
    lab.put(members[0].id, again.clone()).await;
    lab.end(&members[1], Ending::Success).await;
    assert_eq!(settle(&lab, id).await.after, GroupStatus::Running);
    assert_eq!(read(&lab, id).await.life, life(GroupStatus::Running, 1, 0));
    let worker = lab.echo_worker().await;
    let second_run = lab.claim_one(worker).await;
    done(lab.apply(success(&second_run, r#""at last""#)).await);
    assert_eq!(settle(&lab, id).await.after, GroupStatus::Completed);
    assert_eq!(input(&follow_up(&lab, id).await)["outputs"], json!(["at last", null]));
}

pub(crate) async fn a_member_that_runs_again_after_the_end_changes_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let group = create(
        &lab,
        of(GroupPolicy::Continue, vec![draft("echo")], Some(entry(SHOWS_ALL))),
    )
    .await;
    let id = group.spec.id;
    let members = running(&lab, &group).await;
    lab.end(&members[0], failure()).await;
    settle(&lab, id).await;
    let joined = follow_up(&lab, id).await;
    lab.put(members[0].id, TaskEvent::RetryRequested { ttl: SECOND * 60 })
        .await;
    let settled = settle(&lab, id).await;
    assert_eq!(
        (settled.before, settled.after, settled.task),
        (GroupStatus::Completed, GroupStatus::Completed, None)
    );
    assert_eq!(read(&lab, id).await.life, life(GroupStatus::Completed, 1, 0));
    let worker = lab.echo_worker().await;
    let claimed = lab.claim(worker).await;
    let second_run = claimed
        .iter()
        .find(|task| task.id == members[0].id)
        .expect("it runs again");
    lab.end(second_run, Ending::Success).await;
    assert_eq!(settle(&lab, id).await.task, None);
    assert_eq!(read(&lab, id).await.life, life(GroupStatus::Completed, 0, 0));
    assert_eq!(follow_up(&lab, id).await.spec, joined.spec);
}

pub(crate) async fn what_cannot_be_made_after_a_group_is_recorded(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let after = Some(entry(r#"{"name": "echo", "input": "${ outputs[0].total }"}"#));
    let group = create(&lab, of(GroupPolicy::Fail, vec![draft("echo")], after)).await;
    let members = running(&lab, &group).await;
    done(lab.apply(success(&members[0], r#"{"n": 1}"#)).await);
    let settled = settle(&lab, group.spec.id).await;
    assert_eq!((settled.after, settled.task), (GroupStatus::Completed, None));
    let reason = settled.missing.expect("a reason");
    assert_eq!(reason, r#"/input there is no field "total""#);
    let name = "echo".to_owned();
    assert_eq!(
        read(&lab, group.spec.id).await.after,
        Some(AfterGroup::Missing { name, reason })
    );
}

pub(crate) async fn outputs_that_are_too_much_are_left_out(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let after = Some(entry(
        r#"{"name": "echo", "input": ["${ group.outputs_left_out }", "${ results }"]}"#,
    ));
    let group = create(&lab, of(GroupPolicy::Fail, vec![draft("echo"); 2], after)).await;
    let members = running(&lab, &group).await;
    let large = format!("\"{}\"", "x".repeat(600_000));
    lab.apply_all(vec![success(&members[0], &large), success(&members[1], &large)])
        .await;
    settle(&lab, group.spec.id).await;
    let results: Vec<Value> = (0..2)
        .map(|index| json!({"id": members[index].id, "index": index, "status": "Completed"}))
        .collect();
    assert_eq!(input(&follow_up(&lab, group.spec.id).await), json!([true, results]));
}

pub(crate) async fn a_cancelled_group_ends_with_its_members_and_nothing_follows(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let group = create(
        &lab,
        of(GroupPolicy::Continue, vec![draft("echo"); 2], Some(entry(SHOWS_ALL))),
    )
    .await;
    let id = group.spec.id;
    let cancel = |reason: &'static str| {
        let store = Arc::clone(&lab.store);
        async move {
            let cancelled = store
                .cancel_group(id, Some(reason), &audit("cancel_group"), lab.now)
                .await;
            cancelled.expect("works")
        }
    };
    let pulse = || async { lab.store.pulse(lab.now, SECOND).await.expect("works").groups };
    assert!(!pulse().await);
    assert_eq!(cancel("not now").await, CancelGroupOutcome::Cancelling);
    assert!(pulse().await, "there is something to do");
    assert_eq!(cancel("really").await, CancelGroupOutcome::Before);
    let delete = || async {
        let deleted = lab.store.delete_group(id, &audit("delete_group"), lab.now).await;
        deleted.expect("works")
    };
    let status = GroupStatus::Cancelling;
    assert_eq!(delete().await, DeleteGroupOutcome::NotOver { status });
    for (task, status) in lab.store.members_to_cancel(None, 10).await.expect("works").members {
        assert_eq!(status, GroupStatus::Cancelling);
        lab.put(task, TaskEvent::CancelRequested { reason: None }).await;
    }
    let settled = settle(&lab, id).await;
    assert_eq!((settled.after, settled.task), (GroupStatus::Cancelled, None));
    assert!(!pulse().await);
    let found = read(&lab, id).await;
    assert_eq!(
        (found.reason.as_deref(), found.finished_at),
        (Some("not now"), Some(lab.now))
    );
    assert_eq!(cancel("again").await, CancelGroupOutcome::Before);
    assert_eq!(delete().await, DeleteGroupOutcome::Deleted);
    assert_eq!(delete().await, DeleteGroupOutcome::NotFound);
    assert_eq!(cancel("gone").await, CancelGroupOutcome::NotFound);
    // Its members are tasks of their own, and tell of nothing any more.
    lab.put(group.tasks[0].spec.id, TaskEvent::RetryRequested { ttl: SECOND })
        .await;
    assert_eq!(lab.store.unsettled_groups(10).await.expect("works"), []);
    assert_eq!(lab.store.settle_group(id, SEED, lab.now).await.expect("works"), None);
}

pub(crate) async fn the_id_of_a_deleted_group_can_be_used_again(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let group = create(&lab, of(GroupPolicy::Continue, vec![draft("echo"); 2], None)).await;
    let id = group.spec.id;
    let members = running(&lab, &group).await;
    let for_good = Ending::Failed {
        message: "broken".to_owned(),
        retryable: false,
        code: None,
    };
    lab.apply_all(vec![report(&members[0], for_good), success(&members[1], "1")])
        .await;
    settle(&lab, id).await;
    let deleted = lab.store.delete_group(id, &audit("delete_group"), lab.now).await;
    assert_eq!(deleted.expect("works"), DeleteGroupOutcome::Deleted);
    let before = lab.task(members[0].id).await;
    assert_eq!((before.life.status(), before.spec.group), (TaskStatus::Failed, None));

    let mut again = new_group(&lab, of(GroupPolicy::Continue, vec![draft("echo"); 2], None));
    again.spec.id = id;
    for task in &mut again.tasks {
        task.spec.group.as_mut().expect("a member").group = id;
    }
    assert_eq!(create_new(&lab, &again).await, CREATED);
    // The members of the first one count for nothing here.
    lab.put(members[0].id, TaskEvent::RetryRequested { ttl: SECOND }).await;
    assert_eq!(lab.store.unsettled_groups(10).await.expect("works"), []);
    assert_eq!(read(&lab, id).await.life.remaining, 2);
}
