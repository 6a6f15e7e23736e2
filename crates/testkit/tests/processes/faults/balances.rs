//! The story of a balance while the api, the worker, the workers of Celery, the broker and GitLab itself are killed, each once: nothing
//! is made twice and nothing is lost.

use std::time::Duration;

use anyhow::ensure;
use orchestratum_testkit::{Api, Chance, eventually_within, is_soak, rounds};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::balance::plant::{BALANCE, COMMITS, Delivery, Plant, balance_output, condenser_input};

/// From the call to the end of the saga, with all that goes wrong meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker of its own starts again meanwhile, and what was answered to it may have to be asked once more. A queue for replies that
/// was made a moment before keeps those who calculate for a minute.
const PATIENCE_IN_A_SOAK: Duration = Duration::from_secs(180);

/// So long after the one before was killed at most. Undisturbed a balance takes about as long as all of them.
const MOMENT_MAX_MS: u64 = 600;

/// How long the broker and GitLab are away at most, beside the time that they take to start, as the api and the worker do.
const AWAY_MAX_MS: u64 = 500;

#[derive(Debug, Clone, Copy)]
enum Victim {
    Api,
    Worker,
    Calculators,
    Broker,
    Gitlab,
}

impl Victim {
    const ALL: [Self; 5] = [Self::Api, Self::Worker, Self::Calculators, Self::Broker, Self::Gitlab];

    /// In an order that nobody foresees.
    fn shuffled(chance: &mut Chance) -> Vec<Self> {
        let mut left = Self::ALL.to_vec();
        let mut order = Vec::new();
        while let Some(victim) = chance.pick(&(0..left.len()).collect::<Vec<_>>()).copied() {
            order.push(left.swap_remove(victim));
        }
        order
    }

    /// Killed, and started again.
    async fn falls(self, plant: &mut Plant, chance: &mut Chance) -> anyhow::Result<()> {
        let away = Duration::from_millis(chance.below(AWAY_MAX_MS));
        match self {
            Self::Api => plant.cluster.restart_api().await,
            Self::Worker => {
                plant.cluster.workers.remove(0).kill()?;
                plant.cluster.start_worker().map(drop)
            }
            Self::Calculators => plant.replace_calculators().await,
            Self::Broker => plant.broker_falls(away).await,
            Self::Gitlab => {
                plant.gitlab.kill()?;
                sleep(away).await;
                plant.gitlab.start_again().await
            }
        }
    }
}

/// Starts a balance, again and again until the answer comes: it is one, by its project, branch and issue.
async fn start(api: &Api, request: &Value) -> String {
    eventually_within(PATIENCE, "the balance is started", || async {
        let answer = api.post(&format!("{BALANCE}?wait_seconds=0")).json(request).send();
        let answer = answer.await.map_err(|error| error.to_string())?;
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let balance: Value = serde_json::from_str(&text).unwrap_or_default();
        balance["saga_id"].as_str().map(str::to_owned).ok_or(text)
    })
    .await
}

/// Somebody who asks again when no answer comes, and answers what is asked, until the balance is completed. Says how often GitLab had
/// stopped it and the call was repeated.
async fn attend(api: Api, request: Value) -> (String, u32) {
    let id = start(&api, &request).await;
    let mut repeats = 0;
    let patience = if is_soak() { PATIENCE_IN_A_SOAK } else { PATIENCE };
    let end = Instant::now() + patience;
    loop {
        let seen = look_after(&api, &id, &request, &mut repeats).await;
        match seen {
            Ok(true) => return (id, repeats),
            Ok(false) | Err(_) if Instant::now() < end => {}
            seen => panic!(
                "saga {id} is not over within {patience:?}: {seen:?}\n{}",
                whereabouts(&api, &id).await
            ),
        }
    }
}

/// What the saga and its parts wait for.
async fn whereabouts(api: &Api, id: &str) -> String {
    let mut told = Vec::new();
    let parts = format!("/api/sagas?parent_id={id}");
    let parts = api.json(&parts).await.unwrap_or_default();
    let parts = parts["items"].as_array().cloned().unwrap_or_default();
    let all = parts.iter().filter_map(|part| part["id"].as_str());
    for saga in all.chain([id]) {
        for path in [format!("/api/sagas/{saga}"), format!("/api/tasks?saga_id={saga}")] {
            told.push(
                api.json(&path)
                    .await
                    .map_or_else(|error| error.to_string(), |json| format!("{json:#}")),
            );
        }
    }
    told.join("\n")
}

