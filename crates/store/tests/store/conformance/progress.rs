//! How far attempts say they are.

use std::sync::Arc;

use orchestratum_core::TaskId;
use orchestratum_core::task::{Backoff, Ending, Progress, TaskEvent, TaskStatus};

use super::lab::{LEASE, Lab, SECOND, done, draft, failure, progress, report, retries};
use orchestratum_store::{ClaimedTask, LogAppend, LogChunk, LogStream, Store};

fn told(task: &ClaimedTask, progress: Option<Progress>) -> LogAppend {
    LogAppend {
        task: task.id,
        attempt: task.attempt,
        chunks: Vec::new(),
        progress,
    }
}

/// Tells it, and whether the attempt runs.
async fn tell(lab: &Lab, task: &ClaimedTask, quarters: u32) -> bool {
    let appends = [told(task, Some(progress(quarters)))];
    let running = lab.store.append_logs(&appends).await.expect("works");
    running == [(task.id, task.attempt)]
}

async fn read(lab: &Lab, task: TaskId) -> Option<Progress> {
    let listed = lab.store.tasks(&[task]).await.expect("works");
    assert_eq!(listed[0].progress, lab.task(task).await.progress, "everywhere the same");
    listed[0].progress
}

pub(crate) async fn what_a_running_attempt_tells_is_read_and_is_no_other_version(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let task = lab.running(draft("echo")).await;
    assert_eq!(read(&lab, task.id).await, None);
    let version = lab.task(task.id).await.life.version;
    for quarters in [1, 3, 2, 0, 4] {
        assert!(tell(&lab, &task, quarters).await);
        assert_eq!(
            read(&lab, task.id).await,
            Some(progress(quarters)),
            "also less than before"
        );
    }
    let exact = Progress::new(0.123_456_789_012_345_6).expect("a share");
    lab.store.append_logs(&[told(&task, Some(exact))]).await.expect("works");
    assert_eq!(read(&lab, task.id).await, Some(exact));
    let after = lab.task(task.id).await.life;
    assert_eq!((after.version, after.status()), (version, TaskStatus::InProgress));
}

pub(crate) async fn logs_without_progress_leave_it_as_it_is(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (first, second) = (lab.running(draft("echo")).await, lab.running(draft("echo")).await);
    assert!(tell(&lab, &first, 1).await);
    let chunks = vec![LogChunk {
        stream: LogStream::Stderr,
        sequence: 0,
        text: "a line\n".to_owned(),
    }];
    let logs = LogAppend {
        chunks,
        ..told(&first, None)
    };
    let both = [logs, told(&second, Some(progress(2)))];
    let running = lab.store.append_logs(&both).await.expect("works");
    assert_eq!(running.len(), 2);
    assert_eq!(read(&lab, first.id).await, Some(progress(1)));
    assert_eq!(read(&lab, second.id).await, Some(progress(2)));
}

pub(crate) async fn a_report_leaves_what_was_told_unless_it_brings_more(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for ending in [Ending::Success, failure()] {
        let task = lab.running(draft("echo")).await;
        assert!(tell(&lab, &task, 1).await);
        lab.end(&task, ending.clone()).await;
        assert_eq!(
            read(&lab, task.id).await,
            Some(progress(1)),
            "nothing is invented at the end"
        );
        let task = lab.running(draft("echo")).await;
        assert!(tell(&lab, &task, 1).await);
        let mut change = report(&task, ending.clone());
        change.evidence.progress = Some(progress(3));
        done(lab.apply(change).await);
        assert_eq!(read(&lab, task.id).await, Some(progress(3)));
        let task = lab.running(draft("echo")).await;
        lab.end(&task, ending).await;
        assert_eq!(read(&lab, task.id).await, None);
    }
}

pub(crate) async fn an_attempt_that_is_over_tells_nothing_any_more(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let over = lab.running(draft("echo")).await;
    lab.end(&over, Ending::Success).await;
    assert!(!tell(&lab, &over, 2).await);
    assert_eq!(read(&lab, over.id).await, None);

    let lost = lab.running(draft("echo")).await;
    let worker = lab.task(lost.id).await.worker.expect("claimed");
    lab.advance(LEASE + SECOND);
    lab.store.mark_dead(lab.now).await.expect("works");
    let attempt = lost.attempt;
    lab.put(lost.id, TaskEvent::WorkerLost { worker, attempt }).await;
    assert!(!tell(&lab, &lost, 2).await);
    let another = lab.echo_worker().await;
    let running = lab.claim_one(another).await;
    assert!(tell(&lab, &running, 1).await);
    assert!(!tell(&lab, &lost, 2).await, "it runs, but in another attempt");
    let mut late = report(&lost, Ending::Success);
    late.evidence.progress = Some(progress(4));
    lab.apply(late).await;
    assert_eq!(read(&lab, lost.id).await, Some(progress(1)));
}

pub(crate) async fn another_attempt_and_another_run_have_told_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(1, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    for attempt in 1..=2 {
        let task = lab.claim_one(worker).await;
        assert_eq!((task.attempt, read(&lab, id).await), (attempt, None));
        assert!(tell(&lab, &task, 3).await);
        lab.end(&task, failure()).await;
        assert_eq!(read(&lab, id).await, Some(progress(3)), "of the newest attempt");
    }
    let ttl = SECOND * 60;
    lab.put(id, TaskEvent::RetryRequested { ttl }).await;
    assert_eq!(read(&lab, id).await, None);
    let task = lab.claim_one(worker).await;
    assert!(tell(&lab, &task, 2).await);
    lab.put(id, TaskEvent::CancelRequested { reason: None }).await;
    assert_eq!(read(&lab, id).await, Some(progress(2)));
}

pub(crate) async fn an_attempt_that_nobody_made_has_told_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(2, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let task = lab.claim_one(worker).await;
    assert!(tell(&lab, &task, 3).await);
    lab.end(&task, failure()).await;
    lab.put(
        id,
        TaskEvent::NameNotOffered {
            message: "nobody offers it".to_owned(),
        },
    )
    .await;
    assert_eq!(read(&lab, id).await, None);
}
