//! What uses up is ended, in the code and in the compiler, and the next task runs as if nothing had been.

use orchestratum_core::task::AttemptOutcome;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Bench, error, output};

#[tokio::test(flavor = "multi_thread")]
async fn what_uses_up_is_ended() {
    let bench = Bench::csharp(&[("worker.isolation", "full")]).await;
    let worker = bench.worker().await;
    let limits = json!({"memory_mb": 300, "processes": 60, "disk_mb": 10, "cpu_seconds": 10});
    for (what, code) in [
        ("loop", "while (true) { }"),
        ("sleep", "Thread.Sleep(Timeout.Infinite);"),
        (
            "stubborn",
            "using var ignored = System.Runtime.InteropServices.PosixSignalRegistration.Create(System.Runtime.InteropServices.PosixSignal.SIGTERM, context => context.Cancel = true);\nwhile (true) { }",
        ),
        (
            "threads",
            "while (true) { try { new Thread(() => Thread.Sleep(9000)).Start(); } catch (OutOfMemoryException) { } }",
        ),
        (
            "processes",
            "while (true) { try { System.Diagnostics.Process.Start(\"sleep\", \"1000\"); } catch (Exception) { } }",
        ),
        (
            "disk",
            "using var file = File.Create(\"big\");\nwhile (true) file.Write(new byte[1 << 20]);",
        ),
        (
            "flood",
            "var line = new string('x', 100_000);\nwhile (true) Console.WriteLine(line);",
        ),
    ] {
        let begun = Instant::now();
        let task = bench
            .run(json!({"name": "csharp", "input": {"code": code}, "limits": limits, "ttl_seconds": 2}))
            .await;
        let took = begun.elapsed();
        assert!(took.as_secs_f64() < 6.0, "{what} took {took:?}");
        let outcome = bench.outcomes(task.spec.id).await[0];
        let ended = [
            AttemptOutcome::TimedOut,
            AttemptOutcome::Failed,
            AttemptOutcome::OutOfMemory,
        ];
        assert!(ended.contains(&outcome), "{what}: {}", error(&task));
        if what == "loop" {
            assert!(error(&task).starts_with("Expired: "), "{}", error(&task));
        }
        assert_eq!(output(&bench.run_csharp("1 + 1").await)["result"], 2, "{what}");
    }
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_limited_on_the_heap_and_beside_it() {
    for isolation in ["full", "off"] {
        let bench = Bench::csharp(&[("worker.isolation", isolation)]).await;
        let worker = bench.worker().await;
        for code in [
            "var kept = new List<byte[]>(); while (true) { var more = new byte[1 << 20]; Array.Fill(more, (byte)1); kept.Add(more); }",
            "new byte[400 << 20].Length",
            "while (true) unsafe { new Span<byte>((void*)System.Runtime.InteropServices.Marshal.AllocHGlobal(1 << 20), 1 << 20).Fill(1); }",
            "var kept = new List<string>(); while (true) kept.Add(new string('x', 100));",
        ] {
            let task = bench
                .run(
                    json!({"name": "csharp", "input": {"code": code}, "limits": {"memory_mb": 200}, "ttl_seconds": 20}),
                )
                .await;
            let message = error(&task);
            assert!(message.starts_with("OutOfMemory: "), "{isolation}: {code}: {message}");
        }
        let large =
            json!({"name": "csharp", "input": {"code": "new byte[400 << 20].Length"}, "limits": {"memory_mb": 800}});
        assert_eq!(output(&bench.run(large).await)["result"], 400 << 20);
        worker.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_below_what_the_runtime_needs_is_told_as_that_and_the_least_one_is_enough() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    let with = |megabytes: u64| json!({"name": "csharp", "input": {"code": "1 + 1"}, "limits": {"memory_mb": megabytes}, "max_retries": 3});
    let task = bench.run(with(79)).await;
    let expected = "NotGranted: the limit `memory_mb` of 79 is less than the 80 ";
    assert!(error(&task).starts_with(expected), "{}", error(&task));
    assert_eq!(task.life.attempt, 1);
    assert_eq!(output(&bench.run(with(80)).await)["result"], 2);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processor_time_is_limited() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    let task = bench
        .run(json!({"name": "csharp", "input": {"code": "while (true) { }"}, "limits": {"cpu_seconds": 1}}))
        .await;
    assert_eq!(
        error(&task),
        "Failed: the limit `cpu_seconds` is 1: killed by signal 24 (SIGXCPU)"
    );
    let almost = r"
var process = System.Diagnostics.Process.GetCurrentProcess();
TimeSpan Used() { process.Refresh(); return process.TotalProcessorTime; }
var begun = Used();
while ((Used() - begun).TotalSeconds < 0.97) { }
return begun.TotalSeconds > 0.03;
";
    let task = bench
        .run(json!({"name": "csharp", "input": {"code": almost}, "limits": {"cpu_seconds": 1}}))
        .await;
    assert_eq!(output(&task)["result"], true, "the start of the runtime does not count");
    worker.stopped().await;
}

/// A source that a compiler works on for ever, or until its memory is full; another one for each number.
fn bomb(number: usize) -> String {
    format!(
        "class X<A, B, C, D, E, F> {{ class Y : X<Y, Y, Y, Y, Y, Y> {{ Y.Y.Y.Y.Y.Y.Y.Y.Y.Y y; }} static void Main() {{ }} }} // {number}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_for_the_compiler_is_bounded_and_the_next_task_is_compiled() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    let generics = bomb(0);
    let nested = format!("return {}1{};", "(".repeat(100_000), ")".repeat(100_000));
    let long = format!("return 1{};", " + args.Length".repeat(70_000));
    for bomb in [&generics, &nested, &long] {
        // The second time it is known.
        for most_seconds in [25.0, 2.0] {
            let begun = Instant::now();
            let task = bench
                .run(json!({"name": "csharp", "input": {"code": bomb}, "max_retries": 2, "ttl_seconds": 60}))
                .await;
            let message = error(&task);
            assert!(message.starts_with("CompileError: "), "{message}");
            assert_eq!(task.life.attempt, 1);
            assert!(begun.elapsed().as_secs_f64() < most_seconds, "{:?}", begun.elapsed());
        }
        assert_eq!(output(&bench.run_csharp("2 + 2").await)["result"], 4);
    }
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_expires_while_it_is_compiled_does_not_wait_for_the_compiler() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    // The server has started.
    output(&bench.run_csharp("1").await);
    let begun = Instant::now();
    let task = bench
        .run(json!({"name": "csharp", "input": {"code": bomb(0)}, "ttl_seconds": 1}))
        .await;
    assert!(error(&task).starts_with("Expired: "), "{}", error(&task));
    assert!(begun.elapsed().as_secs_f64() < 4.0, "{:?}", begun.elapsed());
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compilations_of_attempts_that_have_ended_are_not_done() {
    const AT_A_TIME: usize = 8;
    let concurrency = AT_A_TIME.to_string();
    let bench = Bench::csharp(&[("worker.concurrency", concurrency.as_str())]).await;
    let worker = bench.worker().await;
    // The server has started.
    output(&bench.run_csharp("1").await);
    for round in 0..3 {
        let mut waiting = Vec::new();
        for number in 0..AT_A_TIME {
            let input = json!({"code": bomb(round * AT_A_TIME + number)});
            let task = json!({"name": "csharp", "input": input, "ttl_seconds": 1});
            waiting.push(bench.create(task).await);
        }
        for task in waiting {
            let ended = bench.ended(task).await;
            assert!(error(&ended).starts_with("Expired: "), "{}", error(&ended));
        }
    }
    let begun = Instant::now();
    assert_eq!(output(&bench.run_csharp("3 + 4").await)["result"], 7);
    // One of them had the compiler, and a new one takes its place.
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_a_megabyte_is_compiled() {
    let bench = Bench::csharp(&[]).await;
    let worker = bench.worker().await;
    let code = format!("{}return 1;", "// a line of words that mean nothing\n".repeat(27_000));
    assert!(code.len() > 990_000);
    assert_eq!(output(&bench.run_csharp(&code).await)["result"], 1);
    worker.stopped().await;
}
