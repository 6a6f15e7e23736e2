//! The story of the order while the processes that run it are killed: every order ends as it does on a quiet day. Only a step that
//! has failed, and of which an attempt was lost or handed back before, is undone beside.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use orchestratum_testkit::{Api, Chance, Cluster, eventually_within, rounds};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

/// A process is killed within so long after orders were started; undisturbed they take about half of it.
const MOMENT_MAX_MS: u64 = 1_200;

/// As it is shipped with the product.
const ORDER: &str = include_str!("../../../../../config/sagas/order.yaml");

const IN_A_HURRY: &str = "order-in-a-hurry";

/// The same with a timeout that one can wait for, and a step that may be lost with each worker that is killed meanwhile.
const HURRIED: [(&str, &str); 3] = [
    ("name: order\n", "name: order-in-a-hurry\n"),
    ("after_seconds: 86400", "after_seconds: 10"),
    (
        "            target: warehouse\n            ttl_seconds: 60\n",
        "            target: warehouse\n            ttl_seconds: 60\n            max_losses: 100\n",
    ),
];

/// The services of the shop. What it is to do is the first argument.
const SERVICES: &str = r#"read -r input
case "$1 $input" in
    process_payment*without-money*) echo "the card was declined" >&2; exit 3 ;;
    reserve_inventory*too-late*) echo "it is sold out" >&2; exit 3 ;;
    reserve_inventory*forgotten*) exec sleep 600 ;;
    create_shipment*far-away*) echo "nobody goes there" >&2; exit 3 ;;
    process_payment*) echo '{"transaction_id": "t-1"}' ;;
    reserve_inventory*) echo '{"reservation_id": "r-1"}' ;;
    create_shipment*) echo '{"tracking_number": "n-1"}' ;;
    *) echo '{}' ;;
esac
"#;

/// Each with what undoes it.
const STEPS: [(&str, &str); 3] = [
    ("process_payment", "refund_payment"),
    ("reserve_inventory", "release_inventory"),
    ("create_shipment", "cancel_shipment"),
];

/// What happens to an order, by the name under which the services know it.
#[derive(Debug)]
struct Fate {
    order: &'static str,
    definition: &'static str,
    status: &'static str,
    /// What is done, and what is undone, in the order of both.
    steps: &'static [&'static str],
    undone: &'static [&'static str],
}

const FATES: [Fate; 5] = [
    Fate {
        order: "4711",
        definition: "order",
        status: "Completed",
        steps: &["process_payment", "reserve_inventory", "create_shipment"],
        undone: &[],
    },
    Fate {
        order: "without-money",
        definition: "order",
        status: "Failed",
        steps: &["process_payment"],
        undone: &[],
    },
    Fate {
        order: "too-late",
        definition: "order",
        status: "Failed",
        steps: &["process_payment", "reserve_inventory"],
        undone: &["refund_payment"],
    },
    Fate {
        order: "far-away",
        definition: "order",
        status: "Failed",
        steps: &["process_payment", "reserve_inventory", "create_shipment"],
        undone: &["release_inventory", "refund_payment"],
    },
    // Nobody reserves its goods in time.
    Fate {
        order: "forgotten",
        definition: IN_A_HURRY,
        status: "TimedOut",
        steps: &["process_payment", "reserve_inventory"],
        undone: &["release_inventory", "refund_payment"],
    },
];

/// All that is to be the same, whoever was killed meanwhile.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    status: Value,
    state: Value,
    context: Value,
    /// What reached it, the state before and after, why it was refused, and which tasks it issued.
    history: Vec<Value>,
    /// Of every task that there is of it: its name, its status and its place.
    tasks: Vec<(String, String, String)>,
}

impl Outcome {
    async fn of(api: &Api, saga: &str) -> anyhow::Result<Self> {
        let ended = api.json(&format!("/api/sagas/{saga}")).await?;
        let history = api.json(&format!("/api/sagas/{saga}/history?limit=100")).await?;
        let entries = history["items"].as_array().context("a history")?;
        let listed = api.json(&format!("/api/tasks?saga_id={saga}&limit=100")).await?;
        let listed = listed["items"].as_array().context("tasks")?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut tasks: Vec<_> = listed
            .iter()
            .map(|task| (word(&task["name"]), word(&task["status"]), word(&task["target"])))
            .collect();
        tasks.sort();
        let mut outcome = Self {
            status: ended["status"].clone(),
            state: ended["state"].clone(),
            context: ended["context"].clone(),
            history: entries.iter().map(entry).collect(),
            tasks,
        };
        for (step, undo) in STEPS {
            let failed = listed
                .iter()
                .find(|task| task["name"] == step && task["status"] == "Failed");
            if let Some(failed) = failed
                && is_in_doubt(api, &word(&failed["id"])).await?
            {
                outcome.leave_out(undo)?;
            }
        }
        Ok(outcome)
    }

