//! Programs of the settings that run tasks.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orchestratum_core::task::TaskStatus;
use orchestratum_core::{TaskId, TaskName};
use orchestratum_engine::Settings;
use orchestratum_sandbox::Shim;
use orchestratum_worker::isolation;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Bench, error, output};

const LEVELS: [&str; 3] = ["full", "landlock", "off"];

/// A command that runs code of Python.
fn python(code: &str) -> Value {
    json!({"program": "/usr/bin/python3", "args": ["-c", code]})
}

async fn bench(isolation: &str, commands: Value) -> Bench {
    Bench::with(&[
        ("worker.isolation", isolation),
        ("worker.commands", &commands.to_string()),
    ])
    .await
}

fn task(name: &str, input: impl Into<Value>) -> Value {
    json!({"name": name, "input": input.into()})
}

async fn names(bench: &Bench) -> Vec<String> {
    let workers = bench.engine.workers().await.expect("they are listed");
    let names = workers[0].registration.names.iter().map(TaskName::as_str);
    names.map(str::to_owned).collect()
}

/// A folder that every user may read.
fn folder(place: &str) -> TempDir {
    let folder = tempfile::tempdir_in(place).expect("a folder");
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).expect("opened");
    folder
}

fn program(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("made a program");
    path.to_owned()
}

const TOTALS: &str = "
import json, os, sys
task = json.load(sys.stdin)
print('adding', file=sys.stderr)
own = {name: value for name, value in os.environ.items() if name in ('REGION', 'ORCHESTRATUM_RUN')}
json.dump({'total': sum(task['numbers']), 'args': sys.argv[1:], 'own': own}, sys.stdout)
";

