//! What attempts write while they run, and what those who follow it are told.

use std::sync::Arc;

use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, Backoff, Ending, TaskEvent, TaskStatus};

use super::lab::{LEASE, Lab, SECOND, done, draft, failure, report, retries};
use orchestratum_store::{
    ClaimedTask, LogAppend, LogChunk, LogPosition, LogStream, LogsFrom, NEW_LOGS_BYTES, NEW_LOGS_CHUNKS, NewLogs, Store,
};

fn chunk(sequence: u32, text: &str) -> LogChunk {
    LogChunk {
        stream: if sequence.is_multiple_of(2) {
            LogStream::Stdout
        } else {
            LogStream::Stderr
        },
        sequence,
        text: text.to_owned(),
    }
}

fn append(task: &ClaimedTask, chunks: &[LogChunk]) -> LogAppend {
    LogAppend {
        task: task.id,
        attempt: task.attempt,
        chunks: chunks.to_vec(),
        progress: None,
    }
}

/// Appends, and whether each is of an attempt that runs.
async fn appended(lab: &Lab, appends: &[LogAppend]) -> Vec<bool> {
    let running = lab.store.append_logs(appends).await.expect("works");
    let runs = |append: &LogAppend| running.contains(&(append.task, append.attempt));
    appends.iter().map(runs).collect()
}

/// The texts of a task, each with the attempt and its number.
async fn texts(lab: &Lab, task: TaskId) -> Vec<(u32, u32, String)> {
    let logs = lab.store.logs(task, None, None).await.expect("works");
    let text = |stored: orchestratum_store::StoredLogChunk| (stored.attempt, stored.chunk.sequence, stored.chunk.text);
    logs.chunks.into_iter().map(text).collect()
}

fn text(attempt: u32, sequence: u32, text: &str) -> (u32, u32, String) {
    (attempt, sequence, text.to_owned())
}

fn from(task: TaskId, attempt: u32, sequence: u32, last_attempt: Option<u32>) -> LogsFrom {
    LogsFrom {
        task,
        from: LogPosition { attempt, sequence },
        last_attempt,
    }
}

async fn news(lab: &Lab, asked: LogsFrom) -> NewLogs {
    let mut answers = lab.store.new_logs(&[asked]).await.expect("works");
    assert_eq!(answers.len(), 1);
    answers.remove(0).expect("the task exists")
}

/// Attempts and numbers of what is new.
async fn new_numbers(lab: &Lab, asked: LogsFrom) -> Vec<(u32, u32)> {
    let chunks = news(lab, asked).await.chunks;
    chunks.iter().map(|new| (new.attempt, new.chunk.sequence)).collect()
}

pub(crate) async fn what_a_running_attempt_appends_is_there_before_it_ends(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let (first, second) = (lab.running(draft("echo")).await, lab.running(draft("echo")).await);
    let appends = [
        append(&first, &[chunk(0, "a ✓\n"), chunk(1, "warning\n")]),
        append(&second, &[chunk(0, "b\n")]),
    ];
    assert_eq!(appended(&lab, &appends).await, [true, true]);
    assert_eq!(appended(&lab, &[]).await, [false; 0]);
    assert_eq!(
        texts(&lab, first.id).await,
        [text(1, 0, "a ✓\n"), text(1, 1, "warning\n")]
    );
    assert_eq!(texts(&lab, second.id).await, [text(1, 0, "b\n")]);
    let errors = lab.store.logs(first.id, Some(1), Some(LogStream::Stderr)).await;
    assert_eq!(errors.expect("works").chunks.len(), 1);
    assert_eq!(lab.status(first.id).await, TaskStatus::InProgress);
}

pub(crate) async fn the_same_chunks_again_are_no_others(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let task = lab.running(draft("echo")).await;
    let appends = [append(&task, &[chunk(0, "once\n")])];
    for _ in 0..2 {
        assert_eq!(appended(&lab, &appends).await, [true]);
    }
    let more = [append(&task, &[chunk(0, "once\n"), chunk(1, "more\n")])];
    assert_eq!(appended(&lab, &more).await, [true]);
    assert_eq!(texts(&lab, task.id).await, [text(1, 0, "once\n"), text(1, 1, "more\n")]);
}

