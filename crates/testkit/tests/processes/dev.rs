//! One command on SQLite, as a newcomer starts it: `orchestratum dev --demo`, and the same binary as a client.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::Duration;

use orchestratum_testkit::{Process, Start, binary, eventually_within};

use crate::secrets;

const PATIENCE: Duration = Duration::from_secs(30);

struct Dev {
    process: Process,
    folder: tempfile::TempDir,
    url: String,
    key: String,
}

async fn start(arguments: &[&str]) -> anyhow::Result<Dev> {
    start_by(Process::start, arguments).await
}

async fn start_by(start: Start, arguments: &[&str]) -> anyhow::Result<Dev> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data").display().to_string();
    let environment = BTreeMap::from([
        ("ORCHESTRATUM_CONFIG_DIR".to_owned(), data.clone()),
        (
            "ORCHESTRATUM__LOGS__DIR".to_owned(),
            folder.path().join("logs").display().to_string(),
        ),
    ]);
    let mut all = vec!["dev", "--listen", "127.0.0.1:0", "--data", &data];
    all.extend(arguments);
    let process = start(&binary("orchestratum")?, &all, &environment, folder.path().join("out"))?;
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
    Ok(Dev {
        process,
        folder,
        url,
        key,
    })
}

impl Dev {
    fn client(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(binary("orchestratum")?);
        command
            .args(arguments)
            .env("ORCHESTRATUM_URL", &self.url)
            .env("ORCHESTRATUM_KEY", &self.key);
        Ok(command.output()?)
    }
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_samples_end_as_they_say() -> anyhow::Result<()> {
    let mut dev = start(&["--demo"]).await?;
    let output = eventually_within(PATIENCE, "the samples are done", || async {
        let output = dev.process.output();
        if output.contains("The samples are done") {
            Ok(output)
        } else {
            Err(output)
        }
    })
    .await;
    for line in [
        "Completed   echo answers its input: {\"hello\":\"world\"}",
        "Completed   python runs main(input): {\"result\":6,",
        "Completed   shell runs a script: ",
        "Failed      a failing attempt is retried: after 2 attempt(s)",
        "Expired     an endless loop ends with its time-to-live: after 1 attempt(s)",
    ] {
        assert!(output.contains(line), "{line}\n--- in ---\n{output}");
    }
    let data = std::fs::metadata(dev.folder.path().join("data"))?;
    assert_eq!(data.permissions().mode() & 0o777, 0o700, "the data is its user's alone");
    let logs = std::fs::read_dir(dev.folder.path().join("logs"))?.count();
    assert_eq!(logs, 1, "a log file for today");
    let status = dev.process.stop(PATIENCE).await?;
    assert!(status.success(), "{status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_binary_is_a_client() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    let input = r#"{"code": "print(6 * 7)"}"#;
    let created = dev.client(&[
        "tasks",
        "create",
        "python",
        "--input",
        input,
        "--label",
        "team=billing",
        "--wait",
        "20",
    ])?;
    assert!(created.status.success(), "{}", text(&created));
    let task: serde_json::Value = serde_json::from_slice(&created.stdout)?;
    assert_eq!(
        (&task["status"], &task["output"]["stdout"]),
        (&"Completed".into(), &"42\n".into())
    );
    let id = task["id"].as_str().unwrap_or_default();

    for arguments in [
        vec!["tasks", "list", "--label", "team=billing"],
        vec!["tasks", "attempts", id],
        vec!["tasks", "logs", id],
        vec!["tasks", "why", id],
        vec!["tasks", "stats"],
        vec!["workers"],
        vec!["queues"],
        vec!["keys", "create", "ci", "--scope", "tasks:read"],
        vec!["keys", "list"],
        vec!["queues", "pause", "default"],
        vec!["queues", "resume", "default"],
    ] {
        let output = dev.client(&arguments)?;
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    }
    let listed = text(&dev.client(&["tasks", "list", "--label", "team=billing"])?);
    assert!(listed.contains(id), "{listed}");

    let refused = dev.client(&["tasks", "create", "no spaces"])?;
    assert!(!refused.status.success());
    assert!(
        text(&refused).contains("/name: must match [A-Za-z0-9._-]{1,100}"),
        "{}",
        text(&refused)
    );
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

    let mut doctor = Command::new(binary("orchestratum")?);
    doctor.args(["doctor", "--data", &data]);
    let output = doctor.output()?;
    assert!(output.status.success(), "{}", text(&output));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_tasks_cannot_look_into_it() -> anyhow::Result<()> {
    let dev = start_by(Process::start_as_ordinary_user, &[]).await?;
    let input = serde_json::json!({"script": secrets::LOOK_UP}).to_string();
    let created = dev.client(&["tasks", "create", "shell", "--input", &input, "--wait", "20"])?;
    assert!(created.status.success(), "{}", text(&created));
    let task: serde_json::Value = serde_json::from_slice(&created.stdout)?;
    secrets::assert_closed(&task, dev.process.pid());
    Ok(())
}