    /// What undid a step that has failed for good when an attempt of it had been lost or handed back before: nobody knows whether that
    /// one did it. It is the first that is undone, and all else is as if it had not been there.
    fn leave_out(&mut self, undo: &str) -> anyhow::Result<()> {
        let begins = |entry: &Value| *entry == json!([{"name": undo, "compensation": true}]);
        let first = self.history.iter().position(|entry| begins(&entry["tasks"]));
        let first = first.with_context(|| format!("{undo} is run: {self:?}"))?;
        ensure!(first + 1 < self.history.len(), "{undo} has ended: {self:?}");
        let ended = self.history.remove(first + 1);
        ensure!(ended["kind"] == "compensation_ended", "{undo} comes next: {ended}");
        for field in ["tasks", "to"] {
            self.history[first][field] = ended[field].clone();
        }
        let task = self.tasks.iter().position(|(name, ..)| name == undo);
        let (_, status, _) = self
            .tasks
            .remove(task.with_context(|| format!("there is a task {undo}"))?);
        ensure!(status == "Completed", "{undo} is {status}");
        Ok(())
    }

    /// The names of the tasks that it issued: those that do something, or those that undo something.
    fn issued(&self, undo: bool) -> Vec<&str> {
        let tasks = self
            .history
            .iter()
            .flat_map(|entry| entry["tasks"].as_array().into_iter().flatten());
        let wanted = tasks.filter(|task| task["compensation"] == undo);
        wanted.filter_map(|task| task["name"].as_str()).collect()
    }

    fn assert_is_the_end_of(&self, fate: &Fate) {
        let Fate {
            order,
            status,
            steps,
            undone,
            ..
        } = fate;
        assert_eq!(self.status, *status, "{order}: {self:?}");
        assert_eq!(
            (self.issued(false), self.issued(true)),
            (steps.to_vec(), undone.to_vec()),
            "{order}"
        );
        let mut issued: Vec<&str> = [*steps, *undone].concat();
        issued.sort_unstable();
        let there: Vec<&str> = self.tasks.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(there, issued, "{order} has no other task");
    }
}

/// Whether an attempt has ended otherwise than by its own failure: it was lost with its worker, or handed back by it.
async fn is_in_doubt(api: &Api, task: &str) -> anyhow::Result<bool> {
    let attempts = api.json(&format!("/api/tasks/{task}/attempts")).await?;
    let attempts = attempts["items"].as_array().context("attempts")?;
    Ok(attempts.iter().any(|attempt| attempt["outcome"] != "Failed"))
}

/// Without what differs from one order to the next: ids and times.
fn entry(entry: &Value) -> Value {
    let issued: Vec<Value> = entry["tasks"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|task| json!({"name": task["name"], "compensation": task["compensation"]}))
        .collect();
    json!({
        "kind": entry["kind"], "name": entry["name"], "from": entry["from"], "to": entry["to"],
        "refusal": entry["refusal"], "cancelled": entry["cancelled"], "tasks": issued,
    })
}

/// PostgreSQL, RabbitMQ, and a worker with the services of the shop.
async fn shop(folder: &TempDir) -> anyhow::Result<Cluster> {
    let script = folder.path().join("services.sh");
    std::fs::write(&script, SERVICES)?;
    let commands: BTreeMap<&str, Value> = STEPS
        .into_iter()
        .flat_map(|(step, undo)| [step, undo])
        .map(|step| {
            let command =
                json!({"program": "sh", "args": [script, step], "readable": [script], "permanent_exit_codes": [3]});
            (step, command)
        })
        .collect();
    let cluster = Cluster::builder()
        .setting("WORKER__COMMANDS", &serde_json::to_string(&commands)?)
        .setting("WORKER__TARGETS", "billing,warehouse,shipping")
        .setting("WORKER__LEASE_SECONDS", "2")
        .start()
        .await?;
    let hurried = HURRIED.iter().fold(ORDER.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replacen(from, to, 1)
    });
    for (name, text) in [("order", ORDER), (IN_A_HURRY, &hurried)] {
        let put = cluster.api.put(&format!("/api/saga-definitions/{name}"));
        let answer = put
            .header("content-type", "application/yaml")
            .body(text.to_owned())
            .send()
            .await?;
        ensure!(answer.status().is_success(), "{}", answer.text().await?);
    }
    Ok(cluster)
}

