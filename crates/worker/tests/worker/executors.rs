//! Tasks of every built-in name, run by a worker with real interpreters.

use orchestratum_core::task::TaskStatus;
use orchestratum_core::{Origin, RequestId, TraceParent};
use serde_json::{Value, json};

use crate::support::{Bench, error, output};

#[tokio::test(flavor = "multi_thread")]
async fn echo_answers_its_input() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let task = bench.run(json!({"name": "echo", "input": {"a": [1, 2.50, "x"]}})).await;
    assert_eq!(output(&task), json!({"a": [1, 2.50, "x"]}));
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_returns_what_main_returns_with_its_output() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let code = "import sys\ndef main(input):\n    print('out', sys.argv[1:], sys.stdin.read())\n    print('err', file=sys.stderr)\n    return {'sum': sum(input)}\n";
    let input = json!({"code": code, "input": [1, 2, 3], "args": ["a b", "$(id)"], "stdin": "said 'it'\n`id`"});
    let task = bench.run(json!({"name": "python", "input": input})).await;
    let expected = json!({
        "result": {"sum": 6}, "stdout": "out ['a b', '$(id)'] said 'it'\n`id`\n", "stderr": "err\n", "exit_code": 0
    });
    assert_eq!(output(&task), expected);
    let attempt = &bench.attempts(task.spec.id).await[0];
    assert_eq!(attempt.exit_code, Some(0));
    assert!(attempt.peak_memory_bytes.is_some_and(|bytes| bytes > 1_000_000));
    assert!(bench.logs(task.spec.id).await.contains("out ["));
    worker.stopped().await;
    assert_eq!(bench.run_directories(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn python_runs_scripts_without_main_coroutines_and_mains_without_parameters() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let result = async |code: &str| output(&bench.run_python(code).await);
    assert_eq!(
        result("if __name__ == '__main__':\n    print('ran')").await["stdout"],
        "ran\n"
    );
    assert_eq!(result("def main():\n    return 7").await["result"], 7);
    assert_eq!(result("async def main(input):\n    return 8").await["result"], 8);
    assert_eq!(
        result("def main(x):\n    return 9\nif __name__ == '__main__':\n    main()").await["result"],
        9
    );
    assert_eq!(result("import sys\nsys.exit(0)").await["result"], Value::Null);
    assert_eq!(
        result("def main(x):\n    return 'Привет, \"мир\"'").await["result"],
        "Привет, \"мир\""
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_failures_say_what_happened() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let task = bench
        .run_python("print('before')\ndef main(x):\n    raise ValueError('no \\'x\\'')")
        .await;
    let message = error(&task);
    assert!(message.starts_with("Failed: Traceback"), "{message}");
    assert!(
        message.contains("File \"main.py\", line 3, in main\n    raise ValueError("),
        "{message}"
    );
    assert!(message.ends_with("ValueError: no 'x'"), "{message}");
    assert!(!message.contains("runner.py"), "{message}");
    let script = error(&bench.run_python("raise ValueError('no main')").await);
    assert!(
        script.contains("File \"main.py\", line 1, in <module>"),
        "the same name without a main: {script}"
    );
    assert!(bench.logs(task.spec.id).await.contains("before"));
    assert_eq!(task.output, None);
    assert_eq!(bench.attempts(task.spec.id).await[0].exit_code, Some(1));

    let cases = [
        ("def main(x:\n", "SyntaxError"),
        (
            "import sys; print('bad', file=sys.stderr); sys.exit(3)",
            "Failed: exit code 3: bad",
        ),
        ("import os; os.kill(os.getpid(), 11)", "killed by signal 11 (SIGSEGV)"),
        (
            "def main(x):\n    return {1, 2}",
            "OutputNotStorable: what main returned cannot be written as JSON: TypeError",
        ),
        ("def main(x):\n    return float('nan')", "OutputNotStorable"),
        (
            "def main(x):\n    return 'a\\0b'",
            "OutputNotStorable: what main returned contains the character U+0000",
        ),
        ("def main(x):\n    return '\\ud800'", "OutputNotStorable"),
        (
            "def main(x):\n    return 'x' * 2_000_000",
            "OutputNotStorable: the result has more than",
        ),
    ];
    for (code, expected) in cases {
        let message = error(&bench.run_python(code).await);
        assert!(message.contains(expected), "{code}: {message}");
    }
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_is_never_interpreted() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let nasty = "';\"\n$(touch pwned) `touch pwned` \\ %s \u{2028} é && exit 9 #";
    let code = "import os\ndef main(x):\n    return [x, os.listdir('.'), os.environ['SAID']]";
    let input = json!({"code": code, "input": nasty, "env": {"SAID": nasty}});
    let task = bench.run(json!({"name": "python", "input": input})).await;
    assert_eq!(output(&task)["result"], json!([nasty, [], nasty]));
    let script = "printf %s \"$1\"; printf %s \"$SAID\" >&2; ls; cat";
    let input = json!({"script": script, "args": [nasty], "env": {"SAID": nasty}, "stdin": nasty});
    let task = bench.run(json!({"name": "shell", "input": input})).await;
    assert_eq!(
        output(&task),
        json!({"stdout": format!("{nasty}{nasty}"), "stderr": nasty, "exit_code": 0})
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_sees_its_identity_and_no_variable_of_the_worker() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let task = bench
        .run_python("import os\ndef main(x):\n    return dict(os.environ)")
        .await;
    let environment = output(&task)["result"].clone();
    let id = task.spec.id.to_string();
    assert_eq!(environment["ORCHESTRATUM_TASK_ID"], json!(id));
    assert_eq!(environment["ORCHESTRATUM_ATTEMPT"], "1");
    assert_eq!(environment["ORCHESTRATUM_IDEMPOTENCY_KEY"], json!(format!("{id}-1")));
    assert_eq!(environment.get("CARGO_MANIFEST_DIR"), None);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_sees_the_trace_and_the_request_it_belongs_to_if_there_are_any() {
    let mut bench = Bench::new().await;
    let worker = bench.worker().await;
    let python = "import os\ndef main(x):\n    \
                  return [os.environ.get(name, 'none') for name in ('TRACEPARENT', 'ORCHESTRATUM_REQUEST_ID')]";
    let shell = "echo ${TRACEPARENT-none} ${ORCHESTRATUM_REQUEST_ID-none}";
    assert_eq!(
        output(&bench.run_python(python).await)["result"],
        json!(["none", "none"])
    );
    assert_eq!(output(&bench.run_shell(shell).await)["stdout"], "none none\n");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    bench.origin = Origin {
        trace_parent: Some(TraceParent::new(trace).expect("well-formed")),
        request_id: Some(RequestId::new("caller-1").expect("plain")),
    };
    assert_eq!(
        output(&bench.run_python(python).await)["result"],
        json!([trace, "caller-1"])
    );
    assert_eq!(
        output(&bench.run_shell(shell).await)["stdout"],
        json!(format!("{trace} caller-1\n"))
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_another_version_let_in_is_refused_for_good_and_names_the_field() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let cases = [
        (
            "python",
            json!({"code": "1", "args": 31337, "env": {"PATH": "/"}}),
            "the input of a `python` task: /args must be an array of texts, not a number; /env/PATH is not allowed",
        ),
        (
            "http",
            json!({"url": "http://31337@a.example", "body": 31337}),
            "the input of a `http` task: /url must not hold a user or a password: the header `authorization` is for them; \
             /body must be left out",
        ),
        (
            "shell",
            json!({}),
            "the input of a `shell` task: must have a command or a script",
        ),
    ];
    for (name, input, expected) in cases {
        let id = bench
            .store_unchecked(name, json!({"input": input, "max_retries": 5}))
            .await;
        let task = bench.ended(id).await;
        let message = error(&task);
        assert!(message.starts_with(&format!("Failed: {expected}")), "{message}");
        assert_eq!(task.life.attempt, 1, "it would be the same again");
    }
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shell_failures_carry_the_exit_code_and_the_end_of_standard_error() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let task = bench.run_shell("echo fine; echo wrong >&2; exit 4").await;
    assert_eq!(error(&task), "Failed: exit code 4: wrong");
    assert_eq!(bench.logs(task.spec.id).await, "fine\nwrong\n");
    let input = json!({"command": "test $ORCHESTRATUM_ATTEMPT = 2"});
    let task = bench
        .run(json!({"name": "shell", "input": input, "max_retries": 1}))
        .await;
    assert_eq!((task.life.status(), task.life.attempt), (TaskStatus::Completed, 2));
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_stays_within_its_cap() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let before = resident_bytes();
    let script = "echo begin; timeout 1 cat /dev/zero | tr '\\0' '\\001'; echo end";
    let task = bench.run_shell(script).await;
    assert!(resident_bytes() < before + 30_000_000);
    let output = output(&task);
    let stdout = output["stdout"].as_str().expect("text");
    assert!(
        stdout.starts_with("begin\n") && stdout.ends_with("end\n"),
        "{}",
        stdout.len()
    );
    assert!(bench.logs(task.spec.id).await.contains("bytes cut ...]"));
    worker.stopped().await;
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("it is there");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("it has the line");
    line.split_whitespace()
        .nth(1)
        .and_then(|kilobytes| kilobytes.parse::<u64>().ok())
        .expect("a number")
        * 1024
}
