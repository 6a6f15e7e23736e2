//! A task has the user of the process that runs it, and must not get at the passwords of that process.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use orchestratum_testkit::{Broker, Cluster, Database};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// Says of every process above it whether it can be looked into.
pub(crate) const LOOK_UP: &str = r#"
process=$$
while process=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$process/status") && [ "$process" -gt 1 ]; do
    for part in environ mem; do
        if (: < "/proc/$process/$part") 2> /dev/null; then state=open; else state=closed; fi
        echo "$part of $process is $state"
    done
done
env
"#;

/// What [`LOOK_UP`] must have said about the process that ran it.
#[track_caller]
pub(crate) fn assert_closed(task: &Value, process: u32) {
    let said = task["output"]["stdout"].as_str().unwrap_or_default();
    for part in ["environ", "mem"] {
        assert!(said.contains(&format!("{part} of {process} is closed\n")), "{task}");
    }
    // Of the shim between them it is open, and empty: so what keeps the other one closed is not the place of the test.
    let mut opened = said.lines().filter(|line| line.starts_with("environ of "));
    assert!(opened.any(|line| line.ends_with(" is open")), "{task}");
    for name in ["ORCHESTRATUM__", "DATABASE", "AMQP", "BROKER"] {
        assert!(!said.contains(name), "{name} is in the environment of a task: {task}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_cannot_look_into_the_process_that_runs_it() -> anyhow::Result<()> {
    for (database, broker) in [(Database::Postgres, Broker::Rabbit), (Database::Sqlite, Broker::None)] {
        let builder = Cluster::builder().database(database).broker(broker).as_ordinary_user();
        // Where nothing else stands between them.
        let cluster = builder.setting("WORKER__ISOLATION", "off").start().await?;
        let look = json!({"name": "shell", "input": {"script": LOOK_UP}});
        let id = cluster.api.create(&look).await?;
        let task = cluster.api.until(&id, "Completed", PATIENCE).await;
        let runs_it = cluster.workers.first().unwrap_or(&cluster.api_process);
        assert_closed(&task, runs_it.pid());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interpreter_that_is_asked_for_its_version_is_told_no_password() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (wrapper, told) = (folder.path().join("python"), folder.path().join("told"));
    let script = format!("#!/bin/sh\nenv > '{}'\nexec python3 \"$@\"\n", told.display());
    fs::write(&wrapper, script)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let python = wrapper.display().to_string();
    let builder = Cluster::builder().broker(Broker::None);
    // A worker lives only once it knows what it offers.
    let _cluster = builder.setting("WORKER__PYTHON", &python).start().await?;
    let told = fs::read_to_string(told)?;
    assert!(told.contains("PATH="), "{told}");
    assert!(!told.contains("ORCHESTRATUM"), "{told}");
    Ok(())
}
