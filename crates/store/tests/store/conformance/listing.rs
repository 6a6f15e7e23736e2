//! Reading many tasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use orchestratum_core::task::{Ending, TaskDraft, TaskEvent, TaskStatus};
use orchestratum_core::{JsonText, TaskId};

use super::lab::{Lab, SECOND, done, draft, failure, name, report, target};
use orchestratum_store::{BATCH_BYTES, NewTask, PAGE_BYTES, Store, TaskFilter, UNINDEXED_SCAN};

async fn listed(lab: &Lab, filter: &TaskFilter) -> Vec<TaskId> {
    let page = lab.store.list(filter, None, 200).await.expect("works");
    assert_eq!((page.next, page.truncated), (None, false), "everything fits one page");
    page.items.into_iter().map(|task| task.spec.id).collect()
}

pub(crate) async fn tasks_are_read_in_the_order_asked_for(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (first, second) = (lab.create(draft("echo")).await, lab.create(draft("echo")).await);
    for ids in [[first, second], [second, first]] {
        let asked = [ids[0], lab.id(), ids[1]];
        let tasks = lab.store.tasks(&asked).await.expect("works");
        assert!(tasks.iter().map(|task| task.spec.id).eq(ids));
    }
    assert_eq!(lab.store.tasks(&[]).await.expect("works"), []);
}

pub(crate) async fn tasks_that_are_too_much_for_one_answer_are_left_out(store: Arc<dyn Store>) {
    const FITTING: usize = 4;
    let lab = Lab::new(store);
    let text = |bytes: usize| JsonText::trusted(format!("\"{}\"", "x".repeat(bytes - 2)));
    let mut ids = Vec::new();
    for _ in 0..FITTING {
        let mut task = lab.task_of(draft("resize"));
        task.spec.input = text(BATCH_BYTES / FITTING);
        ids.push(lab.create_new(task).await);
    }
    let read = async |ids: &[TaskId]| {
        let tasks = lab.store.tasks(ids).await.expect("works");
        tasks.iter().map(|task| task.spec.id).collect::<Vec<_>>()
    };
    assert_eq!(read(&ids).await, ids, "as much as fits");
    // What came out counts as well as what went in.
    let claimed = lab.running(draft("echo")).await;
    let mut change = report(&claimed, Ending::Success);
    change.evidence.output = Some(text(BATCH_BYTES));
    done(lab.apply(change).await);
    let rest = [&ids[..], &[claimed.id]].concat();
    assert_eq!(read(&rest).await, ids);
    let reversed: Vec<TaskId> = rest.into_iter().rev().collect();
    assert_eq!(read(&reversed).await, [claimed.id], "the first is always there");
}

pub(crate) async fn statuses_leave_out_what_does_not_exist(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let finished = lab.finished(draft("echo")).await;
    let pending = lab.create(draft("echo")).await;
    let mut statuses = lab.store.statuses(&[pending, lab.id(), finished]).await.expect("works");
    statuses.sort_unstable();
    let mut expected = [(pending, TaskStatus::Pending), (finished, TaskStatus::Completed)];
    expected.sort_unstable();
    assert_eq!(statuses, expected);
}

pub(crate) async fn a_list_is_newest_first(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(lab.create(draft("echo")).await);
        lab.advance(SECOND);
    }
    ids.reverse();
    assert_eq!(listed(&lab, &TaskFilter::default()).await, ids);
}

pub(crate) async fn pages_follow_each_other_without_gap_or_overlap(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let tasks: Vec<NewTask> = (0..10)
        .map(|index| lab.task_of(draft(if index % 3 == 0 { "resize" } else { "echo" })))
        .collect();
    lab.try_create(tasks, None).await;
    for filter in [
        TaskFilter::default(),
        TaskFilter {
            name: Some(name("echo")),
            ..TaskFilter::default()
        },
        TaskFilter {
            status: Some(TaskStatus::Pending),
            ..TaskFilter::default()
        },
    ] {
        let whole = listed(&lab, &filter).await;
        for limit in [1, 2, 3, whole.len(), whole.len() + 1] {
            let (mut pages, mut before) = (Vec::new(), None);
            loop {
                let page = lab.store.list(&filter, before, limit).await.expect("works");
                assert!(page.items.len() <= limit);
                pages.extend(page.items.iter().map(|task| task.spec.id));
                before = page.next;
                if before.is_none() {
                    break;
                }
                // A task that comes meanwhile is newer than every page that follows.
                assert_eq!(page.items.len(), limit, "only the last page may be short");
            }
            assert_eq!(pages, whole, "in pages of {limit}");
        }
    }
}

