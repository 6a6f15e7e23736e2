//! One command on SQLite, as a newcomer starts it: `orchestratum dev --demo`, and the same binary as a client.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use orchestratum_testkit::{Process, Start, binary, eventually_within};
use serde_json::Value;

use crate::secrets;

const PATIENCE: Duration = Duration::from_secs(30);

/// So many arguments stand before those that a test gives.
const SAME_FOR_ALL: usize = 5;

/// Where a worker keeps what it compiles of its own: the same for all tests, which need it compiled once.
pub(crate) const CSHARP_CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/csharp-tools");

/// The folder of a `dotnet` with an SDK.
pub(crate) fn csharp_runtime() -> String {
    std::env::var("CSHARP_RUNTIME").expect("these tests need a runtime of C#: run `cargo xtask test`, which brings one")
}

/// A running `orchestratum dev`, and how it was started.
pub(crate) struct Dev {
    pub(crate) process: Process,
    pub(crate) url: String,
    pub(crate) key: String,
    pub(crate) folder: tempfile::TempDir,
    start: Start,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

pub(crate) async fn start(arguments: &[&str]) -> anyhow::Result<Dev> {
    start_by(Process::start, arguments, &[]).await
}

/// `settings` are pairs of `SECTION__KEY` and value.
pub(crate) async fn start_by(start: Start, arguments: &[&str], settings: &[(&str, &str)]) -> anyhow::Result<Dev> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data").display().to_string();
    let mut environment = environment(folder.path());
    environment.extend(
        settings
            .iter()
            .map(|(key, value)| (format!("ORCHESTRATUM__{key}"), (*value).to_owned())),
    );
    let same: [&str; SAME_FOR_ALL] = ["dev", "--listen", "127.0.0.1:0", "--data", &data];
    let all: Vec<String> = same
        .iter()
        .chain(arguments)
        .map(|argument| (*argument).to_owned())
        .collect();
    let (process, url, key) = serving(start, &all, &environment, folder.path()).await?;
    Ok(Dev {
        process,
        url,
        key,
        folder,
        start,
        arguments: all,
        environment,
    })
}

pub(crate) fn environment(folder: &Path) -> BTreeMap<String, String> {
    let entry = |name: &str, path: &str| (name.to_owned(), folder.join(path).display().to_string());
    BTreeMap::from([
        entry("ORCHESTRATUM_CONFIG_DIR", "data"),
        entry("ORCHESTRATUM__LOGS__DIR", "logs"),
        // Those tests that want one bring one along, and this machine may have another.
        entry("ORCHESTRATUM__WORKER__CSHARP", "no-dotnet"),
    ])
}

/// Waits until it says where it is: the process, its address, its key.
async fn serving(
    start: Start,
    arguments: &[String],
    environment: &BTreeMap<String, String>,
    folder: &Path,
) -> anyhow::Result<(Process, String, String)> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let process = start(&binary("orchestratum")?, &arguments, environment, folder.join("out"))?;
    let after = |output: &str, label: &str| {
        let rest = output.split_once(label)?.1;
        rest.split_whitespace().next().map(str::to_owned)
    };
    let (url, key) = eventually_within(PATIENCE, "it says where it is", || async {
        let output = process.output();
        after(&output, "\n  API  ")
            .zip(after(&output, "\n  API key  "))
            .ok_or(output)
    })
    .await;
    Ok((process, url, key))
}

impl Dev {
    pub(crate) fn client(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(binary("orchestratum")?);
        command
            .args(arguments)
            .env("ORCHESTRATUM_URL", &self.url)
            .env("ORCHESTRATUM_KEY", &self.key);
        Ok(command.output()?)
    }

    /// What the client prints as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let output = self.client(arguments)?;
        assert!(output.stdout.ends_with(b"\n"), "{arguments:?}: {}", text(&output));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Starts another process on the same data when this one has ended, with other options.
    pub(crate) async fn start_again(&mut self, options: &[&str]) -> anyhow::Result<()> {
        self.arguments.truncate(SAME_FOR_ALL);
        self.arguments.extend(options.iter().map(|option| (*option).to_owned()));
        self.serve().await
    }

    /// Kills the process and starts another one like it.
    async fn kill_and_start_again(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.serve().await
    }

    async fn serve(&mut self) -> anyhow::Result<()> {
        let folder = self.folder.path();
        (self.process, self.url, self.key) = serving(self.start, &self.arguments, &self.environment, folder).await?;
        Ok(())
    }
}

