//! `orchestratum dev --manual-clock`: a server whose time passes only when a test says so.

use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use orchestratum_testkit::{Api, Process, binary, eventually_within};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::dev::{self, Dev, text};

const PATIENCE: Duration = Duration::from_secs(30);

const MIDNIGHT: &str = "2026-12-01T00:00:00Z";

/// As many programs as a test runs, on whatever machine.
const MANY_AT_ONCE: (&str, &str) = ("WORKER__CONCURRENCY", "4");

/// Each of its states is left by another kind of timer.
const LATE_ORDER: &str = r#"
name: late-order
context: {}
timeout: {after_seconds: 86400, target: Failed}
initial: Initial
states:
  Initial:
    on: {start: {target: AwaitingPayment}}
  AwaitingPayment:
    after: [{seconds: 900, target: AwaitingDecision}]
    on: {paid: {target: Done}}
  AwaitingDecision:
    await_input:
      event: decided
      prompt: Wait for the payment?
      default_after: {seconds: 3600, data: {wait: true}}
    on:
      decided:
        tasks: [{name: echo, input: "${ event.data.wait }", delay_seconds: 600, raises: {success: reminded}}]
        target: Reminding
  Reminding:
    on: {reminded: {target: WaitingOn}}
  WaitingOn:
    on: {paid: {target: Done}}
  Done: {final: true}
  Failed: {final: failed}
"#;

/// A server whose clock stands at midnight.
struct Lab {
    dev: Dev,
    api: Api,
}

impl Lab {
    async fn start() -> anyhow::Result<Self> {
        let dev = dev::start_by(Process::start, &["--manual-clock", MIDNIGHT], &[MANY_AT_ONCE]).await?;
        let api = Api::new(dev.url.clone(), dev.key.clone())?;
        Ok(Self { dev, api })
    }

    /// What the clock shows then.
    async fn advance(&self, seconds: f64) -> anyhow::Result<Value> {
        let body = json!({"seconds": seconds});
        let answer = self.api.post("/api/dev/clock/advance").json(&body).send().await?;
        let mut clock: Value = answer.error_for_status()?.json().await?;
        Ok(clock["now"].take())
    }

    /// Lets so much time pass, and waits until all that is due by then was looked at: one task is due last.
    async fn let_pass(&self, seconds: f64) -> anyhow::Result<()> {
        let last = json!({"name": "echo", "delay_seconds": seconds});
        let last = self.api.create(&last).await?;
        self.advance(seconds).await?;
        self.api.until(&last, "Completed", PATIENCE).await;
        Ok(())
    }

    async fn until_in(&self, saga: &str, state: &str) -> Value {
        eventually_within(PATIENCE, &format!("the saga is in {state}"), || async {
            let saga = self.api.json(&format!("/api/sagas/{saga}")).await;
            let saga = saga.map_err(|error| error.to_string())?;
            if saga["state"] == state {
                Ok(saga)
            } else {
                Err(saga.to_string())
            }
        })
        .await
    }

    /// Nothing happens a second before; then the state is left, at that time and no other.
    async fn leaves_after(&self, saga: &str, seconds: f64, next: &str, at: &str) -> anyhow::Result<()> {
        let before = self.api.json(&format!("/api/sagas/{saga}")).await?;
        self.let_pass(seconds - 1.0).await?;
        let still = self.api.json(&format!("/api/sagas/{saga}")).await?;
        assert_eq!(still, before, "it is too early for {next}");
        assert_eq!(self.advance(1.0).await?, at);
        let after = self.until_in(saga, next).await;
        assert_eq!(after["updated_at"], at, "{after}");
        Ok(())
    }