pub(crate) async fn a_report_brings_what_was_not_appended_and_repeats_nothing(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    for ending in [Ending::Success, failure()] {
        let task = lab.running(draft("echo")).await;
        appended(&lab, &[append(&task, &[chunk(0, "a\n"), chunk(1, "b\n")])]).await;
        let mut change = report(&task, ending);
        change.evidence.logs = vec![chunk(1, "b\n"), chunk(2, "c\n")];
        done(lab.apply(change).await);
        assert_eq!(
            texts(&lab, task.id).await,
            [text(1, 0, "a\n"), text(1, 1, "b\n"), text(1, 2, "c\n")]
        );
    }
}

pub(crate) async fn only_the_attempt_that_runs_appends(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let pending = lab.create(draft("other")).await;
    let over = lab.running(draft("echo")).await;
    lab.end(&over, Ending::Success).await;
    lab.create_with(draft("echo"), retries(1, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    let stale = lab.claim_one(worker).await;
    lab.end(&stale, failure()).await;
    let running = lab.claim_one(worker).await;
    assert_eq!((running.id, running.attempt), (stale.id, 2));
    let of = |task: TaskId, attempt: u32| LogAppend {
        task,
        attempt,
        chunks: vec![chunk(0, "x\n")],
        progress: None,
    };
    let appends = [
        of(pending, 0),
        of(pending, 1),
        append(&over, &[chunk(0, "x\n")]),
        append(&stale, &[chunk(0, "x\n")]),
        append(&running, &[chunk(0, "x\n")]),
        of(running.id, 3),
        of(lab.id(), 1),
    ];
    let expected = [false, false, false, false, true, false, false];
    assert_eq!(appended(&lab, &appends).await, expected);
    for task in [pending, over.id] {
        assert_eq!(texts(&lab, task).await, []);
    }
    assert_eq!(texts(&lab, running.id).await, [text(2, 0, "x\n")]);
}

pub(crate) async fn what_was_appended_before_a_worker_died_is_kept(store: Arc<dyn Store>) {
    let mut lab = Lab::new(store);
    let task = lab.running(draft("echo")).await;
    let worker = lab.task(task.id).await.worker.expect("claimed");
    appended(&lab, &[append(&task, &[chunk(0, "before\n")])]).await;
    lab.advance(LEASE + SECOND);
    lab.store.mark_dead(lab.now).await.expect("works");
    let attempt = task.attempt;
    lab.put(task.id, TaskEvent::WorkerLost { worker, attempt }).await;
    assert_eq!(appended(&lab, &[append(&task, &[chunk(1, "after\n")])]).await, [false]);
    let another = lab.echo_worker().await;
    let second = lab.claim_one(another).await;
    appended(&lab, &[append(&second, &[chunk(0, "again\n")])]).await;
    assert_eq!(
        texts(&lab, task.id).await,
        [text(1, 0, "before\n"), text(2, 0, "again\n")]
    );
}

pub(crate) async fn nothing_is_appended_after_the_attempt_has_ended_at_the_same_moment(store: Arc<dyn Store>) {
    /// As many as find a race that is lost once in a hundred.
    const ROUNDS: usize = 200;
    let lab = Lab::new(store);
    let tasks = (0..ROUNDS).map(|_| lab.task_of(draft("echo"))).collect();
    lab.try_create(tasks, None).await;
    let worker = lab.echo_worker().await;
    let mut running = Vec::new();
    while running.len() < ROUNDS {
        running.extend(lab.claim(worker).await);
    }
    for task in running {
        let appending = {
            let (store, appends) = (Arc::clone(&lab.store), [append(&task, &[chunk(0, "x\n")])]);
            tokio::spawn(async move { store.append_logs(&appends).await.expect("works") })
        };
        let ending = {
            let (store, now) = (Arc::clone(&lab.store), lab.now);
            let changes = [report(&task, Ending::Success)];
            tokio::spawn(async move {
                store.apply(&changes, now).await.expect("works");
                // What a follower sees at the end must be all there ever is.
                store.new_logs(&[from(task.id, 0, 0, None)]).await.expect("works")
            })
        };
        let (appended, seen) = tokio::join!(appending, ending);
        let (appended, seen) = (appended.expect("no panic"), seen.expect("no panic"));
        let seen = seen[0].as_ref().expect("it exists");
        assert_eq!(
            (seen.status, seen.chunks.len()),
            (TaskStatus::Completed, appended.len())
        );
        assert_eq!(texts(&lab, task.id).await.len(), appended.len());
    }
}

pub(crate) async fn new_logs_begin_where_they_are_asked_for(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(1, Backoff::None)).await;
    let worker = lab.echo_worker().await;
    for _ in 0..2 {
        let task = lab.claim_one(worker).await;
        appended(&lab, &[append(&task, &[chunk(0, "a"), chunk(1, "b"), chunk(2, "c")])]).await;
        lab.end(&task, failure()).await;
    }
    let all = [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)];
    for (asked, expected) in [
        (from(id, 0, 0, None), &all[..]),
        (from(id, 1, 1, None), &all[1..]),
        (from(id, 1, 3, None), &all[3..]),
        (from(id, 1, u32::MAX, None), &all[3..]),
        (from(id, 2, 2, None), &all[5..]),
        (from(id, 2, 3, None), &[]),
        (from(id, 1, 2, Some(1)), &all[2..3]),
        (from(id, 2, 0, Some(2)), &all[3..]),
        (from(id, 9, 9, None), &[]),
    ] {
        assert_eq!(new_numbers(&lab, asked).await, expected, "{asked:?}");
    }
    let gone = from(lab.id(), 0, 0, None);
    let asked = [
        gone,
        from(id, 2, 2, None),
        from(id, 0, 0, Some(1)),
        from(id, 2, 2, None),
    ];
    let answers = lab.store.new_logs(&asked).await.expect("works");
    let counts: Vec<Option<usize>> = answers
        .iter()
        .map(|answer| answer.as_ref().map(|logs| logs.chunks.len()))
        .collect();
    assert_eq!(
        counts,
        [None, Some(1), Some(3), Some(1)],
        "one answer a question, in order"
    );
    assert_eq!(lab.store.new_logs(&[]).await.expect("works"), []);
}

