//! How code in Python ends and is told, and what it leaves to the next.

use orchestratum_core::task::AttemptOutcome;
use serde_json::{Value, json};

use orchestratum_testkit::again::{WITHOUT_GROUPS, again_after, is_again};

use crate::support::{Bench, OPEN, error, output};

/// Where a task is a fork of an interpreter that waited, and where it has one of its own.
const WARM_AND_COLD: [&[(&str, &str)]; 2] = [&[("worker.isolation", "full")], &[OPEN]];

/// As users who are not root, and most containers, have none.
#[tokio::test(flavor = "multi_thread")]
async fn it_runs_at_full_without_control_groups_too() {
    if !is_again() {
        again_after(WITHOUT_GROUPS, "python::it_runs_at_full_without_control_groups_too").await;
        return;
    }
    let bench = Bench::with(&[("worker.isolation", "full")]).await;
    let worker = bench.worker().await;
    let task = bench.run_python("def main(): return 6 * 7").await;
    assert_eq!(output(&task)["result"], 42);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_has_its_main_from_elsewhere_calls_it_itself() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let tool = "
import sys, types
tool = types.ModuleType('tool')
exec('def main(*given): print(\"called with\", given); return 1', tool.__dict__)
sys.modules['tool'] = tool
";
    for (end, printed) in [
        (
            "from tool import main\nif __name__ == '__main__':\n    main()",
            "called with ()\n",
        ),
        ("from tool import main", ""),
        ("main = tool.main", ""),
    ] {
        let output = output(&bench.run_python(&format!("{tool}{end}")).await);
        assert_eq!(
            (&output["stdout"], &output["result"]),
            (&json!(printed), &Value::Null),
            "{end}"
        );
    }
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_does_not_compile_is_told_with_its_place_and_not_tried_again() {
    for level in WARM_AND_COLD {
        let bench = Bench::with(level).await;
        let worker = bench.worker().await;
        for (code, expected) in [
            (
                "x = 1\ny = = 2\n",
                "CompileError: main.py(2,5): SyntaxError: invalid syntax",
            ),
            (
                "if x:\nprint(1)",
                "CompileError: main.py(2,1): IndentationError: expected an indented block",
            ),
            (
                "return 1",
                "CompileError: main.py(1,1): SyntaxError: 'return' outside function",
            ),
        ] {
            let input = json!({"code": code});
            let task = bench
                .run(json!({"name": "python", "input": input, "max_retries": 5}))
                .await;
            let message = error(&task);
            assert!(message.starts_with(expected), "{message}");
            assert_eq!(
                bench.outcomes(task.spec.id).await,
                [AttemptOutcome::Failed],
                "it would be the same again"
            );
            let logs = bench.logs(task.spec.id).await;
            assert!(
                logs.contains("File \"main.py\", line ") && !logs.contains("runner"),
                "{logs}"
            );
        }
        worker.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_syntax_error_that_the_code_raises_is_a_failure_as_any_other() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    for code in [
        "exec('1 +')",
        "def main():\n    compile('(', 'main.py', 'exec')",
        "raise SyntaxError('mine')",
    ] {
        let input = json!({"code": code});
        let task = bench
            .run(json!({"name": "python", "input": input, "max_retries": 1}))
            .await;
        let message = error(&task);
        assert!(message.starts_with("Failed: Traceback"), "{message}");
        assert_eq!(
            bench.outcomes(task.spec.id).await,
            [AttemptOutcome::Failed; 2],
            "{message}"
        );
    }
    worker.stopped().await;
}

/// The code limits itself, as a worker without control groups limits it.
#[tokio::test(flavor = "multi_thread")]
async fn memory_that_runs_out_is_told_as_that_wherever_it_does() {
    const LIMITED: &str = "
import resource
resource.setrlimit(resource.RLIMIT_AS, (200 << 20, 200 << 20))
class Node: pass
def chain():
    last = Node()
    while True:
        node = Node()
        node.before, last = last, node
";
    for level in WARM_AND_COLD {
        let bench = Bench::with(level).await;
        let worker = bench.worker().await;
        for (what, end) in [
            ("small objects", "def main():\n    chain()"),
            ("in a script", "last = []\nwhile True:\n    last = [last]"),
            (
                "as the result is written as JSON",
                "def main():\n    return 'x' * 110_000_000",
            ),
            ("as its JSON is encoded", "def main():\n    return 'x' * 70_000_000"),
            (
                "without standard error",
                "import sys\ndef main():\n    sys.stderr.close()\n    chain()",
            ),
        ] {
            let task = bench.run_python(&format!("{LIMITED}{end}")).await;
            let message = error(&task);
            assert!(
                message.starts_with("OutOfMemory: ") && message.ends_with("MemoryError"),
                "{what}: {message}"
            );
            assert_eq!(
                bench.outcomes(task.spec.id).await,
                [AttemptOutcome::OutOfMemory],
                "{what}"
            );
        }
        worker.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_code_does_with_its_streams_hides_neither_its_failure_nor_its_success() {
    for level in WARM_AND_COLD {
        let bench = Bench::with(level).await;
        let worker = bench.worker().await;
        for streams in [
            "sys.stderr = None",
            "sys.stderr.close()",
            "sys.stderr = 'no stream'",
            "sys.stdout = None",
            "sys.stdout.close()",
        ] {
            let code = |end: &str| format!("import sys\ndef main():\n    {streams}\n    {end}");
            let message = error(&bench.run_python(&code("raise ValueError('no luck')")).await);
            assert!(
                message.starts_with("Failed: Traceback") && message.ends_with("ValueError: no luck"),
                "{streams}: {message}"
            );
        }
        for streams in [
            "sys.stderr = None",
            "sys.stderr.close()",
            "sys.stdout = None",
            "sys.stdout.close()",
        ] {
            let code = format!("import sys\ndef main():\n    {streams}\n    return 7");
            assert_eq!(output(&bench.run_python(&code).await)["result"], 7, "{streams}");
        }
        worker.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_printed_is_there_of_a_program_that_was_killed() {
    for level in WARM_AND_COLD {
        let bench = Bench::with(level).await;
        let worker = bench.worker().await;
        let code = "import os, signal\nprint('step 3')\nos.kill(os.getpid(), signal.SIGKILL)";
        let task = bench.run_python(code).await;
        assert_eq!(error(&task), "Failed: killed by signal 9 (SIGKILL)");
        assert_eq!(bench.logs(task.spec.id).await, "step 3\n");
        worker.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_zone_is_that_of_the_task_and_of_no_other() {
    for level in WARM_AND_COLD {
        let bench = Bench::with(&[level, &[("worker.concurrency", "1")]].concat()).await;
        let worker = bench.worker().await;
        let code = "import time\ndef main():\n    return [time.localtime(0).tm_hour, time.tzname[0]]";
        let usual = output(&bench.run_python(code).await);
        // A rule, which needs no file of the machine.
        let input = json!({"code": code, "env": {"TZ": "XYZ-9"}});
        let zoned = bench.run(json!({"name": "python", "input": input})).await;
        assert_eq!(output(&zoned)["result"], json!([9, "XYZ"]));
        assert_eq!(output(&bench.run_python(code).await), usual);
        worker.stopped().await;
    }
}

/// The process that is forked has seen how the task before ended, and has had its message in its memory.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_finds_nothing_of_the_one_before_it_in_the_memory_of_what_forked_it() {
    let bench = Bench::with(&[("worker.isolation", "full"), ("worker.concurrency", "1")]).await;
    let worker = bench.worker().await;
    let code = "import sys\ndef main(input):\n    sys.exit(77)";
    let input = json!({"code": code, "input": "the heirloom of the first"});
    let first = bench.run(json!({"name": "python", "input": input})).await;
    assert_eq!(error(&first), "Failed: exit code 77");
    // It is given the word backwards, so as not to have it itself.
    let look = "
import gc, sys

def main(backwards):
    word = backwards[::-1]
    frames, frame = [], sys._getframe()
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    values = [(name, value) for frame in frames for name, value in frame.f_locals.items()]
    of_an_end = [name for name, value in values if value in (77, 77 << 8) or type(value).__name__ == 'struct_rusage']
    gc.unfreeze()
    seen, texts, rest = set(), [], [*gc.get_objects(), *frames]
    while rest:
        value = rest.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, (bytes, bytearray)):
            value = value.decode('latin-1')
        if isinstance(value, str):
            if word in value and value != word:
                texts.append(value)
        else:
            rest.extend(gc.get_referents(value))
    return {'of_an_end': of_an_end, 'texts': texts, 'looked_at_enough': len(seen) > 5000}
";
    let input = json!({"code": look, "input": "moolrieh"});
    let second = bench.run(json!({"name": "python", "input": input})).await;
    assert_eq!(
        output(&second)["result"],
        json!({"of_an_end": [], "texts": [], "looked_at_enough": true})
    );
    worker.stopped().await;
}
