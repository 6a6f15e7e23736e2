//! A group as large as it may be.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::{Ending, GroupDraft, GroupPolicy, GroupStatus, MEMBERS_MAX, Members, TaskEvent};
use orchestratum_core::{GroupId, JsonText};
use orchestratum_store::{AfterGroup, Change, ClaimRequest, Evidence, Store};
use tokio::time::Instant;

use super::grouping::{create_new, new_group, read, settle};
use super::lab::{Lab, draft, report};

/// How long joining may take after the last end: far less than what is promised, since here nobody has to notice it first.
const SOON: Duration = Duration::from_secs(2);

/// What a pass of the loop takes.
const PASS: usize = 500;

async fn large(lab: &Lab, policy: GroupPolicy) -> GroupId {
    let group = GroupDraft {
        name: None,
        policy,
        members: Members::Inputs {
            template: Box::new(draft("echo")),
            inputs: (0..MEMBERS_MAX)
                .map(|index| JsonText::trusted(index.to_string()))
                .collect(),
        },
        on_complete: Some(JsonText::trusted(r#"{"name": "echo", "input": "${ outputs }"}"#)),
        on_failure: None,
    };
    let group = new_group(lab, group);
    create_new(lab, &group).await;
    group.spec.id
}

pub(crate) async fn a_group_of_ten_thousand_is_joined_at_once_with_all_outputs(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = large(&lab, GroupPolicy::Fail).await;
    let worker = lab.echo_worker().await;
    let request = ClaimRequest {
        limit: PASS,
        ..lab.request(worker)
    };
    loop {
        let claimed = lab.claim_as(&request).await;
        if claimed.is_empty() {
            break;
        }
        let reports = claimed.iter().map(|task| Change {
            evidence: Evidence {
                output: Some(task.input.clone()),
                ..Evidence::default()
            },
            ..report(task, Ending::Success)
        });
        lab.apply_all(reports.collect()).await;
    }
    let ended = Instant::now();
    assert_eq!(settle(&lab, id).await.after, GroupStatus::Completed);
    let took = ended.elapsed();
    assert!(took < SOON, "joining took {took:?}");
    let Some(AfterGroup::Task(task)) = read(&lab, id).await.after else {
        panic!("nothing came after the group");
    };
    let expected: Vec<usize> = (0..MEMBERS_MAX).collect();
    let input = lab.task(task).await.spec.input;
    assert_eq!(input.parse::<Vec<usize>>().expect("numbers"), expected);
}

pub(crate) async fn a_group_of_ten_thousand_is_stopped_in_short_passes(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = large(&lab, GroupPolicy::Continue).await;
    let audit = super::lab::audit("cancel_group");
    lab.store.cancel_group(id, None, &audit, lab.now).await.expect("works");
    let (mut passes, mut after) = (0, None);
    loop {
        let looked = lab.store.members_to_cancel(after, PASS).await.expect("works");
        let cancel = |task| Change::new(task, TaskEvent::CancelRequested { reason: None });
        let members = looked.members.into_iter();
        lab.apply_all(members.map(|(task, _)| cancel(task)).collect()).await;
        after = looked.next;
        if after.is_none() {
            break;
        }
        passes += 1;
        // Those who were looked at are not looked at again, although their group still stops.
        assert_eq!(after.map(|place| usize::from(place.index) + 1), Some(passes * PASS));
    }
    assert_eq!(passes, MEMBERS_MAX / PASS);
    assert_eq!(settle(&lab, id).await.after, GroupStatus::Cancelled);
}
