//! The command line client, against a running `orchestratum dev`.

use std::process::Command;

use orchestratum_testkit::{binary, eventually};
use serde_json::{Value, json};

use crate::dev::{start, text};

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
    let task: Value = serde_json::from_slice(&created.stdout)?;
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
        vec!["tasks", "tree", id],
        vec!["tasks", "stats"],
        vec!["workers"],
        vec!["queues"],
        vec!["queues", "list"],
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

    let next = r#"{"name": "echo", "input": "${ output.stdout }"}"#;
    let followed = dev.json(&[
        "tasks",
        "create",
        "python",
        "--input",
        input,
        "--on-success",
        next,
        "--wait",
        "20",
    ])?;
    assert_eq!(followed["on_success"][0]["name"], "echo");
    let root = followed["id"].as_str().unwrap_or_default();
    let drawn = text(&dev.client(&["tasks", "tree", root])?);
    assert!(
        drawn.contains("python Completed") && drawn.contains("└─ on_success: echo "),
        "{drawn}"
    );

    let refused = dev.client(&["tasks", "create", "no spaces"])?;
    assert!(!refused.status.success());
    assert!(
        text(&refused).contains("/name: must match [A-Za-z0-9._-]{1,100}"),
        "{}",
        text(&refused)
    );
    Ok(())
}

