//! What is kept of groups: once for a request, page by page, for as long as it is needed; and groups of tasks with conditions.

use std::sync::Arc;

use orchestratum_core::task::{Ending, GroupPolicy, GroupStatus, TaskEvent, TaskStatus};
use orchestratum_core::{GroupId, TaskId};
use orchestratum_store::{AfterGroup, CreateGroupOutcome, IdempotencyKey, MemberSearch, NewGroup, Store};

use super::grouping::{CREATED, create, create_new, entry, new_group, of, read, settle};
use super::lab::{Lab, SECOND, audit, draft};
use super::limiting::{ids, is_blocked, keyed};

pub(crate) async fn a_repeated_group_is_the_same_group(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let key = |byte: u8| {
        Some(IdempotencyKey {
            scope: "default".to_owned(),
            key: "k".to_owned(),
            body_hash: [byte; 32],
        })
    };
    let group = |hash: Option<u8>, idempotency| NewGroup {
        request_hash: hash.map(|byte| [byte; 32]),
        idempotency,
        ..new_group(&lab, of(GroupPolicy::Fail, vec![draft("echo"); 2], None))
    };
    let keyed = group(None, key(1));
    assert_eq!(create_new(&lab, &keyed).await, CREATED);
    assert_eq!(create_new(&lab, &keyed).await, CREATED, "our own answer was lost");
    let id = keyed.spec.id;
    assert_eq!(
        create_new(&lab, &group(None, key(1))).await,
        CreateGroupOutcome::Replayed { id }
    );
    assert_eq!(
        create_new(&lab, &group(None, key(2))).await,
        CreateGroupOutcome::KeyReused
    );
    let plain = group(None, None);
    assert_eq!(create_new(&lab, &plain).await, CREATED);
    assert_eq!(create_new(&lab, &plain).await, CREATED);
    let chosen = group(Some(1), None);
    assert_eq!(create_new(&lab, &chosen).await, CREATED);
    assert_eq!(create_new(&lab, &chosen).await, CreateGroupOutcome::Exists);
    let other = NewGroup {
        request_hash: Some([2; 32]),
        ..chosen.clone()
    };
    assert_eq!(create_new(&lab, &other).await, CreateGroupOutcome::IdTaken);
    let counts = lab.store.counts(1_000).await.expect("works");
    assert_eq!(counts[&TaskStatus::Pending], 6, "three groups of two");
}

pub(crate) async fn concurrent_creates_with_one_key_make_one_group(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let group = || NewGroup {
        idempotency: Some(IdempotencyKey {
            scope: "default".to_owned(),
            key: "k".to_owned(),
            body_hash: [1; 32],
        }),
        ..new_group(&lab, of(GroupPolicy::Fail, vec![draft("echo"); 2], None))
    };
    let groups = [group(), group(), group()];
    let outcomes = futures::future::join_all(groups.iter().map(|group| create_new(&lab, group))).await;
    let created: Vec<_> = outcomes.iter().filter(|outcome| **outcome == CREATED).collect();
    assert_eq!(created.len(), 1, "{outcomes:?}");
    assert_eq!(lab.store.groups(None, None, 10).await.expect("works").items.len(), 1);
}