    async fn logs(&self, task: &str) -> anyhow::Result<String> {
        let answer = self.api.get(&format!("/api/tasks/{task}/logs")).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    async fn live_workers(&self) -> anyhow::Result<Vec<Value>> {
        let workers = self.api.json("/api/workers").await?;
        let workers = workers["items"].as_array().context("workers")?.iter();
        let live = workers.filter(|worker| worker["state"] == "Live");
        Ok(live.map(|worker| worker["id"].clone()).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn match_50_all_time_comes_from_a_clock_that_a_test_can_move() -> anyhow::Result<()> {
    let lab = Lab::start().await?;
    let file = lab.dev.folder.path().join("late-order.yaml");
    std::fs::write(&file, LATE_ORDER)?;
    lab.dev
        .json(&["definitions", "put", &file.display().to_string(), "--json"])?;
    let daily = json!({"name": "daily", "cron": "0 9 * * *", "task": {"name": "echo"}});
    let daily = lab.api.post("/api/schedules").json(&daily).send().await?;
    let daily: Value = daily.error_for_status()?.json().await?;
    let saga = lab.dev.json(&["sagas", "start", "late-order"])?;
    assert_eq!(saga["created_at"], MIDNIGHT, "{saga}");
    let id = saga["id"].as_str().context("an id")?;

    lab.leaves_after(id, 900.0, "AwaitingDecision", "2026-12-01T00:15:00Z")
        .await?;
    lab.leaves_after(id, 3_600.0, "Reminding", "2026-12-01T01:15:00Z")
        .await?;
    lab.leaves_after(id, 600.0, "WaitingOn", "2026-12-01T01:25:00Z").await?;

    let slots = || async {
        let tasks = format!("/api/tasks?schedule_id={}", daily["id"].as_str().unwrap_or_default());
        let tasks = lab.api.json(&tasks).await.map_err(|error| error.to_string())?;
        let tasks = tasks["items"].as_array().cloned().unwrap_or_default();
        Ok::<_, String>(tasks)
    };
    lab.let_pass(7.0 * 3_600.0 + 34.0 * 60.0).await?;
    assert_eq!(slots().await, Ok(vec![]), "it is 8:59");
    lab.advance(60.0).await?;
    let done = eventually_within(PATIENCE, "the task of nine o'clock is done", || async {
        match slots().await?.as_slice() {
            [task] if task["status"] == "Completed" => Ok(task.clone()),
            tasks => Err(format!("{tasks:?}")),
        }
    })
    .await;
    assert_eq!(done["created_at"], "2026-12-01T09:00:00Z");

    lab.leaves_after(id, 15.0 * 3_600.0, "Failed", "2026-12-02T00:00:00Z")
        .await?;
    let over = lab.until_in(id, "Failed").await;
    assert_eq!(over["status"], "TimedOut", "{over}");
    assert_eq!(lab.dev.json(&["clock"])?, json!({"now": "2026-12-02T00:00:00Z"}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_runs_while_its_time_passes_is_stopped_and_the_worker_keeps_its_lease() -> anyhow::Result<()> {
    let lab = Lab::start().await?;
    let sleep = |limit: &str, seconds: u32| json!({"name": "shell", "input": {"script": "echo began; sleep 600"}, limit: seconds, "max_retries": 0});
    let expiring = lab.api.create(&sleep("ttl_seconds", 600)).await?;
    let too_slow = lab.api.create(&sleep("timeout_seconds", 600)).await?;
    let patient = lab.api.create(&sleep("ttl_seconds", 3_600)).await?;
    let all = [&expiring, &too_slow, &patient];
    for task in all {
        lab.api.until(task, "InProgress", PATIENCE).await;
        eventually_within(PATIENCE, "it has begun", || async {
            let logs = lab.logs(task).await.map_err(|error| error.to_string())?;
            if logs.contains("began") { Ok(()) } else { Err(logs) }
        })
        .await;
    }
    let workers = lab.live_workers().await?;

    lab.let_pass(599.0).await?;
    for task in all {
        assert_eq!(lab.api.task(task).await?["status"], "InProgress");
    }
    lab.advance(1.0).await?;
    for (task, status) in [(&expiring, "Expired"), (&too_slow, "Failed")] {
        lab.api.until(task, status, PATIENCE).await;
        let attempts = lab.api.attempts(task).await?;
        let told = (&attempts[0]["outcome"], attempts.len());
        assert_eq!(told, (&json!("TimedOut"), 1), "{attempts:?}");
        let logs = lab.logs(task).await?;
        assert!(logs.contains("began"), "its worker reported it: {logs}");
    }
    lab.let_pass(2_000.0).await?;
    let runs = lab.api.task(&patient).await?;
    assert_eq!((&runs["status"], &runs["attempt"]), (&json!("InProgress"), &json!(1)));
    assert_eq!(lab.live_workers().await?, workers, "it is the same as before");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_over_http_is_still_held_when_the_clock_was_moved() -> anyhow::Result<()> {
    let lab = Lab::start().await?;
    let task = lab.api.create(&json!({"name": "ship", "target": "shipping"})).await?;
    let claim = json!({"worker": "a test", "targets": ["shipping"], "names": ["ship"], "lease_seconds": 5});
    let claimed: Value = lab
        .api
        .post("/api/worker/claim")
        .json(&claim)
        .send()
        .await?
        .json()
        .await?;
    assert_eq!(claimed["tasks"][0]["id"], task.as_str(), "{claimed}");
    lab.let_pass(900.0).await?;
    let complete = format!("/api/worker/tasks/{task}/attempts/1/complete");
    let answer = lab
        .api
        .post(&complete)
        .json(&json!({"output": "on its way"}))
        .send()
        .await?;
    assert!(answer.status().is_success(), "{}", answer.text().await?);
    let done = lab.api.until(&task, "Completed", PATIENCE).await;
    assert_eq!((&done["attempt"], &done["output"]), (&json!(1), &json!("on its way")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_goes_back_neither_by_a_call_nor_by_a_restart() -> anyhow::Result<()> {
    let mut lab = Lab::start().await?;
    for (body, pointer) in [
        (r#"{"seconds": -1}"#, "/seconds"),
        (r#"{"seconds": 0}"#, "/seconds"),
        (r#"{"seconds": 31622401}"#, "/seconds"),
        (r#"{"seconds": "900"}"#, "/seconds"),
        (r#"{"seconds": null}"#, "/seconds"),
        ("{}", "/seconds"),
        (r#"{"seconds": 1, "minutes": 1}"#, "/minutes"),
        ("[900]", ""),
    ] {
        let answer = lab
            .api
            .post("/api/dev/clock/advance")
            .header("content-type", "application/json");
        let answer = answer.body(body).send().await?;
        let status = answer.status();
        let problem: Value = answer.json().await?;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}: {problem}");
        let pointers = problem["errors"].as_array().context("errors")?.iter();
        let pointers: Vec<&Value> = pointers.map(|error| &error["pointer"]).collect();
        assert_eq!(pointers, [pointer], "{body}: {problem}");
    }
    assert_eq!(lab.dev.json(&["clock"])?, json!({"now": MIDNIGHT}));
    let refused = lab.dev.client(&["clock", "advance", "-900"])?;
    assert!(text(&refused).contains("/seconds"), "{}", text(&refused));
    let later = "2026-12-01T00:00:00.5Z";
    let told = lab.dev.json(&["clock", "advance", "0.5"])?;
    assert_eq!(told, json!({"now": "2026-12-01T00:00:00.500Z"}));

    let delayed = lab.api.create(&json!({"name": "echo", "delay_seconds": 60})).await?;
    lab.dev.process.stop(PATIENCE).await?;
    let folder = lab.dev.folder.path();
    let data = folder.join("data").display().to_string();
    let earlier = Command::new(binary("orchestratum")?)
        .args([
            "dev",
            "--listen",
            "127.0.0.1:0",
            "--data",
            &data,
            "--manual-clock",
            MIDNIGHT,
        ])
        .envs(dev::environment(folder))
        .output()?;
    assert!(!earlier.status.success());
    let said = text(&earlier);
    assert!(
        said.contains("2026-12-01T00:00:00.500Z") && said.contains("--data"),
        "{said}"
    );
    lab.dev.start_again(&["--manual-clock", later]).await?;
    assert_eq!(lab.dev.json(&["clock"])?, told);
    lab.api = Api::new(lab.dev.url.clone(), lab.dev.key.clone())?;
    lab.advance(60.0).await?;
    lab.api.until(&delayed, "Completed", PATIENCE).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_flag_there_is_no_such_call() -> anyhow::Result<()> {
    let dev = dev::start(&[]).await?;
    let api = Api::new(dev.url.clone(), dev.key.clone())?;
    let body = json!({"seconds": 900});
    for call in [
        api.get("/api/dev/clock"),
        api.post("/api/dev/clock/advance").json(&body),
    ] {
        let answer = call.send().await?;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let problem: Value = answer.json().await?;
        assert_eq!(problem["code"], "route_not_found", "{problem}");
    }
    let document = api.json("/api-docs/openapi.json").await?;
    assert!(document["paths"]["/api/tasks"].is_object(), "{document}");
    assert!(
        !document.to_string().contains("/api/dev/"),
        "it names no call that is not there"
    );
    let time = dev.client(&["clock"])?;
    assert!(!time.status.success(), "{}", text(&time));
    Ok(())
}
