//! Targets as queues.

use std::sync::Arc;

use orchestratum_core::task::{Ending, TaskDraft};

use super::lab::{Lab, SECOND, audit, draft, target};
use orchestratum_store::{Queue, RecordsBefore, Store};

async fn queues(lab: &Lab) -> Vec<Queue> {
    lab.store.queues().await.expect("works")
}

fn idle(name: &str) -> Queue {
    Queue {
        target: target(name),
        depth: 0,
        ready: 0,
        running: 0,
        paused: false,
        rate: None,
        oldest_due_at: None,
    }
}

async fn pause(lab: &Lab, name: &str, paused: bool) {
    let action = audit(if paused { "pause" } else { "resume" });
    lab.store
        .set_paused(&target(name), paused, &action, lab.now)
        .await
        .expect("works");
}

pub(crate) async fn a_queue_counts_what_waits_and_what_runs(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    lab.running(draft("echo")).await;
    lab.advance(SECOND);
    let oldest_due_at = Some(lab.now);
    lab.create(draft("echo")).await;
    lab.advance(SECOND);
    lab.create(draft("resize")).await;
    lab.create(TaskDraft {
        delay_seconds: Some(9.0),
        ..draft("echo")
    })
    .await;
    lab.create(TaskDraft {
        target: Some("Gpu".to_owned()),
        ..draft("echo")
    })
    .await;
    let default = Queue {
        depth: 3,
        ready: 2,
        running: 1,
        oldest_due_at,
        ..idle("default")
    };
    let gpu = Queue {
        depth: 1,
        ready: 1,
        oldest_due_at: Some(lab.now),
        ..idle("Gpu")
    };
    assert_eq!(queues(&lab).await, [gpu, default], "by name, in the order of bytes");
}

pub(crate) async fn ready_tasks_are_counted_up_to_a_bound(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for _ in 0..3 {
        lab.create(draft("echo")).await;
    }
    lab.create(TaskDraft {
        delay_seconds: Some(9.0),
        ..draft("echo")
    })
    .await;
    let default = target("default");
    for (most, expected) in [(10, 3), (3, 3), (2, 2)] {
        assert_eq!(lab.store.ready(&default, most).await.expect("works"), expected);
    }
    assert_eq!(lab.store.ready(&target("other"), 10).await.expect("works"), 0);
}

pub(crate) async fn a_target_that_is_only_served_is_listed(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    assert_eq!(queues(&lab).await, []);
    let worker = lab.worker(&["gpu", "default"], &["echo"]).await;
    assert_eq!(queues(&lab).await, [idle("default"), idle("gpu")]);
    lab.store.leave(worker, lab.now).await.expect("works");
    assert_eq!(queues(&lab).await, []);
}

pub(crate) async fn a_target_may_be_paused_ahead_and_is_listed_as_long_as_it_is_paused(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    assert!(!lab.store.is_paused(&target("gpu")).await.expect("works"));
    for paused in [true, true, false, true] {
        pause(&lab, "gpu", paused).await;
        assert_eq!(lab.store.is_paused(&target("gpu")).await.expect("works"), paused);
        let listed = if paused {
            vec![Queue { paused, ..idle("gpu") }]
        } else {
            Vec::new()
        };
        assert_eq!(queues(&lab).await, listed);
    }
    assert!(!lab.store.is_paused(&target("default")).await.expect("works"));
    let after = lab.now + SECOND;
    assert_eq!(
        lab.store
            .purge_records(&RecordsBefore::all(after), 100)
            .await
            .expect("works"),
        4,
        "each of them is audited"
    );
}

pub(crate) async fn what_was_claimed_before_a_pause_goes_on(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let claimed = lab.running(draft("echo")).await;
    pause(&lab, "default", true).await;
    let changed = lab.end(&claimed, Ending::Success).await;
    lab.assert_reads_as(&changed).await;
    lab.create(draft("echo")).await;
    let queue = queues(&lab).await.remove(0);
    assert_eq!((queue.depth, queue.paused), (1, true), "it still takes tasks");
}
