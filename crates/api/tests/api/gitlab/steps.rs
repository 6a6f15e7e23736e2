//! What a balance shows of itself while it works.

use orchestratum_testkit::{FaultKind, eventually};
use serde_json::json;

use super::calculations::{BALANCE, CONDENSER_ASKED, issue, told, with_input};
use super::lab::{Lab, Working};

/// As the diagram of the service has them: the step is stored, and then GitLab is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_balance_is_stored_with_its_step_when_gitlab_is_asked() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    with_input(&lab).await;
    let steps = [
        ("HEAD", "files/condenser_input.json", "CHECK_CONDENSER"),
        ("GET", "files/balance_input.json", "HYDRATE_CONDENSER"),
    ];
    for (method, path, _) in steps {
        let slow = FaultKind::SlowAnswer { milliseconds: 3_000 };
        lab.fail(method, path, slow, 1).await;
    }
    let now = format!("{BALANCE}?wait_seconds=0");
    let started = lab.post(&now, &issue()).await;
    assert_eq!(started.status, 202, "{started:?}");
    let id = started.json()["saga_id"].as_str().expect("an id").to_owned();
    for (method, path, step) in steps {
        eventually("GitLab is asked", || async {
            let seen = lab.double.control().seen().await.expect("the double tells");
            let is_this = seen
                .iter()
                .any(|request| request.method == method && request.path.contains(path));
            is_this.then_some(()).ok_or("not yet")
        })
        .await;
        // It has not answered yet.
        told(&lab.post(&now, &issue()).await, 202, ["running", step, ""]);
        let saga = lab.get(&format!("/api/sagas/{id}")).await.json();
        assert_eq!(
            (&saga["status"], &saga["context"]["step"]),
            (&json!("Running"), &json!(step))
        );
    }
    told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED);
}
