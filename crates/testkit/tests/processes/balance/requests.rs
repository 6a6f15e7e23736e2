//! What GitLab is asked for a balance, and how often.

use std::collections::BTreeSet;

use serde_json::json;

use super::plant::{Delivery, Plant, condenser_input};

/// Every request of each step, in this order. Where a file is not there GitLab does not say where the branch stands, so that is asked
/// beside; and a step that makes something looks whether it is made.
const STEPS: [(&str, &[&str]); 10] = [
    ("the call itself", &["GET ."]),
    (
        "Branching",
        &["GET repository/branches/issue/5", "POST repository/branches"],
    ),
    (
        "Checking",
        &[
            "HEAD repository/files/condenser_input.json",
            "GET repository/branches/issue/5",
        ],
    ),
    ("HydratingCondenser", &["GET repository/files/balance_input.json"]),
    (
        "CommittingHydrated",
        &[
            "GET repository/commits",
            "HEAD repository/files/condenser_input.json",
            "GET repository/branches/issue/5",
            "POST repository/commits",
        ],
    ),
    (
        "CommittingEntered",
        &[
            "GET repository/commits",
            "HEAD repository/files/condenser_input.json",
            "POST repository/commits",
        ],
    ),
    ("Calculating: TakingIn", &["GET repository/files/condenser_output.json"]),
    (
        "CalculatingBalance: TakingIn",
        &["GET repository/files/balance_output.json"],
    ),
    ("CheckingBalance", &["HEAD repository/files/balance_output.json"]),
    ("CreatingMergeRequest", &["GET merge_requests", "POST merge_requests"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_step_asks_gitlab_for_the_same_twice() -> anyhow::Result<()> {
    for (step, requests) in STEPS {
        let different: BTreeSet<&&str> = requests.iter().collect();
        assert_eq!(different.len(), requests.len(), "{step}");
    }
    let plant = Plant::build(Delivery::Celery).await?;
    plant.gitlab.control().forget().await?;
    let id = plant.start_balance(5, &["condenser"]).await?;
    plant.until_it_waits(&id).await?;
    plant.answer(&id, &condenser_input(25)).await?;
    plant.until_it_waits(&id).await?;
    plant.answer(&id, &json!({"create": true})).await?;
    assert_eq!(plant.until_it_waits(&id).await?["status"], "Completed");

    let seen = plant.gitlab.control().seen().await?;
    let asked = seen.iter().map(|request| {
        let path = request.path.strip_prefix("projects/grp/proj").unwrap_or(&request.path);
        let path = path.strip_prefix('/').unwrap_or(".");
        format!("{} {path}", request.method)
    });
    let asked: Vec<String> = asked.collect();
    let expected: Vec<&str> = STEPS.iter().flat_map(|(_, requests)| *requests).copied().collect();
    assert_eq!(asked, expected);
    Ok(())
}