pub(crate) async fn a_list_by_status_shows_each_status(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let mut expected = BTreeMap::new();
    expected.insert(TaskStatus::Completed, lab.finished(draft("echo")).await);
    let failed = lab.running(draft("echo")).await;
    lab.end(&failed, failure()).await;
    expected.insert(TaskStatus::Failed, failed.id);
    let cancelled = lab.running(draft("echo")).await;
    let message = "stop".to_owned();
    lab.end(&cancelled, Ending::Cancelled { message }).await;
    expected.insert(TaskStatus::Cancelled, cancelled.id);
    let expired = lab
        .create(TaskDraft {
            ttl_seconds: Some(1.0),
            ..draft("resize")
        })
        .await;
    lab.advance(SECOND);
    lab.put(expired, TaskEvent::DeadlinePassed).await;
    expected.insert(TaskStatus::Expired, expired);
    expected.insert(TaskStatus::InProgress, lab.running(draft("echo")).await.id);
    expected.insert(TaskStatus::Pending, lab.create(draft("echo")).await);
    assert_eq!(expected.len(), TaskStatus::ALL.len());
    for (status, id) in expected {
        let filter = TaskFilter {
            status: Some(status),
            ..TaskFilter::default()
        };
        assert_eq!(listed(&lab, &filter).await, [id], "{status}");
    }
}

pub(crate) async fn a_list_by_name_and_by_target_shows_only_those(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let resize = lab.create(draft("resize")).await;
    let gpu = lab
        .create(TaskDraft {
            target: Some("gpu".to_owned()),
            ..draft("echo")
        })
        .await;
    let by_name = TaskFilter {
        name: Some(name("resize")),
        ..TaskFilter::default()
    };
    assert_eq!(listed(&lab, &by_name).await, [resize]);
    let by_target = TaskFilter {
        target: Some(target("gpu")),
        ..TaskFilter::default()
    };
    assert_eq!(listed(&lab, &by_target).await, [gpu]);
}

pub(crate) async fn a_list_by_parent_shows_its_children(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let parent = lab.create(draft("echo")).await;
    let mut children = Vec::new();
    for _ in 0..2 {
        let child = TaskDraft {
            parent_id: Some(parent),
            ..draft("echo")
        };
        children.insert(0, lab.create(child).await);
    }
    let filter = TaskFilter {
        parent_id: Some(parent),
        ..TaskFilter::default()
    };
    assert_eq!(listed(&lab, &filter).await, children);
    let none = TaskFilter {
        parent_id: Some(children[0]),
        ..TaskFilter::default()
    };
    assert_eq!(listed(&lab, &none).await, []);
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

pub(crate) async fn a_list_by_labels_asks_for_all_of_them(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    lab.create(draft("echo")).await;
    let mut create = Vec::new();
    for pairs in [
        &[("team", "billing"), ("stage", "1")][..],
        &[("team", "billing")],
        &[("team", "sales"), ("stage", "1")],
        &[("a.b \"c\"", "it's")],
    ] {
        let labelled = TaskDraft {
            labels: labels(pairs),
            ..draft("echo")
        };
        create.push(lab.create(labelled).await);
    }
    for (wanted, expected) in [
        (&[("team", "billing")][..], vec![create[1], create[0]]),
        (&[("stage", "1"), ("team", "billing")], vec![create[0]]),
        (&[("stage", "1")], vec![create[2], create[0]]),
        (&[("a.b \"c\"", "it's")], vec![create[3]]),
        (&[("team", "bill")], vec![]),
    ] {
        let filter = TaskFilter {
            labels: labels(wanted),
            ..TaskFilter::default()
        };
        assert_eq!(listed(&lab, &filter).await, expected, "{wanted:?}");
    }
}

pub(crate) async fn a_list_by_time_of_creation_includes_its_start_and_not_its_end(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let (mut ids, mut times) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        ids.push(lab.create(draft("echo")).await);
        times.push(lab.now);
        lab.advance(SECOND);
    }
    let filter = TaskFilter {
        created_after: Some(times[0]),
        created_before: Some(times[2]),
        ..TaskFilter::default()
    };
    assert_eq!(listed(&lab, &filter).await, [ids[1], ids[0]]);
}

pub(crate) async fn all_conditions_of_a_list_hold_together(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let parent = lab.create(draft("echo")).await;
    let whole = TaskDraft {
        target: Some("gpu".to_owned()),
        labels: labels(&[("a", "b")]),
        parent_id: Some(parent),
        ..draft("resize")
    };
    let id = lab.create(whole.clone()).await;
    for other in [
        TaskDraft {
            name: "echo".to_owned(),
            ..whole.clone()
        },
        TaskDraft {
            target: None,
            ..whole.clone()
        },
        TaskDraft {
            labels: labels(&[("a", "c")]),
            ..whole.clone()
        },
        TaskDraft {
            parent_id: None,
            ..whole
        },
    ] {
        lab.create(other).await;
    }
    let filter = TaskFilter {
        status: Some(TaskStatus::Pending),
        name: Some(name("resize")),
        target: Some(target("gpu")),
        parent_id: Some(parent),
        schedule_id: None,
        saga_id: None,
        labels: labels(&[("a", "b")]),
        created_after: Some(lab.now),
        created_before: Some(lab.now + SECOND),
    };
    assert_eq!(listed(&lab, &filter).await, [id]);
    let without_parent = TaskFilter {
        parent_id: None,
        status: None,
        ..filter
    };
    assert_eq!(listed(&lab, &without_parent).await.len(), 2);
}

