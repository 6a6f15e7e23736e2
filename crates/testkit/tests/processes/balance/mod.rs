//! The calculation "balance" with a GitLab, real workers that calculate, PostgreSQL and RabbitMQ.

mod facade;
mod latency;
mod moving;
pub(crate) mod plant;
mod repeats;
mod requests;

use serde_json::json;

use plant::{COMMITS, Delivery, Plant, balance_output, condenser_input, heater_input};

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_is_calculated_from_its_first_file_to_the_merge_request() -> anyhow::Result<()> {
    let plant = Plant::build(Delivery::Celery).await?;
    let id = plant.start_balance(1, &["condenser", "heater"]).await?;

    let saga = plant.until_it_waits(&id).await?;
    let context = &saga["context"];
    assert_eq!(saga["status"], "AwaitingInput", "{saga}");
    assert_eq!(context["step"], "AWAIT_USER_CONDENSER_INPUT", "{saga}");
    assert_eq!(context["next_step"], "CONDENSER_CALCULATION");
    let hydrated = plant.file("issue/1", "condenser_input.json").await?;
    assert_eq!(hydrated, condenser_input(20));

    let completed = condenser_input(25);
    plant.answer(&id, &completed).await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["context"]["step"], "AWAIT_USER_MERGE_REQUEST", "{saga}");
    assert_eq!(saga["context"]["result"], balance_output());
    assert_eq!(plant.file("issue/1", "condenser_input.json").await?, completed);

    plant
        .answer(&id, &json!({"create": true, "title": "Balance of unit 1"}))
        .await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["status"], "Completed", "{saga}");
    let merge_requests = plant.merge_requests("issue/1").await?;
    assert_eq!(merge_requests.len(), 1);
    assert_eq!(saga["context"]["merge_request"]["iid"], merge_requests[0]["iid"]);
    assert_eq!(plant.commits_of_steps("issue/1").await?.len(), COMMITS);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calculation_behind_a_plain_queue_gets_exactly_the_message_of_the_contract() -> anyhow::Result<()> {
    let plant = Plant::build(Delivery::Queue).await?;
    let id = plant.start_balance(2, &["heater"]).await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["context"]["step"], "AWAIT_USER_MERGE_REQUEST", "{saga}");
    plant.answer(&id, &json!({"create": false})).await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["status"], "Completed", "{saga}");
    assert_eq!(plant.merge_requests("issue/2").await?.len(), 0);
    for body in plant.messages(&id).await? {
        let keys: Vec<&str> = body
            .as_object()
            .map(|body| body.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let contract = [
            "branch",
            "commitHash",
            "correlationId",
            "input_files",
            "output_file",
            "repoUrl",
        ];
        assert_eq!(keys, contract, "{body}");
    }
    Ok(())
}

/// Somebody else commits while a person thinks.
#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_others_have_moved_is_seen_and_the_balance_begins_anew() -> anyhow::Result<()> {
    let plant = Plant::build(Delivery::Celery).await?;
    let id = plant.start_balance(3, &["condenser"]).await?;
    let saga = plant.until_it_waits(&id).await?;
    let expected = saga["context"]["commit"].clone();
    let theirs = plant
        .commit("issue/3", "update", "balance_input.json", &plant::balance_input(20_000))
        .await?;
    let entered = plant.file("issue/3", "condenser_input.json").await?;
    plant.answer(&id, &entered).await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["context"]["step"], "AWAIT_USER_MERGE_REQUEST", "{saga}");
    let drift = &saga["context"]["drifts"][0];
    assert_eq!(
        (&drift["expected"], &drift["found"]),
        (&expected, &json!(theirs)),
        "{saga}"
    );
    assert_eq!(saga["context"]["result"]["power_kw"], 20_000, "what stands there now");
    Ok(())
}

/// What is not the condenser takes what the balance has under its name, and somebody is asked for each.
#[tokio::test(flavor = "multi_thread")]
async fn every_dependency_is_prepared_asked_for_and_calculated_in_its_turn() -> anyhow::Result<()> {
    let plant = Plant::build(Delivery::Celery).await?;
    plant
        .commit("main", "delete", "heater_input.json", &json!(null))
        .await?;
    let mut figures = plant::balance_input(18_000);
    figures["heater"] = heater_input(85);
    plant.commit("main", "update", "balance_input.json", &figures).await?;

    let id = plant.start_balance(7, &["condenser", "heater"]).await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["context"]["step"], "AWAIT_USER_CONDENSER_INPUT", "{saga}");
    plant.answer(&id, &condenser_input(25)).await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["context"]["step"], "AWAIT_USER_HEATER_INPUT", "{saga}");
    assert_eq!(saga["context"]["next_step"], "HEATER_CALCULATION");
    assert_eq!(plant.file("issue/7", "heater_input.json").await?, heater_input(85));
    assert!(
        plant.file("issue/7", "heater_output.json").await.is_err(),
        "nobody has completed it"
    );

    plant.answer(&id, &heater_input(90)).await?;
    let saga = plant.until_it_waits(&id).await?;
    assert_eq!(saga["context"]["step"], "AWAIT_USER_MERGE_REQUEST", "{saga}");
    assert_eq!(plant.file("issue/7", "heater_input.json").await?, heater_input(90));
    assert_eq!(saga["context"]["result"], balance_output());
    // Both are hydrated, completed and calculated, and then the whole is.
    assert_eq!(plant.commits_of_steps("issue/7").await?.len(), 3 + 3 + 1);
    Ok(())
}
