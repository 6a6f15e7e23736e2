//! S7 to S12: what only uses up is ended, and the next task runs as if nothing had been.

use orchestratum_core::task::AttemptOutcome::{self, Failed, OutOfMemory, TimedOut};
use orchestratum_sandbox::Isolation;
use orchestratum_testkit::processes_with_environment;
use serde_json::json;
use tokio::time::Instant;

use super::{isolated, levels};
use crate::support::{Bench, error, output};

const FORK_BOMB: &str = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass";
const THREADS: &str = "import threading, time\nwhile True:\n    try: threading.Thread(target=time.sleep, args=(9,)).start()\n    except RuntimeError: pass";
const FLOOD: &str = "while True: print('x' * 100_000)";
const STUBBORN: &str = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: pass";
const DAEMON: &str = "import subprocess, time\nsubprocess.Popen('trap \"\" TERM; while :; do sleep 1; done', shell=True, start_new_session=True)\nwhile True: time.sleep(1)";
const MEMORY: &str = "kept = []\nwhile True: kept.append(bytearray(10 << 20))";
const FILES_IN_MEMORY: &str = "import os\nfile = os.memfd_create('x')\nwhile True: os.write(file, bytes(1 << 20))";
const SHARED_MEMORY: &str = "import mmap\nkept = []\nwhile True:\n    kept.append(mmap.mmap(-1, 10 << 20))\n    kept[-1].write(bytes(10 << 20))";
const DISK: &str = "with open('big', 'wb') as file:\n    while True: file.write(bytes(1 << 20))";
const FILES: &str = "number = 0\nwhile True:\n    number += 1\n    open(f'f{number}', 'w')";

/// What is tried, what the task may take in seconds, and how its attempt ends.
type Attempt = (&'static str, &'static str, u32, &'static [AttemptOutcome]);

/// What never ends by itself is given a second, and what does is given long enough to do so on a machine that is busy.
fn attempts(level: Isolation, has_groups: bool) -> Vec<Attempt> {
    // Without groups there are no such files, and shared memory is what the interpreter is refused, or what it has for itself.
    let (in_files, shared): (&[AttemptOutcome], &[AttemptOutcome]) = if has_groups {
        (&[OutOfMemory], &[OutOfMemory])
    } else {
        (&[Failed], &[Failed, OutOfMemory])
    };
    let mut attempts: Vec<Attempt> = vec![
        ("flood", FLOOD, 1, &[TimedOut]),
        ("stubborn", STUBBORN, 1, &[TimedOut]),
        ("daemon", DAEMON, 1, &[TimedOut]),
        ("memory", MEMORY, 10, &[OutOfMemory]),
        ("files in memory", FILES_IN_MEMORY, 10, in_files),
        ("shared memory", SHARED_MEMORY, 10, shared),
    ];
    if level == Isolation::Full || has_groups {
        attempts.push(("fork bomb", FORK_BOMB, 1, &[TimedOut]));
        // Without groups the stacks of threads are address space, which the interpreter may be refused for something else.
        attempts.push(("threads", THREADS, 1, &[TimedOut, OutOfMemory]));
    }
    if level == Isolation::Full {
        attempts.push(("disk", DISK, 10, &[Failed]));
        // The kernel's own memory for so many files is counted, too, by some kernels.
        attempts.push(("files", FILES, 2, &[TimedOut, Failed, OutOfMemory]));
    }
    attempts
}

/// Such files exist only where somebody counts them.
async fn has_groups(bench: &Bench) -> bool {
    let code = "import os\ndef main():\n    try:\n        os.close(os.memfd_create('x'))\n    except OSError:\n        return False\n    return True";
    output(&bench.run_python(code).await)["result"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn what_uses_up_is_ended() {
    for level in levels::granted().await {
        let (bench, worker) = isolated(level, &[]).await;
        let has_groups = has_groups(&bench).await;
        let mut limits = json!({"memory_mb": 200, "cpu_seconds": 5});
        if level == Isolation::Full || has_groups {
            limits["processes"] = json!(30);
        }
        if level == Isolation::Full {
            limits["disk_mb"] = json!(10);
        }
        for (what, code, ttl_seconds, expected) in attempts(level, has_groups) {
            let what = format!("{what} at {}", level.as_str());
            let begun = Instant::now();
            let input = json!({"code": code});
            let task = bench
                .run(json!({"name": "python", "input": input, "limits": limits, "ttl_seconds": ttl_seconds}))
                .await;
            let took = begun.elapsed();
            assert!(
                took.as_secs_f64() < f64::from(ttl_seconds) + 4.0,
                "{what} took {took:?}"
            );
            let outcomes = bench.outcomes(task.spec.id).await;
            let first = outcomes.first().expect("it was tried");
            assert!(expected.contains(first), "{what}: {outcomes:?} {}", error(&task));
            // At `full` the next program looks for them, as these have no environment of their own.
            let left = processes_with_environment(&format!("ORCHESTRATUM_TASK_ID={}", task.spec.id));
            assert!(left.is_empty(), "{what}: {left:?}");
            nobody_is_there_but_the_next(&bench, level, &what).await;
        }
        worker.stopped().await;
    }
}

async fn nobody_is_there_but_the_next(bench: &Bench, level: Isolation, after: &str) {
    let code = match level {
        Isolation::Full => {
            "import os\ndef main():\n    return len([name for name in os.listdir('/proc') if name.isdigit()])"
        }
        // It cannot look.
        Isolation::Landlock | Isolation::Off => "def main():\n    return 2",
    };
    let next = bench.run_python(code).await;
    assert_eq!(output(&next)["result"], 2, "after {after}");
}
