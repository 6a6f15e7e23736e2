//! How far programs say they are, seen while they run.

use std::path::PathBuf;
use std::time::Duration;

use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, Progress, TaskStatus};
use orchestratum_store::Task;
use serde_json::{Value, json};

use crate::support::{Bench, OPEN, output};

fn share(share: f64) -> Progress {
    Progress::new(share).expect("a share")
}

/// Ways to run code of Python: as a command at each level, and as a task of its own.
const WAYS: [(&str, &str); 4] = [
    ("command", "full"),
    ("command", "landlock"),
    ("command", "off"),
    ("python", "full"),
];

/// Runs this code as the command `command`, too.
async fn bench(isolation: &str, code: &str) -> Bench {
    let command = json!({"program": "/usr/bin/python3", "args": ["-c", code]});
    let commands = json!({"command": command}).to_string();
    Bench::with(&[("worker.isolation", isolation), ("worker.commands", &commands)]).await
}

async fn create(bench: &Bench, name: &str, code: &str) -> TaskId {
    let input = if name == "python" {
        json!({"code": code})
    } else {
        Value::Null
    };
    bench.create(json!({"name": name, "input": input})).await
}

async fn run(bench: &Bench, name: &str, code: &str) -> Task {
    let id = create(bench, name, code).await;
    let task = bench.ended(id).await;
    output(&task);
    task
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_seen_while_a_program_runs_and_kept_at_its_end() {
    let code = "
import os, time
file = os.fdopen(int(os.environ['ORCHESTRATUM_PROGRESS_FD']), 'w')
print(0.25, file=file, flush=True)
print('0.99')
time.sleep(2.5)
print(0.5, file=file, flush=True)
time.sleep(1000)
";
    for (name, isolation) in WAYS {
        let bench = bench(isolation, code).await;
        let worker = bench.worker().await;
        let id = create(&bench, name, code).await;
        let before = bench.engine.task(id).await.expect("it exists");
        assert_eq!(before.progress, None);
        for expected in [Some(share(0.25)), Some(share(0.5))] {
            let task = bench.until(id, |task| task.progress == expected).await;
            assert_eq!(task.life.status(), TaskStatus::InProgress, "{name}, {isolation}");
        }
        bench.engine.cancel(id, None, None).await.expect("it runs");
        let task = bench.ended(id).await;
        assert_eq!(
            (task.life.status(), task.progress),
            (TaskStatus::Cancelled, Some(share(0.5)))
        );
        worker.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_short_program_told_last_comes_with_its_report() {
    for (code, expected) in [
        ("import os\nos.write(3, b'0.5\\n1\\n')", Some(share(1.0))),
        ("import os\nos.write(3, b'0.5\\n')", Some(share(0.5))),
        ("import os\nos.close(3)", None),
        ("pass", None),
        ("import sys\nprint('0.5', file=sys.stderr)", None),
        (
            "import os\nos.write(3, b'50%\\n1.5\\n-1\\nnan\\n' + bytes(range(256)) * 1000 + b'\\n')",
            None,
        ),
    ] {
        for (name, isolation) in WAYS {
            let bench = bench(isolation, code).await;
            let worker = bench.worker().await;
            let task = run(&bench, name, code).await;
            assert_eq!(task.progress, expected, "{name}, {isolation}: {code}");
            worker.stopped().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_lines_are_one_statement_a_second_at_most() {
    let code = "
import time
with open(3, 'w', closefd=False) as file:
    for number in range(100_000):
        print(number / 100_000, file=file)
    file.flush()
    start = time.monotonic()
    while time.monotonic() - start < 3:
        print(time.monotonic() % 1, file=file)
    print(0.75, file=file)
";
    let (bench, appends) = Bench::counting_appends(&[]).await;
    let worker = bench.worker().await;
    let task = run(&bench, "python", code).await;
    assert_eq!(task.progress, Some(share(0.75)));
    let statements = appends();
    let took = task
        .started_at
        .zip(finished_at(&task))
        .map(|(start, end)| end.saturating_since(start));
    let most = took.expect("it ran").as_secs() + 1;
    assert!(
        (1..=most).contains(&(statements as u64)),
        "{statements} statements in {most} s"
    );
    assert_eq!(task.life.version, 3, "created, claimed, completed");
    worker.stopped().await;
}

fn finished_at(task: &Task) -> Option<orchestratum_core::Timestamp> {
    match task.life.state {
        orchestratum_core::task::TaskState::Completed { finished_at } => Some(finished_at),
        _ => None,
    }
}

/// A task whose first attempt tells of itself and waits; the next one is told to be quick.
async fn twice(bench: &Bench, retries: u32) -> (TaskId, PathBuf) {
    let go = bench.work_dir.path().join("go");
    let script = "
test $ORCHESTRATUM_ATTEMPT = 1 || { while [ ! -e \"$1\" ]; do sleep 0.02; done; exit 0; }
echo 0.9 >&3
while [ ! -e \"$1.first\" ]; do sleep 0.02; done
exit 1";
    let input = json!({"script": script, "args": [go]});
    let id = bench
        .create(json!({"name": "shell", "input": input, "max_retries": retries}))
        .await;
    bench.until(id, |task| task.progress == Some(share(0.9))).await;
    (id, go)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_attempt_begins_without_progress() {
    let bench = Bench::open(&[]).await;
    let worker = bench.worker().await;
    let (id, go) = twice(&bench, 1).await;
    std::fs::write(go.with_extension("first"), "").expect("written");
    let second = bench
        .until(id, |task| {
            task.life.attempt == 2 && task.life.status() == TaskStatus::InProgress
        })
        .await;
    assert_eq!(second.progress, None);
    std::fs::write(&go, "").expect("written");
    let task = bench.ended(id).await;
    assert_eq!((task.life.status(), task.progress), (TaskStatus::Completed, None));
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_was_lost_does_not_speak_for_the_next_one() {
    let bench = Bench::with(&[OPEN]).await;
    let worker = bench.worker().await;
    let (id, go) = twice(&bench, 0).await;
    let late = bench.engine.clock().now() + Duration::from_secs(3_600);
    bench.engine.store().mark_dead(late).await.expect("it is marked");
    let second = bench
        .until(id, |task| {
            task.life.attempt == 2 && task.life.status() == TaskStatus::InProgress
        })
        .await;
    assert_eq!(second.progress, None);
    std::fs::write(&go, "").expect("written");
    let task = bench.ended(id).await;
    assert_eq!(task.progress, None);
    assert_eq!(
        bench.outcomes(id).await,
        [AttemptOutcome::Lost, AttemptOutcome::Success]
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn csharp_tells_how_far_it_is() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    let code = r#"
var number = int.Parse(Environment.GetEnvironmentVariable("ORCHESTRATUM_PROGRESS_FD")!);
using var file = new FileStream(new Microsoft.Win32.SafeHandles.SafeFileHandle(number, false), FileAccess.Write);
using var progress = new StreamWriter(file) { AutoFlush = true };
progress.WriteLine(0.5);
"#;
    assert_eq!(bench.run_csharp(code).await.progress, Some(share(0.5)));
    worker.stopped().await;
}
