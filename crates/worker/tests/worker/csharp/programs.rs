//! What code may look like, what it gets, and what comes back.

use orchestratum_core::TaskName;
use orchestratum_core::task::AttemptOutcome;
use serde_json::{Value, json};

use crate::support::{Bench, error, output, until};

#[tokio::test(flavor = "multi_thread")]
async fn statements_return_a_value_and_have_input_arguments_and_streams() {
    for isolation in ["full", "off"] {
        let bench = Bench::csharp(&[("worker.isolation", isolation)]).await;
        let worker = bench.worker().await;
        let code = "
var numbers = Input.As<int[]>()!;
Console.WriteLine($\"out {string.Join('|', args)} {Console.In.ReadToEnd()}\");
Console.Error.WriteLine(Environment.GetEnvironmentVariable(\"SAID\"));
return new { sum = numbers.Sum(), kind = Input.ValueKind.ToString() };
";
        let nasty = "';\"\n$(touch pwned) `id` \\ %s \u{2028} é #";
        let input = json!({
            "code": code, "input": [1, 2, 3], "args": ["a b", nasty], "stdin": nasty, "env": {"SAID": nasty}
        });
        let task = bench.run(json!({"name": "csharp", "input": input})).await;
        let expected = json!({
            "result": {"sum": 6, "kind": "Array"},
            "stdout": format!("out a b|{nasty} {nasty}\n"),
            "stderr": format!("{nasty}\n"),
            "exit_code": 0
        });
        assert_eq!(output(&task), expected, "{isolation}");
        let attempt = &bench.attempts(task.spec.id).await[0];
        assert!(attempt.peak_memory_bytes.is_some_and(|bytes| bytes > 1_000_000));
        assert!(bench.logs(task.spec.id).await.contains("out a b|"));
        worker.stopped().await;
        // Those of processes that waited go when these are dead.
        until("no folder is left", || bench.run_directories().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn code_may_be_an_expression_statements_or_a_class() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    for (code, expected) in [
        ("1 + 2", json!(3)),
        ("Input", Value::Null),
        ("new[] { 1, 2, 3 }.Select(x => x * x).ToList()", json!([1, 4, 9])),
        ("var x = 5;\nx switch { > 3 => \"many\", _ => \"few\" }", json!("many")),
        (
            "using System.Text;\nvar text = new StringBuilder(\"a\"); text.Append('b'); text.ToString()",
            json!("ab"),
        ),
        ("Console.WriteLine(\"said\")", Value::Null),
        ("Console.WriteLine(\"said\");", Value::Null),
        ("await Task.Delay(1);\nreturn await Task.FromResult(8);", json!(8)),
        ("await Task.Delay(1)", Value::Null),
        ("Task.FromResult(9)", json!(9)),
        ("if (args.Length == 0) return;\nreturn 5;", Value::Null),
        (
            "Span<int> span = stackalloc int[3]; span.Fill(2); return span[1];",
            json!(2),
        ),
        (
            "return new Point(1, 2).Swap();\nrecord Point(int X, int Y);\nstatic class Points { public static Point Swap(this Point p) => p with { X = p.Y, Y = p.X }; }",
            json!({"X": 2, "Y": 1}),
        ),
        ("return (1, \"two\");", json!({"Item1": 1, "Item2": "two"})),
        (
            "List<int> kept = [1, .. new[] { 2, 3 }];\nreturn kept;",
            json!([1, 2, 3]),
        ),
        ("return \"Привет, \\\"мир\\\"\";", json!("Привет, \"мир\"")),
        (
            "class Program { static void Main() => Console.WriteLine(\"said\"); }",
            Value::Null,
        ),
        (
            "namespace A;\nclass Outer { static class Inner { static async Task<string> Main(string[] args) { await Task.Yield(); return \"in\"; } } }",
            json!("in"),
        ),
        ("class Program { static int Main() { return 0; } }", Value::Null),
        ("Environment.Exit(0);\nreturn 5;", Value::Null),
        ("", Value::Null),
    ] {
        let task = bench.run_csharp(code).await;
        if code.is_empty() {
            assert!(error(&task).contains("CS5001"), "{task:?}");
            continue;
        }
        assert_eq!(output(&task)["result"], expected, "{code}");
        assert_eq!(output(&task)["stdout"] == "said\n", code.contains("said"), "{code}");
    }
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn input_is_json_and_a_value_of_the_types_of_the_code() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    let code = "
var order = Input.As<Order>()!;
return new {
    total = order.Lines.Sum(line => line.Price * line.Count),
    first = Input.GetProperty(\"lines\")[0].GetProperty(\"name\").GetString(),
    note = Input.TryGetProperty(\"note\", out _),
};
record Line(string Name, decimal Price, int Count);
record Order(Line[] Lines);
";
    let input =
        json!({"lines": [{"name": "tea", "price": 2.5, "count": 4}, {"name": "cup", "price": 1.25, "count": 1}]});
    let task = bench
        .run(json!({"name": "csharp", "input": {"code": code, "input": input}}))
        .await;
    assert_eq!(
        output(&task)["result"],
        json!({"total": 11.25, "first": "tea", "note": false})
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_does_not_compile_is_told_where_and_not_tried_again() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    for (code, expected) in [
        (
            "Console.WriteLine(1)\nvar x = 2;",
            vec!["main.cs(1,21): error CS1002: ; expected"],
        ),
        (
            "using System.Text;\n\n  int x = \"no\"; var s = new StringBuilder();\n  return y;\nrecord A(int B) { int C() => Missing; }",
            vec![
                "main.cs(3,11): error CS0029: Cannot implicitly convert type 'string' to 'int'",
                "main.cs(4,10): error CS0103: The name 'y' does not exist in the current context",
                "main.cs(5,30): error CS0103: The name 'Missing' does not exist in the current context",
            ],
        ),
        ("var a = 1;\n   b + 1", vec!["main.cs(2,4): error CS0103: The name 'b'"]),
        (
            "class A { static void Main() { } }\nclass B { static void Main() { } }",
            vec!["error CS0017"],
        ),
        ("class A { }", vec!["error CS5001"]),
        ("\u{1}", vec!["error CS"]),
        ("}}}} \u{feff} ¬", vec!["error CS"]),
    ] {
        let task = bench
            .run(json!({"name": "csharp", "input": {"code": code}, "max_retries": 5}))
            .await;
        let message = error(&task);
        assert!(message.starts_with("CompileError: "), "{message}");
        for expected in expected {
            assert!(message.contains(expected), "{expected} is not in {message}");
        }
        assert_eq!(task.life.attempt, 1, "it would be the same again");
        assert_eq!(bench.outcomes(task.spec.id).await, [AttemptOutcome::Failed]);
    }
    let many = "int x = y;\n".repeat(100);
    assert!(
        error(&bench.run_csharp(&many).await).contains("\nand "),
        "twenty are told"
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_say_what_happened_with_the_lines_of_the_code() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    let code = "Console.WriteLine(\"before\");\nOrders.Check(5);\n\nstatic class Orders\n{\n    public static void Check(int count)\n    {\n        throw new ArgumentException($\"no {count}\");\n    }\n}\n";
    let task = bench.run_csharp(code).await;
    let message = error(&task);
    assert!(
        message.starts_with("Failed: System.ArgumentException: no 5\n"),
        "{message}"
    );
    assert!(message.contains("in main.cs:line 8"), "{message}");
    assert!(message.contains("in main.cs:line 2"), "{message}");
    assert!(
        !message.contains("Orchestratum") && !message.contains("System.Reflection"),
        "{message}"
    );
    let logs = bench.logs(task.spec.id).await;
    assert!(
        logs.contains("before") && logs.contains("Unhandled exception. System.ArgumentException"),
        "{logs}"
    );
    assert_eq!(task.output, None);
    for (code, expected) in [
        (
            "Console.Error.WriteLine(\"bad\"); Environment.Exit(3);",
            "Failed: exit code 3: bad",
        ),
        ("class A { static int Main() => 4; }", "Failed: exit code 4"),
        ("Environment.ExitCode = 5;", "Failed: exit code 5"),
        (
            "await Task.Yield(); throw new Exception(\"later\");",
            "Failed: System.Exception: later",
        ),
        (
            "var thread = new Thread(() => throw new Exception(\"beside\")); thread.Start(); thread.Join();",
            "Failed: System.Exception: beside",
        ),
        (
            "int Down(int x) => Down(x + 1) + 1;\nreturn Down(0);",
            "killed by signal 6 (SIGABRT): Stack overflow.",
        ),
        (
            "System.Diagnostics.Process.GetCurrentProcess().Kill();",
            "Failed: killed by signal 9 (SIGKILL)",
        ),
        (
            "return double.NaN;",
            "OutputNotStorable: what the code returned cannot be written as JSON: ArgumentException",
        ),
        (
            "return new Node();\nclass Node { public Node Next => this; }",
            "OutputNotStorable: what the code returned cannot be written as JSON: JsonException",
        ),
        (
            "return \"a\\0b\";",
            "OutputNotStorable: what the code returned contains the character U+0000",
        ),
        (
            "return new string('x', 2_000_000);",
            "OutputNotStorable: the result has more than",
        ),
    ] {
        let message = error(&bench.run_csharp(code).await);
        assert!(message.contains(expected), "{code}: {message}");
    }
    let task = bench
        .run_csharp("Console.OpenStandardOutput().Write(new byte[] { 97, 255, 0, 98 });")
        .await;
    assert_eq!(output(&task)["stdout"], "a\u{fffd}\u{fffd}b");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_sees_its_identity_and_no_variable_of_the_worker() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    let task = bench.run_csharp("return Environment.GetEnvironmentVariables();").await;
    let environment = output(&task)["result"].clone();
    let id = task.spec.id.to_string();
    assert_eq!(environment["ORCHESTRATUM_TASK_ID"], json!(id));
    assert_eq!(environment["ORCHESTRATUM_ATTEMPT"], "1");
    assert_eq!(environment["ORCHESTRATUM_IDEMPOTENCY_KEY"], json!(format!("{id}-1")));
    assert_eq!(environment["HOME"], "/run/task/home");
    assert_eq!(environment.get("CARGO_MANIFEST_DIR"), None);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_another_version_let_in_is_refused_for_good() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    let input = json!({"input": {"code": 5, "env": {"DOTNET_STARTUP_HOOKS": "/tmp/hook.dll"}}, "max_retries": 5});
    let id = bench.store_unchecked("csharp", input).await;
    let task = bench.ended(id).await;
    let message = error(&task);
    let expected =
        "Failed: the input of a `csharp` task: /code must be a text, not a number; /env/DOTNET_STARTUP_HOOKS";
    assert!(message.starts_with(expected), "{message}");
    assert_eq!(task.life.attempt, 1);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_a_runtime_offers_it() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    bench.run_csharp("1").await;
    let workers = bench.engine.workers().await.expect("they are listed");
    let names = workers[0].registration.names.iter().map(TaskName::as_str);
    assert_eq!(names.collect::<Vec<_>>(), ["csharp", "echo", "http", "python", "shell"]);
    worker.stopped().await;
}