const APPROVAL: &str = "
name: approval
initial: Initial
states:
  Initial:
    on:
      start:
        tasks: [{name: echo, input: \"${ input }\", raises: {success: greeted, failure: failed}}]
        target: Greeting
  Greeting:
    on:
      greeted: {set: {greeting: \"${ event.data }\"}, target: Asking}
      failed: {target: Failed}
  Asking:
    await_input: {event: approved, prompt: \"Is it right?\", schema: {type: object, required: [ok]}}
    on:
      approved:
        - {if: event.data.ok, target: Completed}
        - {target: Failed}
  Completed: {final: true}
  Failed: {final: failed}
";

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_is_defined_started_answered_and_read_from_the_command_line() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("approval.yaml");
    std::fs::write(&file, APPROVAL)?;
    let file = file.to_str().unwrap_or_default();
    assert_eq!(dev.json(&["definitions", "put", file, "--json"])?["version"], 1);
    let shown = text(&dev.client(&["definitions", "show", "approval"])?);
    assert!(shown.contains("prompt: \"Is it right?\""), "as it was written: {shown}");
    let drawn = text(&dev.client(&["definitions", "diagram", "approval"])?);
    assert!(drawn.starts_with("stateDiagram-v2"), "{drawn}");

    let started = dev.client(&[
        "sagas",
        "start",
        "approval",
        "--correlation-id",
        "a-1",
        "--input",
        r#"{"to": "all"}"#,
        "--wait",
        "20",
    ])?;
    assert_eq!(
        started.status.code(),
        Some(5),
        "it waits for somebody: {}",
        text(&started)
    );
    let saga: Value = serde_json::from_slice(&started.stdout)?;
    assert_eq!(
        (&saga["status"], &saga["awaiting"]["event"]),
        (&json!("AwaitingInput"), &json!("approved"))
    );
    let id = saga["id"].as_str().unwrap_or_default();
    let listed = text(&dev.client(&["sagas", "list", "--correlation-id", "a-1", "--status", "AwaitingInput"])?);
    assert!(listed.contains(id), "{listed}");
    let refused = dev.client(&["sagas", "input", id, "{}"])?;
    assert!(
        !refused.status.success() && text(&refused).contains("/data"),
        "{}",
        text(&refused)
    );
    let refused = dev.client(&["sagas", "event", id, "greeted"])?;
    assert!(text(&refused).contains("it takes approved"), "{}", text(&refused));
    std::fs::write(file, APPROVAL.replace("Asking", "Questioning"))?;
    assert_eq!(dev.json(&["definitions", "put", file, "--json"])?["version"], 2);
    let refused = text(&dev.client(&["sagas", "migrate", id])?);
    assert!(refused.contains("/states/Asking"), "{refused}");
    let migrated = dev.json(&["sagas", "migrate", id, "--state", "Asking=Questioning"])?;
    assert_eq!(migrated["saga"]["definition_version"], 2);
    let version = migrated["saga"]["version"].to_string();
    let answered = dev.json(&["sagas", "input", id, r#"{"ok": false}"#, "--if-match", &version])?;
    assert_eq!(answered["status"], "Failed");
    let waited = dev.client(&["sagas", "wait", id, "--for", "20"])?;
    assert_eq!(waited.status.code(), Some(3), "{}", text(&waited));
    let history = text(&dev.client(&["sagas", "history", id])?);
    assert!(
        history.contains("echo > greeted") && history.contains("succeeded") && history.contains("approved"),
        "{history}"
    );

    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_is_published_to_and_cancelled_and_a_wrong_definition_is_refused_from_the_command_line()
-> anyhow::Result<()> {
    let dev = start(&[]).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("approval.yaml");
    std::fs::write(&file, APPROVAL)?;
    dev.json(&["definitions", "put", file.to_str().unwrap_or_default(), "--json"])?;
    let published = dev.json(&[
        "sagas",
        "publish",
        "start",
        "--definition",
        "approval",
        "--correlation-id",
        "a-2",
        "--event-id",
        "e-1",
    ])?;
    let second = published["started"][0]["id"].as_str().unwrap_or_default();
    let waiting = dev.client(&["sagas", "wait", second])?;
    assert_eq!(waiting.status.code(), Some(5), "{}", text(&waiting));
    assert_eq!(
        dev.json(&["sagas", "cancel", second, "--reason", "enough"])?["status"],
        "Cancelled"
    );
    assert_eq!(dev.json(&["sagas", "show", second])?["state"], "Asking");
    let none = text(&dev.client(&["sagas", "compensations", second])?);
    assert_eq!(none.trim(), "no compensations");

    std::fs::write(
        folder.path().join("wrong.yaml"),
        APPROVAL.replace("target: Asking", "target: Aksing"),
    )?;
    let wrong = folder.path().join("wrong.yaml");
    let refused = text(&dev.client(&["definitions", "put", wrong.to_str().unwrap_or_default()])?);
    let again = text(&dev.client(&["definitions", "put", file.to_str().unwrap_or_default()])?);
    assert!(again.ends_with("approval is version 1\n"), "{again}");
    assert!(
        refused.contains("wrong.yaml:12:") && refused.contains("did you mean Asking?"),
        "{refused}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_may_not_read_sagas_waits_for_the_one_that_it_starts() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("approval.yaml");
    std::fs::write(&file, APPROVAL)?;
    dev.json(&["definitions", "put", file.to_str().unwrap_or_default(), "--json"])?;
    let starter = dev.json(&["keys", "create", "starter", "--scope", "sagas:write"])?;
    let starter = starter["key"].as_str().unwrap_or_default();
    let arguments = ["sagas", "start", "approval", "--wait", "20", "--key", starter];
    let started = dev.client(&arguments)?;
    assert_eq!(started.status.code(), Some(5), "{}", text(&started));
    let clock = text(&dev.client(&["clock"])?);
    assert!(clock.contains("this server has no manual clock"), "{clock}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_made_watched_changed_and_deleted_from_the_command_line() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    let task = r#"{"name": "echo", "input": "${ schedule.slot }"}"#;
    let options = "--cron 30_2_*_*_* --time-zone Europe/Berlin --overlap queue --misfire skip --jitter 0.5 --paused \
                   --start-at 2026-01-01T00:00:00Z --end-at 2099-01-01T00:00:00Z --idempotency-key once";
    let options: Vec<String> = options.split_whitespace().map(|word| word.replace('_', " ")).collect();
    let mut arguments = vec!["schedules", "create", "nightly", "--task", task];
    arguments.extend(options.iter().map(String::as_str));
    let made = dev.json(&arguments)?;
    assert_eq!(dev.json(&arguments)?["id"], made["id"], "the same key again");
    let expected = json!({
        "name": "nightly", "cron": "30 2 * * *", "time_zone": "Europe/Berlin", "overlap": "queue", "misfire": "skip",
        "jitter_seconds": 0.5, "paused": true, "start_at": "2026-01-01T00:00:00Z", "end_at": "2099-01-01T00:00:00Z"
    });
    for (field, value) in expected.as_object().into_iter().flatten() {
        assert_eq!(made[field], *value, "{field}");
    }
    let id = made["id"].as_str().unwrap_or_default();
    assert_eq!(dev.json(&["schedules", "resume", id])?["paused"], false);
    let patched = dev.json(&["schedules", "patch", id, r#"{"cron": "@hourly"}"#, "--if-match", "2"])?;
    assert_eq!((&patched["cron"], &patched["version"]), (&json!("@hourly"), &json!(3)));
    let triggered = dev.json(&["schedules", "trigger", id])?;
    assert_eq!(triggered["schedule_id"], made["id"]);
    let task = triggered["id"].as_str().unwrap_or_default();
    dev.json(&["tasks", "get", task, "--wait", "20"])?;
    assert_eq!(dev.json(&["schedules", "get", id])?["last_task_status"], "Completed");
    let listed = text(&dev.client(&["tasks", "list", "--schedule-id", id])?);
    assert!(listed.contains(task), "{listed}");
    let listed = text(&dev.client(&["schedules", "list", "--name", "nightly"])?);
    assert!(listed.contains(id) && listed.contains("@hourly"), "{listed}");
    assert_eq!(dev.json(&["schedules", "pause", id])?["next_at"], Value::Null);
    let deleted = dev.client(&["schedules", "delete", id])?;
    assert!(
        deleted.status.success() && text(&deleted).is_empty(),
        "{}",
        text(&deleted)
    );

    // It fires by itself, too.
    let ticking = dev.json(&[
        "schedules",
        "create",
        "ticks",
        "--cron",
        "* * * * * *",
        "--task",
        r#"{"name": "echo"}"#,
    ])?;
    let id = ticking["id"].as_str().unwrap_or_default();
    eventually("a slot has become a task", || async {
        let ticking = dev.json(&["schedules", "get", id]).map_err(|error| error.to_string())?;
        if ticking["last_slot"].is_string() {
            Ok(())
        } else {
            Err(ticking.to_string())
        }
    })
    .await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_a_task_can_be_given_and_a_repeated_command_makes_no_second_task() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    // An id that is free, and as young as the rule wants it.
    let id = dev.json(&["tasks", "create", "echo", "--target", "nobody"])?["id"].clone();
    let id = id.as_str().unwrap_or_default();
    let cancelled = dev.client(&["tasks", "cancel", id])?;
    assert!(cancelled.status.success(), "{}", text(&cancelled));
    let deleted = dev.client(&["tasks", "delete", id])?;
    assert!(
        deleted.status.success() && text(&deleted).is_empty(),
        "{}",
        text(&deleted)
    );

    let all = "--target nobody --description d --priority 3 --ttl 60 --timeout 5.5 --max-retries 2 --max-losses 0 \
               --backoff exponential:0.5:60:no-jitter --delay 30 --label a=b --memory-mb 64 --cpu-seconds 5 --disk-mb 7 --processes 8 \
               --idempotency-key once --input 1";
    let mut arguments = vec!["tasks", "create", "echo", "--id", id];
    arguments.extend(all.split_whitespace());
    let task = dev.json(&arguments)?;
    let expected = json!({
        "id": id, "target": "nobody", "description": "d", "priority": 3, "ttl_seconds": 60, "timeout_seconds": 5.5,
        "max_retries": 2, "max_losses": 0, "labels": {"a": "b"}, "input": 1,
        "backoff": {"kind": "exponential", "delay_seconds": 0.5, "max_delay_seconds": 60.0, "jitter": false},
        "limits": {"memory_mb": 64, "cpu_seconds": 5, "disk_mb": 7, "processes": 8}
    });
    for (field, value) in expected.as_object().into_iter().flatten() {
        assert_eq!(&task[field], value, "{field}: {task}");
    }
    assert_eq!(dev.json(&arguments)?["id"], id, "it is the same task again");

    let stale = dev.client(&["tasks", "patch", id, r#"{"priority": 4}"#, "--if-match", "99"])?;
    assert!(
        !stale.status.success() && text(&stale).contains("412"),
        "{}",
        text(&stale)
    );
    let version = task["version"].to_string();
    let patched = dev.json(&["tasks", "patch", id, r#"{"priority": 4}"#, "--if-match", &version])?;
    assert_eq!(patched["priority"], 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_status_tells_how_a_task_ended_that_was_waited_for() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    let status = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        dev.client(&arguments).map(|output| output.status.code())
    };
    assert_eq!(status("tasks create echo --wait 20")?, Some(0));
    assert_eq!(
        status(r#"tasks create shell --input {"command":"false"} --wait 20"#)?,
        Some(3)
    );
    assert_eq!(status("tasks create echo --target nobody --wait 0.2")?, Some(4));
    assert_eq!(status("tasks create echo --wait soon")?, Some(2));
    let failed = dev.json(&["tasks", "list", "--status", "Failed", "--json"])?;
    let id = failed["items"][0]["id"].as_str().unwrap_or_default();
    assert_eq!(status(&format!("tasks get {id} --wait 1"))?, Some(3));
    assert_eq!(status(&format!("tasks get {id}"))?, Some(0), "nobody waited");
    let retried = format!(r#"tasks retry {id} --input {{"command":"true"}} --memory-mb 512 --wait 20"#);
    assert_eq!(status(&retried)?, Some(0));
    assert_eq!(dev.json(&["tasks", "get", id])?["limits"], json!({"memory_mb": 512}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_options_of_the_client_go_before_and_behind_its_commands() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    let (url, key) = (dev.url.as_str(), dev.key.as_str());
    for arguments in [
        vec!["--url", url, "--key", key, "--json", "tasks", "list"],
        vec!["tasks", "--url", url, "list", "--key", key, "--json"],
    ] {
        let mut command = Command::new(binary("orchestratum")?);
        command
            .args(&arguments)
            .env("ORCHESTRATUM_URL", "http://127.0.0.1:1")
            .env("ORCHESTRATUM_KEY", "another");
        let output = command.output()?;
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        let page: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(page["items"], json!([]));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_say_when_they_are_empty_and_what_went_wrong_and_logs_come_as_they_are() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    assert_eq!(text(&dev.client(&["tasks", "list"])?), "no tasks\n");
    let input = r#"{"command": "printf unended; exit 3"}"#;
    let failed = dev.json(&["tasks", "create", "shell", "--input", input, "--wait", "20"])?;
    let id = failed["id"].as_str().unwrap_or_default();
    let listed = text(&dev.client(&["tasks", "list", "--created-after", "2020-01-01T00:00:00Z"])?);
    let row = listed.lines().find(|line| line.contains(id)).unwrap_or_default();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[1..5], ["shell", "default", "Failed", "Failed"], "{listed}");
    let attempts = text(&dev.client(&["tasks", "attempts", id])?);
    assert!(
        attempts
            .lines()
            .any(|line| line.contains("Failed") && line.contains(" 3 ")),
        "{attempts}"
    );
    assert_eq!(dev.client(&["tasks", "logs", id])?.stdout, b"unended");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_are_created_watched_listed_and_forgotten() -> anyhow::Result<()> {
    let dev = start(&[]).await?;
    let created = dev.json(&[
        "groups",
        "create",
        "--template",
        r#"{"name": "echo"}"#,
        "--inputs",
        "[1, 2, 3]",
        "--policy",
        "continue",
        "--on-complete",
        r#"{"name": "echo", "input": "${ outputs }"}"#,
        "--idempotency-key",
        "once",
    ])?;
    let id = created["id"].as_str().unwrap_or_default();
    let ended = dev.client(&["groups", "get", id, "--wait", "20"])?;
    assert_eq!(ended.status.code(), Some(0), "{}", text(&ended));
    let ended: Value = serde_json::from_slice(&ended.stdout)?;
    assert_eq!(
        (&ended["status"], &ended["members"]["Completed"]),
        (&json!("Completed"), &json!(3))
    );
    let after = ended["follow_up_id"].as_str().unwrap_or_default();
    assert_eq!(
        dev.json(&["tasks", "get", after, "--wait", "20"])?["output"],
        json!([1, 2, 3])
    );
    let listed = text(&dev.client(&["groups", "list"])?);
    assert!(listed.contains(id) && listed.contains("Completed"), "{listed}");
    let members = dev.json(&["groups", "tasks", id, "--status", "Completed", "--json"])?;
    assert_eq!(members["items"][2]["input"], 3);
    let over = dev.client(&["groups", "cancel", id])?;
    assert!(
        !over.status.success() && text(&over).contains("is Completed"),
        "{}",
        text(&over)
    );
    assert!(dev.client(&["groups", "delete", id])?.status.success());

    let folder = tempfile::tempdir()?;
    let file = folder.path().join("group.json");
    std::fs::write(&file, r#"{"tasks": [{"name": "echo", "target": "nobody"}]}"#)?;
    let waiting = dev.client(&["groups", "create", &file.display().to_string(), "--wait", "0.2"])?;
    assert_eq!(waiting.status.code(), Some(4));
    let waiting: Value = serde_json::from_slice(&waiting.stdout)?;
    let id = waiting["id"].as_str().unwrap_or_default();
    assert_eq!(
        dev.client(&["groups", "get", id, "--wait", "0.2"])?.status.code(),
        Some(4)
    );
    assert_eq!(
        dev.json(&["groups", "cancel", id, "--reason", "enough"])?["reason"],
        "enough"
    );
    assert_eq!(
        dev.client(&["groups", "get", id, "--wait", "20"])?.status.code(),
        Some(3)
    );
    let both = dev.client(&["groups", "create", "-", "--template", "{}", "--inputs", "[]"])?;
    assert_eq!(both.status.code(), Some(2), "{}", text(&both));
    Ok(())
}
