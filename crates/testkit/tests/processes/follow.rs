//! Following the logs of tasks that run in other processes, through an api that stops and workers that die.

use std::time::Duration;

use orchestratum_testkit::{Broker, Cluster, Database, Event, Events};
use serde_json::{Value, json};

use crate::dev;

const PATIENCE: Duration = Duration::from_secs(30);

/// Prints numbered lines, one by one.
fn counting(lines: u32) -> Value {
    let code = format!(
        "import time\ndef main():\n    for number in range({lines}):\n        print('line', number, flush=True)\n        time.sleep(0.4)"
    );
    json!({"name": "python", "input": {"code": code}, "ttl_seconds": 120})
}

fn lines(count: u32) -> String {
    let lines: Vec<String> = (0..count).map(|number| format!("line {number}\n")).collect();
    lines.concat()
}

async fn follow(cluster: &Cluster, id: &str, last: Option<&str>) -> anyhow::Result<Events> {
    let request = cluster.api.get(&format!("/api/tasks/{id}/logs"));
    let request = request.header("accept", "text/event-stream");
    let request = match last {
        Some(last) => request.header("last-event-id", last),
        None => request,
    };
    Ok(Events::of(request.send().await?))
}

fn text(events: &[Event]) -> String {
    events.iter().filter_map(|event| event.data["text"].as_str()).collect()
}