/// Whether it is completed.
async fn look_after(api: &Api, id: &str, request: &Value, repeats: &mut u32) -> anyhow::Result<bool> {
    let looked = api.json(&format!("/api/sagas/{id}?wait_seconds=1")).await;
    let Ok(saga) = looked else {
        // Nothing is waited for: whoever is away comes back.
        sleep(Duration::from_millis(20)).await;
        return Ok(false);
    };
    match saga["status"].as_str().unwrap_or_default() {
        "Completed" => return Ok(true),
        "AwaitingInput" => {
            let data = match saga["context"]["step"].as_str().unwrap_or_default() {
                "AWAIT_USER_CONDENSER_INPUT" => condenser_input(25),
                "AWAIT_USER_MERGE_REQUEST" => json!({"create": true}),
                other => panic!("nobody is to be asked for {other}: {saga:#}"),
            };
            // For this question, also where the answer to it is lost and it is answered again.
            let answer = api.post(&format!("/api/sagas/{id}/input"));
            let answer = answer.header("if-match", format!("\"{}\"", saga["version"]));
            answer.json(&json!({"data": data})).send().await?;
        }
        "Running" | "NeedsAttention" => {
            let parts = api
                .json(&format!("/api/sagas?parent_id={id}&status=NeedsAttention"))
                .await?;
            let is_stuck = saga["status"] == "NeedsAttention" || parts["items"] != json!([]);
            if is_stuck {
                *repeats += 1;
                api.post(BALANCE).json(request).send().await?;
            }
        }
        _ => panic!("it ended otherwise: {saga:#}"),
    }
    Ok(false)
}

async fn check(plant: &Plant, id: &str, issue: u64) -> anyhow::Result<()> {
    let api = plant.api();
    let branch = format!("issue/{issue}");
    let saga = api.json(&format!("/api/sagas/{id}")).await?;
    let context = &saga["context"];
    assert_eq!(context["result"], balance_output(), "{saga:#}");
    assert_eq!(context["drifts"], json!([]), "nobody else was on the branch: {saga:#}");
    let commits = plant.commits_of_steps(&branch).await?;
    assert_eq!(commits.len(), COMMITS, "{commits:#?}");
    assert_eq!(context["commit"], plant.head(&branch).await?);
    let merge_requests = plant.merge_requests(&branch).await?;
    assert_eq!(merge_requests.len(), 1, "{merge_requests:#?}");
    assert_eq!(context["merge_request"]["iid"], merge_requests[0]["iid"]);
    let parts = api.json(&format!("/api/sagas?parent_id={id}")).await?;
    let parts = parts["items"].as_array().cloned().unwrap_or_default();
    let ends: Vec<&Value> = parts.iter().map(|part| &part["status"]).collect();
    assert_eq!(ends, ["Completed"; 3], "{parts:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_makes_each_commit_and_its_merge_request_once_while_all_who_take_part_are_killed()
-> anyhow::Result<()> {
    // To start a broker takes longer than all of a balance: a test run cuts one off, a soak kills its own.
    let mut plant = if is_soak() {
        Plant::build_with_own_broker(Delivery::Celery).await?
    } else {
        Plant::build(Delivery::Celery).await?
    };
    let mut chance = Chance::of_this_run();
    let mut issue = 0;
    for _ in rounds("balances under kills", 3).in_a_soak(30) {
        issue += 1;
        let begun = Instant::now();
        let request = plant.request(issue, &["condenser", "heater"]);
        let person = tokio::spawn(attend(plant.api().clone(), request));
        for victim in Victim::shuffled(&mut chance) {
            // Nothing is waited for: the moment is what is tried out.
            sleep(Duration::from_millis(chance.below(MOMENT_MAX_MS))).await;
            let at = begun.elapsed();
            victim.falls(&mut plant, &mut chance).await?;
            println!("{victim:?} fell after {at:?} and was back after {:?}", begun.elapsed());
        }
        let attended = person.await.inspect_err(|_| println!("{}", plant.calculators_said()));
        let (id, repeats) = attended?;
        println!(
            "round {issue}: saga {id} took {:?}, and the call was repeated {repeats} times",
            begun.elapsed()
        );
        check(&plant, &id, issue).await?;
    }
    // Each issue has the one that was completed, and no other.
    let all = plant
        .api()
        .json("/api/sagas?definition=calculate-balance&limit=200")
        .await?;
    let count = all["items"].as_array().map_or(0, Vec::len) as u64;
    ensure!(count == issue.min(200), "{count} sagas of {issue} issues");
    assert_eq!(plant.cluster.broken_invariants().await?, Vec::<String>::new());
    Ok(())
}