pub(crate) async fn new_logs_tell_how_the_task_and_the_attempt_stand(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let id = lab.create_with(draft("echo"), retries(1, Backoff::None)).await;
    let standing = async |last_attempt| {
        let logs = news(&lab, from(id, 0, 0, last_attempt)).await;
        (logs.status, logs.newest_attempt, logs.outcome)
    };
    assert_eq!(standing(None).await, (TaskStatus::Pending, 0, None));
    let worker = lab.echo_worker().await;
    let first = lab.claim_one(worker).await;
    assert_eq!(standing(None).await, (TaskStatus::InProgress, 1, None));
    lab.end(&first, failure()).await;
    let failed = Some(AttemptOutcome::Failed);
    assert_eq!(standing(None).await, (TaskStatus::Pending, 1, failed));
    let second = lab.claim_one(worker).await;
    assert_eq!(standing(None).await, (TaskStatus::InProgress, 2, None));
    assert_eq!(standing(Some(1)).await, (TaskStatus::InProgress, 2, failed));
    lab.end(&second, Ending::Success).await;
    let success = Some(AttemptOutcome::Success);
    assert_eq!(standing(None).await, (TaskStatus::Completed, 2, success));
    assert_eq!(standing(Some(1)).await, (TaskStatus::Completed, 2, failed));
}

pub(crate) async fn new_logs_come_in_parts(store: Arc<dyn Store>) {
    let lab = Lab::new(store);
    let task = lab.running(draft("echo")).await;
    let large = "x".repeat(NEW_LOGS_BYTES / 3);
    let too_large = "y".repeat(NEW_LOGS_BYTES + 1);
    let texts = [&large, &large, &large, &too_large, &large];
    let chunks: Vec<LogChunk> = (0..).zip(texts).map(|(sequence, text)| chunk(sequence, text)).collect();
    appended(&lab, &[append(&task, &chunks)]).await;
    for (sequence, expected, more) in [(0, 0..3, true), (3, 3..4, true), (4, 4..5, false), (5, 5..5, false)] {
        let asked = from(task.id, 1, sequence, None);
        let numbers: Vec<(u32, u32)> = expected.map(|sequence| (1, sequence)).collect();
        assert_eq!(new_numbers(&lab, asked).await, numbers);
        assert_eq!(news(&lab, asked).await.more, more, "from {sequence}");
    }
    let most = u32::try_from(NEW_LOGS_CHUNKS).expect("a small number");
    let many: Vec<LogChunk> = (5..most + 6).map(|sequence| chunk(sequence, "z")).collect();
    appended(&lab, &[append(&task, &many)]).await;
    let logs = news(&lab, from(task.id, 1, 5, None)).await;
    assert_eq!(logs.chunks.len(), NEW_LOGS_CHUNKS);
    assert!(logs.more, "there is one more");
}
