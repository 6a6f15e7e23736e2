//! What comes twice, and what is not told: it is made once.

use orchestratum_testkit::{Fault, FaultKind};
use serde_json::{Value, json};

use super::plant::{COMMITS, Delivery, Plant, balance_output, condenser_input};

/// The message of a contract, once more, and what is answered.
async fn send(plant: &Plant, delivery: Delivery, message: &Value) -> anyhow::Result<Value> {
    let task = match delivery {
        Delivery::Celery => json!({"name": "celery", "input": {"task": "balance.condenser", "kwargs": message}}),
        Delivery::Queue => json!({"name": "amqp", "input": {
            "routing_key": "balance.condenser", "body": message, "reply": "queue"}}),
    };
    let task = plant.post("/api/tasks?wait_seconds=60", &task).await?;
    assert_eq!(task["status"], "Completed", "{task}");
    Ok(match delivery {
        Delivery::Celery => task["output"].clone(),
        Delivery::Queue => task["output"]["body"].clone(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_twice_to_whoever_calculates_makes_one_commit() -> anyhow::Result<()> {
    for delivery in [Delivery::Celery, Delivery::Queue] {
        let plant = Plant::build(delivery).await?;
        let given = plant
            .commit("main", "create", "condenser_input.json", &condenser_input(25))
            .await?;
        let started = plant.post("/api/calculations", &plant.condenser()).await?;
        let saga = plant
            .until_it_waits(started["saga_id"].as_str().unwrap_or_default())
            .await?;
        assert_eq!(saga["status"], "Completed", "{saga}");
        let made = plant.head("main").await?;
        assert_eq!(saga["context"]["output_commit"], made);
        let message = json!({
            "correlationId": started["correlation_id"], "repoUrl": saga["context"]["repo_url"], "branch": "main",
            "commitHash": given, "input_files": ["condenser_input.json"], "output_file": "condenser_output.json",
        });
        let answer = json!({"commitHash": made, "output_file": "condenser_output.json"});
        assert_eq!(send(&plant, delivery, &message).await?, answer, "after its end");
        assert_eq!(plant.head("main").await?, made);
        let later = plant.commit("main", "create", "other.json", &json!(1)).await?;
        assert_eq!(send(&plant, delivery, &message).await?, answer, "others went on");
        assert_eq!(plant.head("main").await?, later);

        let mut twice = message.clone();
        twice["commitHash"] = json!(later);
        let (one, other) = tokio::join!(send(&plant, delivery, &twice), send(&plant, delivery, &twice));
        let (one, other) = (one?, other?);
        assert_eq!(one, other, "at once");
        assert_eq!(one["commitHash"], plant.head("main").await?);
        assert_eq!(plant.count(&format!("{later}..main")).await?, 1);
    }
    Ok(())
}

/// GitLab makes everything that is asked for, and its answers are lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_balance_whose_answers_from_gitlab_are_lost_makes_each_thing_once() -> anyhow::Result<()> {
    let plant = Plant::build(Delivery::Celery).await?;
    for (path, times) in [
        ("repository/branches", 1),
        ("repository/commits", 2),
        ("merge_requests", 1),
    ] {
        let lost = Fault::on("POST", path, FaultKind::LoseAnswer).times(times);
        plant.gitlab.control().fail(&lost).await?;
    }
    plant.gitlab.control().forget().await?;
    let id = plant.start_balance(6, &["condenser", "heater"]).await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["context"]["step"], "AWAIT_USER_CONDENSER_INPUT", "{saga}");
    plant.answer(&id, &condenser_input(25)).await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["context"]["step"], "AWAIT_USER_MERGE_REQUEST", "{saga}");
    plant.answer(&id, &json!({"create": true})).await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["status"], "Completed", "{saga}");
    assert_eq!(saga["context"]["result"], balance_output());
    assert_eq!(saga["context"]["drifts"], json!([]), "{saga}");
    assert_eq!(plant.commits_of_steps("issue/6").await?.len(), COMMITS);
    let merge_requests = plant.merge_requests("issue/6").await?;
    assert_eq!(merge_requests.len(), 1, "{merge_requests:#?}");
    assert_eq!(saga["context"]["merge_request"]["iid"], merge_requests[0]["iid"]);
    let seen = plant.gitlab.control().seen().await?;
    let posted = seen.iter().filter(|request| request.method == "POST").map(|request| {
        let path = request.path.rsplit('/').next();
        path.unwrap_or_default()
    });
    let posted: Vec<&str> = posted.collect();
    assert_eq!(
        posted,
        ["branches", "commits", "commits", "merge_requests"],
        "nothing was asked for twice"
    );
    Ok(())
}