pub(crate) fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What it prints until the samples are done.
async fn samples(dev: &Dev) -> String {
    eventually_within(PATIENCE, "the samples are done", || async {
        let output = dev.process.output();
        if output.contains("The samples are done") {
            Ok(output)
        } else {
            Err(output)
        }
    })
    .await
}

#[track_caller]
fn assert_sample(output: &str, status: &str, name: &str, says: &str) {
    let is_it = |line: &str| {
        let mut words = line.split_whitespace();
        words.next() == Some(status) && words.next() == Some(name) && line.contains(says)
    };
    assert!(
        output.lines().any(is_it),
        "{status} {name} {says}\n--- in ---\n{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_end_as_they_say() -> anyhow::Result<()> {
    let runtime = csharp_runtime();
    let csharp = [
        ("WORKER__CSHARP", runtime.as_str()),
        ("WORKER__CSHARP_CACHE", CSHARP_CACHE),
    ];
    let mut dev = start_by(Process::start, &["--demo"], &csharp).await?;
    let output = samples(&dev).await;
    for (status, name, says) in [
        ("Completed", "echo", "answers its input: {\"hello\":\"world\"}"),
        ("Completed", "python", "runs main(input): {\"result\":6,"),
        (
            "Completed",
            "csharp",
            "compiles and runs statements: {\"result\":{\"real\":4,\"Roslyn\":6},",
        ),
        (
            "Failed",
            "csharp",
            "says where code is wrong: CompileError after 1 attempt: main.cs(2,8): error CS0103: ",
        ),
        ("Completed", "shell", "runs a script: {\"stdout\":\"hello from "),
        (
            "Failed",
            "python",
            "a failing attempt is retried: Failed after 2 attempts: ValueError: always wrong",
        ),
        (
            "Failed",
            "python",
            "a task that takes too much memory is ended: OutOfMemory after 1 attempt: ",
        ),
        (
            "Failed",
            "http",
            "may not call this machine: Failed after 1 attempt: the host `127.0.0.1:80` is refused: ",
        ),
        (
            "Completed",
            "echo",
            "one task follows a group of three, with all their outputs: \"3 pages have 255 words\"",
        ),
        (
            "Expired",
            "python",
            "an endless loop ends with its time-to-live: Expired after 1 attempt: ",
        ),
    ] {
        assert_sample(&output, status, name, says);
    }
    let data = std::fs::metadata(dev.folder.path().join("data"))?;
    assert_eq!(data.permissions().mode() & 0o777, 0o700, "the data is its user's alone");
    let logs = std::fs::read_dir(dev.folder.path().join("logs"))?.collect::<Result<Vec<_>, _>>()?;
    let is_log = |file: &&std::fs::DirEntry| file.path().extension().is_some_and(|end| end == "log");
    assert_eq!(logs.iter().filter(is_log).count(), 1, "a log file for today");
    assert_eq!(services(&dev)?, ["Left"], "they serve no longer than the samples last");
    let status = dev.process.stop(PATIENCE).await?;
    assert!(status.success(), "{status}");
    Ok(())
}

/// How the workers stand that do the work of the orders.
fn services(dev: &Dev) -> anyhow::Result<Vec<String>> {
    let workers = dev.json(&["workers", "--json"])?;
    let workers = workers["items"].as_array().into_iter().flatten();
    let services = workers.filter(|worker| worker["name"] == "the services of the demo");
    Ok(services
        .map(|worker| worker["state"].as_str().unwrap_or_default().to_owned())
        .collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_stopped_amid_the_samples_leaves_no_worker_that_seems_to_serve() -> anyhow::Result<()> {
    let mut dev = start(&["--demo"]).await?;
    eventually_within(PATIENCE, "they serve", || async {
        let services = services(&dev).expect("it is asked");
        if services == ["Live"] { Ok(()) } else { Err(services) }
    })
    .await;
    let status = dev.process.stop(PATIENCE).await?;
    assert!(status.success(), "{status}");
    assert!(
        !dev.process.output().contains("The samples are done"),
        "it was amid them"
    );
    dev.start_again(&[]).await?;
    assert_eq!(services(&dev)?, ["Left"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_that_this_machine_cannot_run_says_what_is_missing() -> anyhow::Result<()> {
    let dev = start(&["--demo"]).await?;
    let output = samples(&dev).await;
    let missing: Vec<&str> = output.lines().filter(|line| line.starts_with("  not run ")).collect();
    assert!(
        matches!(missing[..], [line] if line.contains("csharp") && line.contains("no-dotnet: No such file")),
        "{output}"
    );
    assert_sample(&output, "Completed", "shell", "hello from ");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_file_is_refused_and_told_who_owns_it() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    let data = dev.folder.path().join("data").display().to_string();
    let mut second = Command::new(binary("orchestratum")?);
    let output = second
        .args(["dev", "--listen", "127.0.0.1:0", "--data", &data])
        .current_dir(dev.folder.path())
        .output()?;
    assert!(!output.status.success());
    assert!(
        text(&output).contains(&dev.process.pid().to_string()),
        "{}",
        text(&output)
    );

    assert!(text(&output).contains("--data"), "{}", text(&output));

    let mut doctor = Command::new(binary("orchestratum")?);
    doctor.args(["doctor", "--data", &data]);
    let output = doctor.output()?;
    let said = text(&output);
    assert!(
        output.status.success() && said.contains("with a bootstrap key"),
        "{said}"
    );
    Ok(())
}

#[test]
fn a_start_on_a_taken_port_says_what_to_do_and_leaves_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let held = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = held.local_addr()?.to_string();
    let data = folder.path().join("new/data");
    let output = Command::new(binary("orchestratum")?)
        .args(["dev", "--listen", &taken, "--data", &data.display().to_string()])
        .envs(environment(folder.path()))
        .output()?;
    assert!(!output.status.success());
    let said = text(&output);
    assert!(said.contains(&taken) && said.contains("--listen 127.0.0.1:0"), "{said}");
    assert!(!folder.path().join("new").exists(), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_ran_runs_again_in_the_next_one_without_waiting_for_the_lease() -> anyhow::Result<()> {
    let mut dev = start_by(Process::start, &[], &[("WORKER__LEASE_SECONDS", "600")]).await?;
    let input = r#"{"command": "sleep 600"}"#;
    let created = dev.json(&["tasks", "create", "shell", "--input", input])?;
    let id = created["id"].as_str().unwrap_or_default().to_owned();
    let until_running = async |dev: &Dev, attempt: u32| {
        eventually_within(PATIENCE, &format!("attempt {attempt} runs"), || async {
            let task = dev.json(&["tasks", "get", &id]).map_err(|error| error.to_string())?;
            if task["status"] == "InProgress" && task["attempt"] == attempt {
                Ok(())
            } else {
                Err(task.to_string())
            }
        })
        .await;
    };
    until_running(&dev, 1).await;
    dev.kill_and_start_again().await?;
    until_running(&dev, 2).await;
    let attempts = dev.json(&["tasks", "attempts", &id, "--json"])?;
    assert_eq!(attempts["items"][0]["outcome"], "Lost", "{attempts}");
    Ok(())
}

/// As on a machine whose administrator is sparing.
fn start_with_few_files(
    binary: &Path,
    arguments: &[&str],
    environment: &BTreeMap<String, String>,
    log: PathBuf,
) -> anyhow::Result<Process> {
    let binary = binary.display().to_string();
    let mut all = vec!["-c", r#"ulimit -n 300 && exec "$@""#, "sh", &binary];
    all.extend(arguments);
    Process::start(Path::new("/bin/sh"), &all, environment, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_files_below_that_of_connections_is_told_at_the_start() -> anyhow::Result<()> {
    let dev = start_by(start_with_few_files, &[], &[]).await?;
    let output = dev.process.output();
    assert!(
        output.contains("may have 300 files open, and api.max_connections = 4096 needs"),
        "{output}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_tasks_cannot_look_into_it() -> anyhow::Result<()> {
    // Where nothing else stands between them.
    let without_walls = [("WORKER__ISOLATION", "off")];
    let dev = start_by(Process::start_as_ordinary_user, &[], &without_walls).await?;
    let input = serde_json::json!({"script": secrets::LOOK_UP}).to_string();
    let created = dev.client(&["tasks", "create", "shell", "--input", &input, "--wait", "20"])?;
    assert!(created.status.success(), "{}", text(&created));
    let task: Value = serde_json::from_slice(&created.stdout)?;
    secrets::assert_closed(&task, dev.process.pid());
    Ok(())
}
