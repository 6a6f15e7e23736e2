//! Calls that wait for GitLab, or for a saga, and their clients.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use orchestratum_testkit::{FaultKind, PROJECT, eventually};
use serde_json::json;
use tokio::time::Instant;

use super::calculations::{BALANCE, calculation, issue};
use super::lab::Lab;

/// Others find a place while it waits.
async fn keeps_nobody_out<T: Debug>(lab: &Lab, waiting: impl Future<Output = T>, is_begun: impl AsyncFn() -> bool) {
    let others = async {
        eventually("it is under way", || async {
            is_begun().await.then_some(()).ok_or("not yet")
        })
        .await;
        eventually("another change is made", || async {
            let made = lab
                .post("/api/tasks", &json!({"name": "echo", "target": "nobody"}))
                .await;
            if made.status == 201 { Ok(()) } else { Err(made.status) }
        })
        .await;
    };
    tokio::select! {
        answer = waiting => panic!("it was answered: {answer:?}"),
        () = others => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_keeps_no_other_change_from_its_place() {
    let lab = Lab::with(&[("api.max_connections", "1"), ("gitlab.call_timeout_seconds", "60")]).await;
    lab.commits("issue/42", "a", "1").await;
    for (path, body) in [(BALANCE, issue()), ("/api/calculations", calculation())] {
        let sagas = async || {
            lab.get("/api/sagas").await.json()["items"]
                .as_array()
                .map_or(0, Vec::len)
        };
        let before = sagas().await;
        let path = format!("{path}?wait_seconds=60");
        let waiting = lab.post(&path, &body);
        keeps_nobody_out(&lab, waiting, async || sagas().await > before).await;
    }
    let slow = FaultKind::SlowAnswer { milliseconds: 60_000 };
    lab.fail("POST", "merge_requests", slow, 1).await;
    let before = lab.seen().await;
    let body = json!({"project": PROJECT, "source_branch": "issue/42", "target_branch": "main", "title": "T"});
    let waiting = lab.post("/api/merge-requests", &body);
    keeps_nobody_out(&lab, waiting, async || lab.seen().await > before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_is_told_soon_that_gitlab_does_not_answer() {
    let lab = Lab::with(&[("gitlab.call_timeout_seconds", "120")]).await;
    let slow = FaultKind::SlowAnswer { milliseconds: 60_000 };
    lab.fail("GET", "projects", slow, 100).await;
    let begun = Instant::now();
    for (path, body) in [(BALANCE, issue()), ("/api/calculations", calculation())] {
        let away = lab.post(&format!("{path}?wait_seconds=0"), &body).await;
        away.problem(503, "gitlab_unavailable");
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}