#[tokio::test(flavor = "multi_thread")]
async fn a_command_takes_the_input_and_gives_the_output_at_every_level() {
    for isolation in LEVELS {
        let command = json!({
            "program": "/usr/bin/python3", "args": ["-c", TOTALS, "a b", "$(id)"], "env": {"REGION": "north"}
        });
        let bench = bench(isolation, json!({"billing.totals": command})).await;
        let worker = bench.worker().await;
        let done = bench.run(task("billing.totals", json!({"numbers": [1, 2.5]}))).await;
        let own = json!({"REGION": "north", "ORCHESTRATUM_RUN": "1"});
        assert_eq!(
            output(&done),
            json!({"total": 3.5, "args": ["a b", "$(id)"], "own": own}),
            "{isolation}"
        );
        assert_eq!(bench.logs(done.spec.id).await, "adding\n", "the output is no log");
        let attempt = &bench.attempts(done.spec.id).await[0];
        assert_eq!(attempt.exit_code, Some(0));
        assert!(attempt.peak_memory_bytes.is_some_and(|bytes| bytes > 1_000_000));
        assert!(names(&bench).await.contains(&"billing.totals".to_owned()));
        worker.stopped().await;
        assert_eq!(bench.run_directories(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_says_and_how_it_ends_decides() {
    let say = "
import json, sys
said, times = json.load(sys.stdin)
sys.stdout.buffer.write(bytes(said) * times)
";
    let end = "
import sys, time
code, words = __import__('json').load(sys.stdin)
print(words, file=sys.stderr if code % 2 else sys.stdout)
sys.exit(code)
";
    let mut permanent = python(end);
    permanent["permanent_exit_codes"] = json!([3, 64]);
    let bench = bench("full", json!({"say": python(say), "end": permanent})).await;
    let worker = bench.worker().await;
    let say = async |bytes: &[u8], times: usize| bench.run(task("say", json!([bytes, times]))).await;
    for (bytes, expected) in [
        (&b""[..], Value::Null),
        (b"null\n", Value::Null),
        (b" {\"a\": \"\xc3\xa9\"} \n", json!({"a": "é"})),
        (b"[1.50, 1e2]", json!([1.5, 100.0])),
    ] {
        assert_eq!(output(&say(bytes, 1).await), expected);
    }
    for (bytes, expected) in [
        (
            &b"working\n{}"[..],
            "it begins with \"working\\n{}\". A command writes one JSON value there",
        ),
        (
            b"{} {}",
            "OutputNotStorable: standard output is not JSON: trailing characters",
        ),
        (b"\"\xff\"", "OutputNotStorable: standard output is not UTF-8"),
        (
            b"\"\\u0000\"",
            "OutputNotStorable: standard output contains the character U+0000",
        ),
    ] {
        let message = error(&say(bytes, 1).await);
        assert!(message.contains(expected), "{message}");
    }
    let message = error(&say(b"1", 1_048_577).await);
    assert_eq!(
        message,
        "OutputNotStorable: standard output has more than 1048576 bytes"
    );
    assert_eq!(output(&say(b"\n", 1_048_576).await), Value::Null);
    for (code, retries, attempts, expected) in [
        (1, 1, 2, "Failed: exit code 1: no luck"),
        (2, 0, 1, "Failed: exit code 2: no luck"),
        (3, 5, 1, "Failed: exit code 3: no luck"),
        (64, 5, 1, "Failed: exit code 64: no luck"),
    ] {
        let task = json!({"name": "end", "input": [code, "no luck"], "max_retries": retries});
        let task = bench.run(task).await;
        assert_eq!((error(&task).as_str(), task.life.attempt), (expected, attempts));
        assert_eq!(task.output, None);
    }
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_refused_and_harms_nobody() {
    let flood = json!({"program": "/usr/bin/yes"});
    let bench = bench("full", json!({"flood": flood})).await;
    let worker = bench.worker().await;
    let flooding = bench
        .create(json!({"name": "flood", "timeout_seconds": 2, "input": null}))
        .await;
    bench.run(json!({"name": "echo", "input": 1})).await;
    let message = error(&bench.ended(flooding).await);
    assert!(message.starts_with("TimedOut"), "{message}");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_limits_of_its_own_and_a_task_may_ask_for_others() {
    let code = "import json\nprint(json.dumps(len(bytearray(b'x') * (200 << 20))))";
    let mut large = python(code);
    large["limits"] = json!({"memory_mb": 150});
    let bench = Bench::with(&[
        ("worker.commands", &json!({"large": large}).to_string()),
        ("worker.limits.memory_mb", "1000"),
    ])
    .await;
    let worker = bench.worker().await;
    let refused = bench.run(task("large", Value::Null)).await;
    assert_eq!(refused.life.status(), TaskStatus::Failed, "{refused:?}");
    let asking = json!({"name": "large", "input": null, "limits": {"memory_mb": 900}});
    assert_eq!(output(&bench.run(asking).await), json!(200 << 20));
    let asking = json!({"name": "large", "input": null, "limits": {"memory_mb": 1_001}});
    let message = error(&bench.run(asking).await);
    assert!(message.contains("`worker.limits.memory_mb` is 1000"), "{message}");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_isolated_and_reads_what_it_was_given_alone() {
    // A program has a `/tmp` of its own at the level `full`.
    let places = [env!("CARGO_TARGET_TMPDIR"), "/tmp"];
    for (isolation, place) in ["full", "landlock"]
        .into_iter()
        .flat_map(|level| places.map(|place| (level, place)))
    {
        let folder = folder(place);
        let encoder = program(
            &folder.path().join("encode"),
            "#!/usr/bin/python3\nimport json, sys\nprint(json.dumps(open(sys.argv[1]).read()))\n",
        );
        std::fs::create_dir(folder.path().join("models")).expect("made");
        let (model, secret) = (folder.path().join("models/small"), folder.path().join("secret"));
        std::fs::write(&model, "model").expect("written");
        std::fs::write(&secret, "secret").expect("written");
        let commands = json!({
            "with": {"program": encoder, "args": [model], "readable": [folder.path().join("models")]},
            "without": {"program": encoder, "args": [secret]}
        });
        let bench = bench(isolation, commands).await;
        let worker = bench.worker().await;
        assert_eq!(
            output(&bench.run(task("with", Value::Null)).await),
            "model",
            "{isolation}"
        );
        let message = error(&bench.run(task("without", Value::Null)).await);
        assert!(
            message.contains("No such file") || message.contains("Permission"),
            "{message}"
        );
        // What commands read, the code of tasks does not.
        for path in [&encoder, &model] {
            let task = bench.run_shell(&format!("cat {}", path.display())).await;
            assert_eq!(task.life.status(), TaskStatus::Failed, "{isolation}: {task:?}");
        }
        worker.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_is_given_and_cannot_see_is_warned_of() {
    let folder = folder("/tmp");
    let (script, missing) = (folder.path().join("encode.py"), folder.path().join("missing"));
    std::fs::write(&script, "print(1)").expect("written");
    let option = format!("--model={}", script.display());
    let commands = json!({
        "argument": {"program": "/usr/bin/python3", "args": ["-u", script, "/tmp", "/dev/null", missing]},
        "option": {"program": "/usr/bin/python3", "args": [option]},
        "seeing": {"program": "/usr/bin/python3", "args": ["-u", script], "readable": [folder.path()]}
    });
    let hidden = format!(
        "its program cannot see what it is given: {}; `readable` has neither that nor a folder above it",
        script.display()
    );
    for level in LEVELS {
        let work_dir = tempfile::tempdir().expect("a folder");
        let settings = Settings::load_with(&[
            ("worker.isolation", level),
            ("worker.work_dir", work_dir.path().to_str().expect("UTF-8")),
            ("worker.commands", &commands.to_string()),
        ])
        .expect("valid settings");
        let shim = Shim::at(env!("CARGO_BIN_EXE_orchestratum-worker"));
        let found = isolation::find(&settings.worker, &shim, &[]).await.expect("a level");
        let sandbox = Arc::new(found.sandbox.expect("a sandbox"));
        let offered = isolation::commands(&settings, sandbox).await;
        assert_eq!(offered.len(), 3, "{level}");
        for (name, command) in offered {
            let expected = (level != "off" && name.as_str() != "seeing").then(|| hidden.clone());
            assert_eq!(command.expect("it is offered").warning, expected, "{level}: {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_the_network_that_its_settings_give_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let code = format!("import socket\nsocket.create_connection(('127.0.0.1', {port}), 2)");
    let mut with = python(&code);
    with["network"] = json!(true);
    let bench = bench("full", json!({"with": with, "without": python(&code)})).await;
    let worker = bench.worker().await;
    assert_eq!(output(&bench.run(task("with", Value::Null)).await), Value::Null);
    let message = error(&bench.run(task("without", Value::Null)).await);
    assert!(message.contains("Error"), "{message}");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_not_there_with_what_it_reads_is_not_offered_and_the_others_are() {
    let folder = folder(env!("CARGO_TARGET_TMPDIR"));
    let no_program = folder.path().join("text");
    std::fs::write(&no_program, "#!/bin/sh\n").expect("written");
    let commands = json!({
        "missing": {"program": "/no/such/program"},
        "missing.too": {"program": "no-such-program"},
        "text": {"program": no_program},
        "blind": {"program": "true", "readable": ["/usr", "/no/such/model"]},
        "there": {"program": "true"}
    });
    let bench = bench("full", commands).await;
    let worker = bench.worker().await;
    assert_eq!(output(&bench.run(task("there", Value::Null)).await), Value::Null);
    let names = names(&bench).await;
    assert!(names.contains(&"there".to_owned()), "{names:?}");
    for name in ["missing", "missing.too", "text", "blind"] {
        assert!(!names.contains(&name.to_owned()), "{names:?}");
    }
    worker.stopped().await;
}

async fn cancelled(bench: &Bench, name: &str) -> TaskId {
    let id = bench.create(task(name, Value::Null)).await;
    bench.until(id, |task| task.progress.is_some()).await;
    bench.engine.cancel(id, None, None).await.expect("it runs");
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_stopped_has_done_its_work_only_if_it_says_so() {
    let stopping = |said: &str| {
        python(&format!(
            "
import os, signal, sys, time
def stop(*_):
    os.write(1, b'{said}')
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
os.write(3, b'0\\n')
time.sleep(1000)
"
        ))
    };
    let bench = bench("full", json!({"silent": stopping(""), "done": stopping("7")})).await;
    let worker = bench.worker().await;
    let silent = cancelled(&bench, "silent").await;
    assert_eq!(bench.ended(silent).await.life.status(), TaskStatus::Cancelled);
    let done = cancelled(&bench, "done").await;
    assert_eq!(output(&bench.ended(done).await), 7);
    worker.stopped().await;
}
