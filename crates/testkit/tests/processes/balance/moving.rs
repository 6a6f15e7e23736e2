//! Others move the branch while the message waits in the queue: it is those who calculate that see it first.

use orchestratum_testkit::eventually;
use serde_json::{Value, json};

use super::plant::{Delivery, Plant, balance_input, condenser_input};

/// Until the message of a calculation is on its way, which nobody takes.
async fn until_sent(plant: &Plant, saga: &str) {
    eventually("the message is sent", || async {
        let tasks = format!("/api/tasks?saga_id={saga}&name=celery&status=InProgress");
        match plant.api().json(&tasks).await {
            Ok(tasks) if tasks["items"] != json!([]) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_whose_branch_moves_while_its_message_waits_begins_anew() -> anyhow::Result<()> {
    let mut plant = Plant::build(Delivery::Celery).await?;
    plant.dismiss_calculators();
    let id = plant.start_balance(8, &["heater"]).await?;
    let part = eventually("the part is begun", || async {
        let parts = plant.api().json(&format!("/api/sagas?parent_id={id}")).await;
        let parts = parts.map_err(|error| error.to_string())?;
        let part = parts["items"][0]["id"].as_str();
        part.map(str::to_owned).ok_or_else(|| parts.to_string())
    })
    .await;
    until_sent(&plant, &part).await;
    let expected = plant.head("issue/8").await?;
    let theirs = plant
        .commit("issue/8", "update", "balance_input.json", &balance_input(20_000))
        .await?;
    plant.replace_calculators().await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["context"]["step"], "AWAIT_USER_MERGE_REQUEST", "{saga}");
    let drift = json!({"step": "HEATER_CALCULATION", "expected": expected, "found": theirs});
    assert_eq!(saga["context"]["drifts"], json!([drift]));
    assert_eq!(saga["context"]["result"]["power_kw"], 20_000, "what stands there now");
    Ok(())
}

/// What the message names is not even there any more; and the project ignores what is calculated.
#[tokio::test(flavor = "multi_thread")]
async fn a_calculation_upon_a_commit_that_is_gone_fails_and_an_output_that_is_ignored_is_committed()
-> anyhow::Result<()> {
    let mut plant = Plant::build(Delivery::Celery).await?;
    plant.dismiss_calculators();
    let before = plant.head("main").await?;
    plant
        .commit("main", "create", "condenser_input.json", &condenser_input(25))
        .await?;
    let started = plant.post("/api/calculations", &plant.condenser()).await?;
    let id = started["saga_id"].as_str().unwrap_or_default();
    plant.rewrite("main", &before).await?;
    plant.replace_calculators().await?;
    let saga = plant.until_it_waits(id).await?;
    assert_eq!(saga["status"], "Failed", "{saga}");
    let told = plant.post("/api/calculations", &plant.condenser()).await?;
    let drift: Value = json!({"expected": started["commit_hash"], "found": before});
    assert_eq!((&told["saga_id"], &told["drift"]), (&started["saga_id"], &drift));

    plant.commit_text("main", ".gitignore", "*_output.json\n").await?;
    let mut ignored = plant.condenser();
    ignored["files"] = json!({"condenser_input.json": condenser_input(25)});
    let started = plant.post("/api/calculations", &ignored).await?;
    let saga = plant
        .until_it_waits(started["saga_id"].as_str().unwrap_or_default())
        .await?;
    assert_eq!(saga["status"], "Completed", "{saga}");
    assert_eq!(plant.file("main", "condenser_output.json").await?["heat_kw"], 21_600);
    Ok(())
}