pub(crate) async fn counts_are_by_status(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let none: BTreeMap<TaskStatus, u64> = TaskStatus::ALL.iter().map(|status| (*status, 0)).collect();
    assert_eq!(lab.store.counts(1_000).await.expect("works"), none);
    lab.finished(draft("echo")).await;
    lab.create(draft("resize")).await;
    lab.create(draft("resize")).await;
    let mut expected = none;
    expected.extend([(TaskStatus::Pending, 2), (TaskStatus::Completed, 1)]);
    assert_eq!(lab.store.counts(1_000).await.expect("works"), expected);
}

pub(crate) async fn counting_stops_where_it_is_told(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    lab.finished(draft("echo")).await;
    lab.finished(draft("echo")).await;
    lab.create(draft("resize")).await;
    lab.create(draft("resize")).await;
    let of = |pending, completed| {
        let mut counts: BTreeMap<TaskStatus, u64> = TaskStatus::ALL.iter().map(|status| (*status, 0)).collect();
        counts.extend([(TaskStatus::Pending, pending), (TaskStatus::Completed, completed)]);
        counts
    };
    for (most, expected) in [(5, of(2, 2)), (4, of(2, 2)), (3, of(2, 1)), (1, of(1, 0))] {
        assert_eq!(lab.store.counts(most).await.expect("works"), expected, "at most {most}");
    }
}

pub(crate) async fn a_page_ends_before_its_texts_are_too_large(store: Arc<dyn Store>) {
    const FITTING: usize = 8;
    let lab = Lab::new(store);
    let large = || TaskDraft {
        input: Some(JsonText::trusted(format!(
            "\"{}\"",
            "x".repeat(PAGE_BYTES / FITTING - 2)
        ))),
        ..draft("resize")
    };
    let mut whole = Vec::new();
    for _ in 0..2 * FITTING {
        whole.push(lab.create(large()).await);
    }
    // What came out counts as well as what went in: the two of this task are a little more than an eighth of a page.
    let claimed = lab.running(draft("echo")).await;
    let mut change = report(&claimed, Ending::Success);
    change.evidence.output = large().input;
    done(lab.apply(change).await);
    whole.push(claimed.id);
    whole.reverse();

    let pending = TaskFilter {
        status: Some(TaskStatus::Pending),
        ..TaskFilter::default()
    };
    for (filter, expected) in [
        (TaskFilter::default(), vec![FITTING - 1, FITTING, 2]),
        (pending, vec![FITTING, FITTING]),
    ] {
        let skipped = whole.len() - expected.iter().sum::<usize>();
        let (mut pages, mut sizes, mut before) = (Vec::new(), Vec::new(), None);
        loop {
            let page = lab.store.list(&filter, before, 200).await.expect("works");
            assert!(!page.truncated);
            sizes.push(page.items.len());
            pages.extend(page.items.iter().map(|task| task.spec.id));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(sizes, expected);
        assert_eq!(pages, whole[skipped..], "without gap or overlap");
    }
    let page = lab.store.list(&TaskFilter::default(), None, 2).await.expect("works");
    assert_eq!(
        (page.items.len(), page.next),
        (2, Some(whole[1])),
        "the limit holds still"
    );
}

pub(crate) async fn a_task_too_large_for_a_page_is_one_by_itself(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut task = lab.task_of(draft("echo"));
        task.spec.input = JsonText::trusted(format!("\"{}\"", "x".repeat(PAGE_BYTES)));
        ids.push(lab.create_new(task).await);
    }
    let first = lab.store.list(&TaskFilter::default(), None, 200).await.expect("works");
    assert_eq!((first.items.len(), first.next), (1, Some(ids[1])));
    let second = lab
        .store
        .list(&TaskFilter::default(), first.next, 200)
        .await
        .expect("works");
    assert_eq!(
        (second.items[0].spec.id, second.items.len(), second.next),
        (ids[0], 1, None)
    );
}

pub(crate) async fn a_list_without_an_index_says_where_it_stopped(store: Arc<dyn Store>) {
    const BATCH: usize = 5_000;
    let lab = Lab::new(store);
    let oldest = lab.create(draft("resize")).await;
    let filter = TaskFilter {
        name: Some(name("resize")),
        ..TaskFilter::default()
    };
    for _ in 0..UNINDEXED_SCAN / BATCH {
        let tasks = (0..BATCH).map(|_| lab.task_of(draft("echo"))).collect();
        lab.try_create(tasks, None).await;
    }
    let page = lab.store.list(&filter, None, 10).await.expect("works");
    assert_eq!(
        (page.items.len(), page.truncated),
        (0, true),
        "the one there is lies too far back"
    );
    let nearer = TaskFilter {
        status: Some(TaskStatus::Pending),
        ..TaskFilter::default()
    };
    let page = lab.store.list(&nearer, None, 10).await.expect("works");
    assert_eq!((page.items.len(), page.truncated), (10, false));
    lab.put(oldest, TaskEvent::CancelRequested { reason: None }).await;
    let by_status = TaskFilter {
        status: Some(TaskStatus::Cancelled),
        ..filter
    };
    assert_eq!(listed(&lab, &by_status).await, [oldest], "an index finds it");
}
