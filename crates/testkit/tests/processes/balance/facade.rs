//! The calls of the facade, answered by a real api.

use orchestratum_testkit::{Cluster, OWNER_TOKEN, PROJECT};
use serde_json::{Value, json};

use super::plant::{BALANCE, Delivery, Plant, balance_input, condenser_input};

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_that_is_to_stop_where_others_were_ends_and_undoes_nothing() -> anyhow::Result<()> {
    let plant = Plant::build_without_calculators().await?;
    let mut request = plant.request(4, &["condenser"]);
    request["on_drift"] = json!("stop");
    let waiting = plant.post(BALANCE, &request).await?;
    assert_eq!(waiting["status"], "user_input_required", "{waiting}");
    let theirs = plant
        .commit("issue/4", "update", "balance_input.json", &balance_input(20_000))
        .await?;
    let id = waiting["saga_id"].as_str().unwrap_or_default();
    plant.answer(id, &condenser_input(25)).await?;
    let saga = plant.until_it_waits(id).await?;
    assert_eq!((&saga["status"], &saga["state"]), (&json!("Failed"), &json!("Stopped")));
    let drift = json!({"step": "CONDENSER_CALCULATION", "expected": waiting["commit"], "found": theirs});
    assert_eq!(saga["context"]["drifts"], json!([drift]), "{saga}");
    let reason = saga["context"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(&theirs), "{reason}");
    assert_eq!(plant.head("issue/4").await?, theirs, "nothing was committed upon it");

    // What is over is not gone on with: the same call begins anew, with what stands there now.
    let next = plant.post(BALANCE, &request).await?;
    assert_ne!(next["saga_id"], id);
    assert_eq!(
        (&next["status"], &next["commit"]),
        (&json!("user_input_required"), &json!(theirs))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_calculation_goes_over_a_plain_queue_and_its_output_comes_back() -> anyhow::Result<()> {
    let plant = Plant::build(Delivery::Queue).await?;
    let request = json!({
        "project": PROJECT, "branch": "main", "name": "balance.condenser", "delivery": "amqp",
        "files": {"condenser_input.json": condenser_input(25)}, "output_file": "condenser_output.json",
    });
    let started = plant.post("/api/calculations", &request).await?;
    let id = started["saga_id"].as_str().unwrap_or_default();
    assert_eq!(started["correlation_id"], id, "{started}");
    let saga = plant.until_it_waits(id).await?;
    assert_eq!(saga["status"], "Completed", "{saga}");
    assert_eq!(saga["context"]["input_commit"], started["commit_hash"]);
    let output = json!({"heat_kw": 21_600, "water_flow_kg_s": 515.882});
    assert_eq!(saga["context"]["output"], output);
    assert_eq!(plant.file("main", "condenser_output.json").await?, output);
    let task = plant
        .api()
        .task(started["task_id"].as_str().unwrap_or_default())
        .await?;
    let sent = json!({
        "correlationId": id, "repoUrl": saga["context"]["repo_url"], "branch": "main", "commitHash": started["commit_hash"],
        "input_files": ["condenser_input.json"], "output_file": "condenser_output.json",
    });
    assert_eq!((&task["name"], &task["input"]["body"]), (&json!("amqp"), &sent));

    let head = plant.head("main").await?;
    let again = plant.post("/api/calculations", &request).await?;
    assert_eq!(again["saga_id"], id, "the same body is the same calculation");
    assert_eq!(plant.head("main").await?, head);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_names_a_gitlab_stores_the_definitions_when_it_starts_and_leaves_those_of_others()
-> anyhow::Result<()> {
    let mut cluster = Cluster::builder()
        .workers(0)
        // Nobody is asked there for that.
        .setting("GITLAB__URL", "http://127.0.0.1:9")
        .setting("GITLAB__TOKEN", OWNER_TOKEN)
        .start()
        .await?;
    let stored = async |cluster: &Cluster, name: &str| -> anyhow::Result<Value> {
        cluster.api.json(&format!("/api/saga-definitions/{name}")).await
    };
    for name in ["calculate-balance", "calculation"] {
        assert_eq!(stored(&cluster, name).await?["version"], 1);
    }
    let own = json!({"name": "calculation", "initial": "Initial", "states": {
        "Initial": {"on": {"start": {"target": "Done"}}}, "Done": {"final": true}}});
    let put = cluster.api.put("/api/saga-definitions/calculation").json(&own);
    put.send().await?.error_for_status()?;
    cluster.restart_api().await?;
    for (name, version) in [("calculate-balance", 1), ("calculation", 2)] {
        assert_eq!(stored(&cluster, name).await?["version"], version, "{name}");
    }
    Ok(())
}
