//! How long a task takes from the moment it was created, beside what a compiler and a runtime take that are started for it.

use std::process::Command;
use std::time::Duration;

use orchestratum_core::task::TaskState;
use orchestratum_store::Task;
use tokio::time::Instant;

use crate::support::{Bench, output};

const TASKS: usize = 15;

fn took(task: &Task) -> Duration {
    match &task.life.state {
        TaskState::Completed { finished_at } => finished_at.saturating_since(task.spec.created_at),
        _ => panic!("{task:?}"),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// A folder that is called like a version.
fn version_in(folder: &str) -> String {
    let mut entries = std::fs::read_dir(folder).expect("it is there").flatten();
    let version = entries.next().expect("it has one").file_name();
    format!("{folder}/{}", version.to_string_lossy())
}

/// The compiler's command and then the program, each in a process of its own.
fn cold(runtime: &str, folder: &std::path::Path) -> Duration {
    let begun = Instant::now();
    let framework = version_in(&format!("{runtime}/shared/Microsoft.NETCore.App"));
    let compiler = format!("{}/Roslyn/bincore/csc", version_in(&format!("{runtime}/sdk")));
    let dotnet = || {
        let mut command = Command::new(format!("{runtime}/dotnet"));
        command.current_dir(folder);
        command
    };
    std::fs::write(folder.join("a.cs"), "System.Console.WriteLine(1 + 2);").expect("written");
    std::fs::copy(
        format!("{compiler}.runtimeconfig.json"),
        folder.join("a.runtimeconfig.json"),
    )
    .expect("copied");
    let mut compile = dotnet();
    compile.args([
        &format!("{compiler}.dll"),
        "-nologo",
        "-noconfig",
        "-nostdlib+",
        "-out:a.dll",
    ]);
    for library in ["System.Private.CoreLib", "System.Runtime", "System.Console"] {
        compile.arg(format!("-r:{framework}/{library}.dll"));
    }
    let compiled = compile.arg("a.cs").output().expect("it starts");
    assert!(compiled.status.success(), "{compiled:?}");
    let ran = dotnet().arg("a.dll").output().expect("it starts");
    assert_eq!(ran.stdout, b"3\n");
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_takes_a_fifth_of_what_a_compiler_and_a_runtime_of_its_own_would() {
    let runtime = std::env::var("CSHARP_RUNTIME").expect("`cargo xtask test` sets it");
    let folder = tempfile::tempdir().expect("a folder");
    let bench = Bench::csharp(&[("worker.isolation", "full")]).await;
    let worker = bench.worker().await;
    // Whatever is only there after the first few.
    for number in 0..10 {
        output(&bench.run_csharp(&format!("{number} + args.Length")).await);
    }
    let (mut kept, mut new, mut colds) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..TASKS {
        kept.push(took(&bench.run_csharp("1 + args.Length").await));
        let code = format!("var numbers = new[] {{ {number}, 1 }};\nreturn numbers.Select(x => x + 1).Sum();");
        new.push(took(&bench.run_csharp(&code).await));
        if number % 5 == 0 {
            colds.push(cold(&runtime, folder.path()));
        }
    }
    let (kept, new, cold) = (median(kept), median(new), median(colds));
    println!("compiled before {kept:?}, new {new:?}, cold {cold:?}");
    assert!(
        kept * 5 < cold && new * 5 < cold,
        "compiled before {kept:?}, new {new:?}, cold {cold:?}"
    );
    worker.stopped().await;
}