/// Starts an order, again and again until the answer comes: it is one order, by its correlation id.
async fn start(api: Api, fate: &'static Fate, round: usize) -> String {
    let order = fate.order;
    let body = json!({
        "definition": fate.definition, "correlation_id": format!("{order}-{round}"),
        "input": {"order_id": order, "customer_id": order, "items": ["book"], "total": 42},
    });
    eventually_within(PATIENCE, "the order is taken", || async {
        let answer = api
            .post("/api/sagas")
            .json(&body)
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| error.to_string())?;
        let saga: Value = serde_json::from_str(&text).unwrap_or_default();
        let id = saga["id"].as_str().filter(|_| status.is_success());
        id.map(str::to_owned).ok_or_else(|| format!("{status} {text}"))
    })
    .await
}

/// Orders of all fates, with their ids as soon as they are started.
fn start_all(api: &Api, round: usize) -> Vec<(&'static Fate, JoinHandle<String>)> {
    let started = FATES
        .iter()
        .map(|fate| (fate, tokio::spawn(start(api.clone(), fate, round))));
    started.collect()
}

async fn until(api: &Api, saga: &str, what: &str, is_so: impl Fn(&Value) -> bool) {
    eventually_within(PATIENCE, &format!("saga {saga} {what}"), || async {
        let saga = api.json(&format!("/api/sagas/{saga}")).await;
        let saga = saga.map_err(|error| error.to_string())?;
        if is_so(&saga) { Ok(()) } else { Err(saga.to_string()) }
    })
    .await;
}

async fn until_over(api: &Api, saga: &str) {
    until(api, saga, "is over", |saga| saga["finished_at"].is_string()).await;
}

/// Kills the api, the worker or both at a moment that nobody foresees, and starts them again.
async fn kill(cluster: &mut Cluster, chance: &mut Chance) -> anyhow::Result<()> {
    // Nothing is waited for: the moment is what is tried out.
    tokio::time::sleep(Duration::from_millis(chance.below(MOMENT_MAX_MS))).await;
    let (api, worker) = *chance
        .pick(&[(true, false), (false, true), (true, true)])
        .context("there are some")?;
    if worker {
        cluster.workers.remove(0).kill()?;
    }
    if api {
        cluster.restart_api().await?;
    }
    if worker {
        cluster.start_worker()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_end_as_on_a_quiet_day_while_worker_and_api_are_killed_at_any_moment() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut cluster = shop(&folder).await?;
    let mut chance = Chance::of_this_run();

    let mut quiet = Vec::new();
    for (fate, id) in start_all(&cluster.api, 0) {
        quiet.push((fate, id.await?));
    }
    let mut running = Vec::new();
    for round in rounds("orders under kills", 10).in_a_soak(50) {
        let orders = start_all(&cluster.api, round + 1);
        kill(&mut cluster, &mut chance).await?;
        for (fate, id) in orders {
            let id = id.await?;
            if fate.definition == IN_A_HURRY {
                // Its timeout is to find it there, whatever is killed in the next rounds.
                until(&cluster.api, &id, "is paid", |saga| saga["state"] != "AwaitingPayment").await;
            } else {
                until_over(&cluster.api, &id).await;
            }
            running.push((round + 1, fate, id));
        }
    }
    let mut expected = BTreeMap::new();
    for (fate, id) in &quiet {
        until_over(&cluster.api, id).await;
        let outcome = Outcome::of(&cluster.api, id).await?;
        outcome.assert_is_the_end_of(fate);
        expected.insert(fate.order, outcome);
    }
    for (round, fate, id) in &running {
        until_over(&cluster.api, id).await;
        let outcome = Outcome::of(&cluster.api, id).await?;
        assert_eq!(
            outcome, expected[fate.order],
            "{} of round {round}: saga {id}",
            fate.order
        );
    }
    assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    Ok(())
}