async fn a_follower_sees_lines_while_the_task_runs_and_none_twice(cluster: &Cluster) -> anyhow::Result<()> {
    const LINES: u32 = 8;
    let id = cluster.api.create(&counting(LINES)).await?;
    let mut seen = Vec::new();
    let mut last = None;
    // A new connection for each of the first few.
    for _ in 0..3 {
        let mut events = follow(cluster, &id, last.as_deref()).await?;
        let event = events.next().await.expect("a line");
        assert_eq!(event.name, "log");
        last.clone_from(&event.id);
        seen.push(event);
    }
    assert_eq!(cluster.api.task(&id).await?["status"], "InProgress");
    let mut rest = follow(cluster, &id, last.as_deref()).await?.rest().await;
    let end = rest.pop().expect("an end");
    assert_eq!(
        (end.name.as_str(), end.data),
        (
            "end",
            json!({"status": "Completed", "attempt": 1, "outcome": "Success"})
        )
    );
    seen.extend(rest);
    assert_eq!(text(&seen), lines(LINES));
    assert!(seen.len() > 3, "not all at once: {seen:?}");
    let whole = cluster
        .api
        .get(&format!("/api/tasks/{id}/logs"))
        .send()
        .await?
        .text()
        .await?;
    assert_eq!(whole, lines(LINES));
    assert_eq!(
        cluster.api.task(&id).await?["output"]["stdout"],
        json!(lines(LINES)),
        "the output is whole, too"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_seen_while_the_task_runs_and_none_twice() -> anyhow::Result<()> {
    for (database, broker) in [(Database::Postgres, Broker::Rabbit), (Database::Sqlite, Broker::None)] {
        let cluster = Cluster::builder().database(database).broker(broker).start().await?;
        a_follower_sees_lines_while_the_task_runs_and_none_twice(&cluster).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn following_goes_on_over_a_restart_of_the_api_and_the_death_of_a_worker() -> anyhow::Result<()> {
    let mut cluster = Cluster::builder().start().await?;
    let code = "import os, time\nprint('attempt', os.environ['ORCHESTRATUM_ATTEMPT'], flush=True)\nif os.environ['ORCHESTRATUM_ATTEMPT'] == '1':\n    time.sleep(3600)\nprint('done')";
    let task = json!({"name": "python", "input": {"code": code}, "ttl_seconds": 120});
    let id = cluster.api.create(&task).await?;
    let mut events = follow(&cluster, &id, None).await?;
    let first = events.next().await.expect("a line");
    assert_eq!(first.data["text"], "attempt 1\n");
    cluster.replace_api(PATIENCE).await?;
    assert_eq!(events.next().await, None, "an api that stops ends it");
    let events = follow(&cluster, &id, first.id.as_deref()).await?;
    cluster.workers[0].kill()?;
    cluster.start_worker()?;
    let mut rest = events.rest().await;
    let end = rest.pop().expect("an end");
    assert_eq!(
        end.data,
        json!({"status": "Completed", "attempt": 2, "outcome": "Success"})
    );
    assert_eq!(text(&rest), "attempt 2\ndone\n");
    let whole = cluster
        .api
        .get(&format!("/api/tasks/{id}/logs"))
        .send()
        .await?
        .text()
        .await?;
    assert_eq!(
        whole, "attempt 1\nattempt 2\ndone\n",
        "what a lost attempt wrote is kept"
    );
    assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_capped_for_followers_as_it_is_for_readers() -> anyhow::Result<()> {
    const MOST: usize = 100_000;
    let cluster = Cluster::builder()
        .setting("WORKER__LOG_MAX_BYTES", &MOST.to_string())
        .start()
        .await?;
    let script = "end=$(($(date +%s) + 3)); while [ $(date +%s) -lt $end ]; do seq 1 20000; done";
    let task = json!({"name": "shell", "input": {"script": script}, "ttl_seconds": 60});
    let id = cluster.api.create(&task).await?;
    let events = follow(&cluster, &id, None).await?.rest().await;
    let text = text(&events);
    assert!(text.len() < MOST + 100, "{} bytes", text.len());
    assert!(text.starts_with("1\n2\n3\n") && text.contains(" bytes cut ...]\n"));
    let whole = cluster
        .api
        .get(&format!("/api/tasks/{id}/logs"))
        .send()
        .await?
        .text()
        .await?;
    assert_eq!(whole, text);
    assert_eq!(events.last().expect("an end").data["outcome"], "Success");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_follows_to_the_end_and_tells_it_by_its_exit_status() -> anyhow::Result<()> {
    let dev = dev::start(&[]).await?;
    let input = r#"{"script": "echo one; sleep 1; echo two >&2; printf three; exit 3"}"#;
    let created = dev.json(&["tasks", "create", "shell", "--input", input])?;
    let id = created["id"].as_str().unwrap_or_default();
    let followed = dev.client(&["tasks", "logs", id, "--follow"])?;
    assert_eq!(
        (followed.stdout.as_slice(), followed.status.code()),
        (&b"one\nthreetwo\n"[..], Some(3)),
        "{}",
        dev::text(&followed)
    );
    let errors = dev.client(&["tasks", "logs", id, "-f", "--attempt", "1", "--stream", "stderr"])?;
    assert_eq!(
        (errors.stdout.as_slice(), errors.status.code()),
        (&b"two\n"[..], Some(3))
    );
    let refused = dev.client(&["tasks", "logs", id, "--follow", "--attempt", "2"])?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        dev::text(&refused).contains("attempt_not_found"),
        "{}",
        dev::text(&refused)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_says_where_another_attempt_begins_and_prints_parts_as_json() -> anyhow::Result<()> {
    let dev = dev::start(&[]).await?;
    let create = [
        "tasks",
        "create",
        "shell",
        "--max-retries",
        "1",
        "--backoff",
        "fixed:0.5",
    ];
    let input = r#"{"script": "echo one; exit 1"}"#;
    let created = dev.json(&[&create[..], &["--input", input]].concat())?;
    let id = created["id"].as_str().unwrap_or_default();
    let followed = dev.client(&["tasks", "logs", id, "--follow"])?;
    let (written, told) = (followed.stdout.as_slice(), followed.stderr.as_slice());
    assert_eq!((written, told), (&b"one\none\n"[..], &b"--- attempt 2 ---\n"[..]));
    let parts = dev.client(&["tasks", "logs", id, "--follow", "--json"])?;
    let parts: Vec<Value> = String::from_utf8_lossy(&parts.stdout)
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let log = |attempt: u32| json!({"attempt": attempt, "stream": "stdout", "text": "one\n"});
    let end = json!({"status": "Failed", "attempt": 2, "outcome": "Failed"});
    assert_eq!(parts, [log(1), log(2), end]);
    let refused = dev.client(&["tasks", "logs", id, "--json"])?;
    assert_eq!(refused.status.code(), Some(1));
    assert!(dev::text(&refused).contains("--follow"), "{}", dev::text(&refused));
    Ok(())
}
