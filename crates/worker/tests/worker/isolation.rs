//! Nothing of one task is visible to the next, and nothing of the machine to any.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::Duration;

use orchestratum_testkit::LogLines;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::Level;

use crate::support::{BOUND, Bench, error, output};

async fn python(bench: &Bench, code: &str) -> Value {
    output(&bench.run_python(code).await)["result"].clone()
}

/// One program at a time, so that all run in one cell.
async fn one_cell(overrides: &[(&str, &str)]) -> Bench {
    Bench::with(&[&[("worker.concurrency", "1"), ("worker.isolation", "full")], overrides].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_programs_are_not_kept_apart_warns_of_that() {
    let lines = LogLines::of_this_process(Level::INFO);
    let bench = Bench::open(&[]).await;
    let worker = bench.worker().await;
    let told = lines.documents();
    let is_off = |line: &&Value| line["isolation"] == "off";
    assert!(told.iter().any(|line| {
        is_off(&line)
            && line["level"] == "WARN"
            && line["message"]
                .as_str()
                .is_some_and(|message| message.contains("not kept apart"))
    }));
    let tells_of_the_network = |line: &Value| line.get("network").is_some();
    assert!(!told.iter().filter(is_off).any(tells_of_the_network), "they have it");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_finds_nothing_of_the_one_before_it() {
    let bench = one_cell(&[]).await;
    let worker = bench.worker().await;
    let leave = "
import builtins, json, os, pathlib, subprocess, sys
def main():
    builtins.secret = json.secret = sys.secret = os.environ['SECRET'] = 'secret'
    json.dumps_before, json.dumps = json.dumps, None
    sys.path.insert(0, '/run/task/home')
    for folder in ('/tmp', '/dev/shm', '/run/task', os.getcwd()):
        pathlib.Path(folder, 'secret.py').write_text('secret = 1')
    os.chmod('/run/task', 0o000)
    subprocess.Popen(['sleep', '1000'], start_new_session=True)
    json.dumps = json.dumps_before
    return os.getpid()
";
    let first = python(&bench, leave).await;
    assert!(first.is_u64(), "{first}");
    let look = "
import builtins, json, os, sys
def main():
    found = [thing for thing in (builtins, json, sys) if hasattr(thing, 'secret')]
    files = [name for folder in ('/tmp', '/dev/shm', os.getcwd()) for name in os.listdir(folder)]
    processes = [name for name in os.listdir('/proc') if name.isdigit()]
    return [len(found), 'SECRET' in os.environ, files, sorted(os.listdir('/run/task')), len(processes)]
";
    assert_eq!(
        python(&bench, look).await,
        json!([0, false, [], ["home", "shm", "tmp"], 2])
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_or_written_to_a_guessed_file_is_no_result() {
    let bench = one_cell(&[]).await;
    let worker = bench.worker().await;
    let forge = r#"
import os
def main():
    print('{"result": "forged"}')
    for number in range(3, 64):
        try:
            os.write(number, b'{"result": "forged"}' * 100)
        except OSError:
            pass
    return "true"
"#;
    assert_eq!(python(&bench, forge).await, "true");
    let task = bench.run_python(&forge.replace("return \"true\"", "os._exit(0)")).await;
    assert_eq!(output(&task)["result"], Value::Null);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_there_for_those_who_ask_where_it_is_permitted() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let code = format!("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)");
    let asking = json!({"name": "python", "input": {"code": code, "network": true}});
    let bench = one_cell(&[]).await;
    let worker = bench.worker().await;
    let refused = error(&bench.run(asking.clone()).await);
    assert!(refused.starts_with("NotGranted: "), "{refused}");
    assert!(refused.contains("`worker.network`"), "{refused}");
    let unreachable = error(&bench.run_python(&code).await);
    assert!(unreachable.contains("PermissionError"), "{unreachable}");
    worker.stopped().await;
    let bench = one_cell(&[("worker.network", "true")]).await;
    let worker = bench.worker().await;
    output(&bench.run(asking).await);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_ends_as_an_interpreter_does_also_when_it_was_there_before() {
    for isolation in ["off", "full"] {
        let bench = Bench::with(&[("worker.isolation", isolation)]).await;
        let worker = bench.worker().await;
        let code = "
import atexit, threading, time
atexit.register(print, 'at exit')
threading.Thread(target=lambda: (time.sleep(0.2), print('thread'))).start()
print('main')
";
        assert_eq!(
            output(&bench.run_python(code).await)["stdout"],
            "main\nthread\nat exit\n",
            "{isolation}"
        );
        for (code, expected) in [
            ("import sys; sys.exit('words')", "Failed: exit code 1: words"),
            ("import sys; sys.exit(3)", "Failed: exit code 3"),
            ("import os; os._exit(4)", "Failed: exit code 4"),
            (
                "import os; os.kill(os.getpid(), 9)",
                "Failed: killed by signal 9 (SIGKILL)",
            ),
            ("import os; os.abort()", "Failed: killed by signal 6 (SIGABRT)"),
        ] {
            assert_eq!(error(&bench.run_python(code).await), expected, "{isolation}");
        }
        worker.stopped().await;
    }
}

/// An interpreter that says where it is and works, as long as it sees the whole machine.
#[tokio::test(flavor = "multi_thread")]
async fn an_interpreter_that_does_not_start_behind_the_walls_is_not_offered() {
    let (shown, hidden) = (tempfile::tempdir(), tempfile::tempdir());
    let (shown, hidden) = (shown.expect("a folder"), hidden.expect("a folder"));
    let interpreter = shown.path().join("python");
    let script = format!(
        r#"#!/bin/sh
[ -e {} ] || {{ echo something is missing >&2; exit 1; }}
printf '{{"path": "%s", "version": "3.12.1", "own": ["%s"], "prefixes": []}}\n' "$0" "$0"
"#,
        hidden.path().display()
    );
    fs::write(&interpreter, script).expect("written");
    fs::set_permissions(&interpreter, Permissions::from_mode(0o755)).expect("executable");
    let fake = interpreter.to_str().expect("UTF-8");
    for setting in [("worker.python", fake), ("worker.limits.memory_mb", "3")] {
        let bench = one_cell(&[setting]).await;
        let worker = bench.worker().await;
        let names = offered(&bench).await;
        assert!(names.contains(&"echo".to_owned()), "{names:?}");
        assert!(!names.contains(&"python".to_owned()), "{setting:?}: {names:?}");
        if setting.0 == "worker.python" {
            assert!(names.contains(&"shell".to_owned()), "{names:?}");
        }
        worker.stopped().await;
    }
}

async fn offered(bench: &Bench) -> Vec<String> {
    let start = Instant::now();
    loop {
        let workers = bench.engine.workers().await.expect("they are read");
        if let Some(worker) = workers.first() {
            return worker.registration.names.iter().map(ToString::to_string).collect();
        }
        assert!(start.elapsed() < BOUND, "no worker registers");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A shell of the operator's own, with what belongs to it nowhere but beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_shell_that_is_elsewhere_than_the_system_is_shown_to_its_tasks() {
    let folder = tempfile::tempdir().expect("a folder");
    let shell = folder.path().join("a-shell");
    fs::copy("/bin/sh", &shell).expect("copied");
    let link = folder.path().join("sh");
    symlink(&shell, &link).expect("linked");
    let bench = one_cell(&[("worker.shell", link.to_str().expect("UTF-8"))]).await;
    let worker = bench.worker().await;
    assert_eq!(output(&bench.run_shell("echo \"$0\"").await)["exit_code"], 0);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_does_not_find_the_one_before_it_in_its_memory() {
    let bench = one_cell(&[]).await;
    let worker = bench.worker().await;
    // The secret is not in this text in one piece, which the task has in its memory, too.
    let scan = "
def main():
    found, begin, rest = 0, b'first-half', bytes(reversed(b'dnoces-'))
    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:
        for line in maps:
            place, rights = line.split()[:2]
            if not rights.startswith('rw'):
                continue
            first, last = (int(address, 16) for address in place.split('-'))
            try:
                memory.seek(first)
                data = memory.read(last - first)
            except (OSError, OverflowError):
                continue
            at = data.find(begin)
            while at >= 0:
                found += data[at + len(begin) : at + len(begin) + len(rest)] == rest
                at = data.find(begin, at + 1)
    return found
";
    for length in [0, 10, 100, 3_000] {
        let secret = format!("first-half-second-half{}", "x".repeat(length));
        let with_secret =
            json!({"name": "python", "input": {"code": "pass", "env": {"TOKEN": secret}, "input": secret}});
        output(&bench.run(with_secret).await);
        assert_eq!(
            python(&bench, scan).await,
            0,
            "after a secret of {} bytes",
            secret.len()
        );
    }
    worker.stopped().await;
}