pub(crate) async fn groups_and_their_members_are_listed_in_pages(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let mut groups = Vec::new();
    for _ in 0..3 {
        groups.push(create(&lab, of(GroupPolicy::Fail, vec![draft("echo"); 5], None)).await);
    }
    groups.reverse();
    let ids: Vec<GroupId> = groups.iter().map(|group| group.spec.id).collect();
    let (mut listed, mut before) = (Vec::new(), None);
    loop {
        let page = lab.store.groups(None, before, 2).await.expect("works");
        listed.extend(page.items.iter().map(|group| group.spec.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(listed, ids);
    lab.store
        .cancel_group(ids[1], None, &audit("cancel_group"), lab.now)
        .await
        .expect("works");
    let cancelling = lab
        .store
        .groups(Some(GroupStatus::Cancelling), None, 10)
        .await
        .expect("works");
    assert_eq!(cancelling.items, [read(&lab, ids[1]).await]);

    let members: Vec<TaskId> = groups[0].tasks.iter().map(|task| task.spec.id).collect();
    lab.put(members[1], TaskEvent::CancelRequested { reason: None }).await;
    let search = |status, after, limit| MemberSearch {
        group: ids[0],
        status,
        after,
        limit,
    };
    let (mut listed, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = lab.store.members(&search(None, after, 2)).await.expect("works");
        listed.extend(page.items.iter().map(|task| task.spec.id));
        (after, pages) = (page.next, pages + 1);
        if after.is_none() {
            break;
        }
    }
    assert_eq!((listed, pages), (members.clone(), 3));
    let pending = lab
        .store
        .members(&search(Some(TaskStatus::Pending), Some(0), 10))
        .await
        .expect("works");
    let pending: Vec<TaskId> = pending.items.iter().map(|task| task.spec.id).collect();
    assert_eq!(pending, members[2..]);
}

pub(crate) async fn purging_waits_for_the_group_of_a_member(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let drafts = vec![draft("echo"), draft("resize")];
    let group = create(&lab, of(GroupPolicy::Continue, drafts, None)).await;
    let id = group.spec.id;
    let worker = lab.echo_worker().await;
    let first = lab.claim_one(worker).await;
    lab.end(&first, Ending::Success).await;
    settle(&lab, id).await;
    lab.advance(SECOND * 3_600);
    assert_eq!(lab.store.purge_finished(lab.now, 100).await.expect("works"), 0);
    lab.put(group.tasks[1].spec.id, TaskEvent::CancelRequested { reason: None })
        .await;
    settle(&lab, id).await;
    // The first one, which is long over; the group and its last member are not.
    assert_eq!(lab.store.purge_finished(lab.now, 100).await.expect("works"), 1);
    lab.advance(SECOND);
    assert_eq!(lab.store.purge_finished(lab.now, 100).await.expect("works"), 2);
    assert_eq!(lab.store.group(id).await.expect("works"), None);
}

pub(crate) async fn members_wait_for_their_key_and_what_comes_after_may_meet_a_task_like_it(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let after = r#"{"name": "echo", "unique": {"by": ["name"], "states": ["Completed"]},
        "concurrency": {"key": "after", "limit": 1}}"#;
    let drafts = vec![keyed("k", 1), keyed("k", 1)];
    let group = new_group(&lab, of(GroupPolicy::Fail, drafts, Some(entry(after))));
    let [first, second] = [0, 1].map(|index| group.tasks[index].spec.id);
    let CreateGroupOutcome::Created { ready } = create_new(&lab, &group).await else {
        panic!("it is new");
    };
    assert_eq!(ids(&ready), [first], "its creator tells of it");
    assert!(!is_blocked(&lab, first).await);
    assert!(is_blocked(&lab, second).await);
    let worker = lab.echo_worker().await;
    for member in [first, second] {
        let claimed = lab.claim_one(worker).await;
        assert_eq!(claimed.id, member);
        lab.end(&claimed, Ending::Success).await;
    }
    let settled = settle(&lab, group.spec.id).await;
    assert_eq!(settled.after, GroupStatus::Completed);
    let made = settled.task.expect("nothing is like it yet").task;
    assert_eq!(ids(&settled.ready), [made], "whoever settles the group tells of it");
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    assert_eq!(claimed.id, made);
    lab.end(&claimed, Ending::Success).await;

    let again = create(&lab, of(GroupPolicy::Fail, vec![draft("echo")], Some(entry(after)))).await;
    let worker = lab.echo_worker().await;
    let claimed = lab.claim_one(worker).await;
    lab.end(&claimed, Ending::Success).await;
    assert_eq!(settle(&lab, again.spec.id).await.task, None);
    let reason = format!("task {made} is like it");
    let name = "echo".to_owned();
    assert_eq!(
        read(&lab, again.spec.id).await.after,
        Some(AfterGroup::Missing { name, reason })
    );
}
