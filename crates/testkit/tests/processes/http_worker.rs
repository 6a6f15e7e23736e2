//! The example of an external worker, in Python: it runs tasks, and is killed and left alone by the api in the middle of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use orchestratum_testkit::{Broker, Cluster, Database, Process, eventually_within, rounds};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// The shortest there is.
const LEASE_SECONDS: &str = "5";

/// The worker of the example with a key of its own.
struct Example {
    folder: TempDir,
    environment: BTreeMap<String, String>,
    started: u32,
}

impl Example {
    async fn new(cluster: &Cluster, lease_seconds: &str) -> anyhow::Result<Self> {
        let key = json!({"name": "the example", "scopes": ["worker"]});
        let created: Value = cluster.api.post("/api/keys").json(&key).send().await?.json().await?;
        let key = created["key"].as_str().with_context(|| created.to_string())?;
        let environment = [
            ("ORCHESTRATUM_URL", cluster.api.url()),
            ("ORCHESTRATUM_KEY", key),
            ("LEASE_SECONDS", lease_seconds),
        ];
        Ok(Self {
            folder: tempfile::tempdir()?,
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            started: 0,
        })
    }

    fn start(&mut self) -> anyhow::Result<Process> {
        self.start_program("worker.py")
    }

    fn start_program(&mut self, name: &str) -> anyhow::Result<Process> {
        self.started += 1;
        let log = self.folder.path().join(format!("example-{}.log", self.started));
        let program = format!("{}/../../examples/http-worker/{name}", env!("CARGO_MANIFEST_DIR"));
        Process::start(Path::new("python3"), &["-B", &program], &self.environment, log)
    }
}

async fn outcomes(cluster: &Cluster, id: &str) -> anyhow::Result<Vec<Value>> {
    let attempts = cluster.api.attempts(id).await?;
    Ok(attempts.iter().map(|attempt| attempt["outcome"].clone()).collect())
}

fn nap(seconds: u32) -> Value {
    json!({"name": "nap", "input": {"seconds": seconds}, "ttl_seconds": 300})
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_of_a_killed_external_worker_is_lost_and_runs_again() -> anyhow::Result<()> {
    let cluster = Cluster::builder().workers(0).start().await?;
    let mut example = Example::new(&cluster, LEASE_SECONDS).await?;
    for _ in rounds("a killed external worker", 1) {
        let mut first = example.start()?;
        let id = cluster.api.create(&nap(3)).await?;
        cluster.api.until(&id, "InProgress", PATIENCE).await;
        first.kill()?;
        let _second = example.start()?;
        let done = cluster.api.until(&id, "Completed", PATIENCE).await;
        assert_eq!(done["output"], json!({"interrupted": false}));
        assert_eq!(outcomes(&cluster, &id).await?, ["Lost", "Success"]);
        assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_external_worker_runs_is_kept_by_its_heartbeats_and_ends_when_it_is_cancelled() -> anyhow::Result<()> {
    let cluster = Cluster::builder().workers(0).broker(Broker::None).start().await?;
    let mut example = Example::new(&cluster, LEASE_SECONDS).await?;
    let _worker = example.start()?;
    let long = cluster.api.create(&nap(8)).await?;
    let endless = cluster.api.create(&nap(200)).await?;
    let failing = cluster.api.create(&json!({"name": "sum", "input": 1})).await?;
    let failed = cluster.api.until(&failing, "Failed", PATIENCE).await;
    let message = failed["error"]["message"].as_str().context("a message")?;
    assert!(message.contains("TypeError"), "{message}");
    cluster.api.until(&endless, "InProgress", PATIENCE).await;
    let cancel = format!("/api/tasks/{endless}/cancel");
    cluster.api.post(&cancel).send().await?.error_for_status()?;
    cluster.api.until(&endless, "Cancelled", PATIENCE).await;
    assert_eq!(outcomes(&cluster, &endless).await?, ["Cancelled"], "its worker said so");
    cluster.api.until(&long, "Completed", PATIENCE).await;
    assert_eq!(outcomes(&cluster, &long).await?, ["Success"], "longer than its lease");
    assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_is_killed_between_claims_and_reports_loses_and_doubles_none() -> anyhow::Result<()> {
    const TASKS: usize = 1_000;
    for database in [Database::Postgres, Database::Sqlite] {
        let mut cluster = Cluster::builder()
            .database(database)
            .broker(Broker::None)
            .workers(0)
            .start()
            .await?;
        let mut example = Example::new(&cluster, "60").await?;
        let task = json!({"name": "sum", "input": [1, 2, 3]});
        let tasks = json!({"tasks": vec![task; TASKS]});
        let created: Value = cluster
            .api
            .post("/api/tasks/batch")
            .json(&tasks)
            .send()
            .await?
            .json()
            .await?;
        let created = created["tasks"].as_array().context("tasks")?.clone();
        let _worker = example.start()?;
        for quarter in 1..=4 {
            until_completed(&cluster, TASKS * quarter / 4).await;
            if quarter < 4 {
                cluster.restart_api().await?;
            }
        }
        for task in created {
            let done = cluster.api.task(task["id"].as_str().context("an id")?).await?;
            assert_eq!(
                (&done["status"], &done["output"]),
                (&json!("Completed"), &json!(6)),
                "{done}"
            );
            // A claim without an answer was repeated, and had the same tasks.
            assert_eq!(done["attempt"], 1, "{done}");
        }
        // A file of SQLite has one owner, which runs.
        if database == Database::Postgres {
            assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
        }
    }
    Ok(())
}

async fn until_completed(cluster: &Cluster, count: usize) {
    eventually_within(PATIENCE, &format!("{count} tasks are completed"), || async {
        let stats = cluster
            .api
            .json("/api/tasks/stats")
            .await
            .map_err(|error| error.to_string())?;
        match stats["by_status"]["Completed"].as_u64() {
            Some(done) if usize::try_from(done).is_ok_and(|done| done >= count) => Ok(()),
            _ => Err(stats.to_string()),
        }
    })
    .await;
}

/// The definitions whose services the example is.
const DEFINITIONS: [(&str, &str); 2] = [
    ("order", include_str!("../../../../config/sagas/order.yaml")),
    (
        "purchase",
        include_str!("../../../../examples/http-worker/purchase.yaml"),
    ),
];

#[test]
fn the_definition_of_the_manual_is_the_one_of_the_example() {
    let manual = include_str!("../../../../docs/sagas.md");
    let (_, purchase) = DEFINITIONS[1];
    assert!(manual.contains(&format!("```yaml\n{purchase}```")), "it is another one");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sagas_of_the_manual_are_done_by_the_services_of_the_example() -> anyhow::Result<()> {
    let cluster = Cluster::builder().workers(0).broker(Broker::None).start().await?;
    for (name, source) in DEFINITIONS {
        let put = cluster.api.put(&format!("/api/saga-definitions/{name}"));
        let put = put.header("content-type", "application/yaml").body(source);
        put.send().await?.error_for_status()?;
    }
    let mut example = Example::new(&cluster, LEASE_SECONDS).await?;
    let _services = example.start_program("orders.py")?;
    for (order_id, item, total, status, reason) in [
        ("4711", "book", 42, "Completed", Value::Null),
        ("4712", "book", 4_200, "Failed", json!("the card was declined")),
        ("4713", "unicorn", 42, "Failed", json!("unicorns are sold out")),
        ("far-1", "book", 42, "Failed", json!("nobody goes there")),
    ] {
        let input = json!({"order_id": order_id, "customer_id": "ada", "items": [item], "total": total});
        let order = started(&cluster, &json!({"definition": "order", "input": input})).await?;
        assert_eq!(
            (&order["status"], &order["context"]["failure_reason"]),
            (&json!(status), &reason),
            "{order}"
        );
        assert_eq!(order["compensations"], json!([]), "{order}");
    }
    let input = json!({"order_id": "4711", "total": 42});
    let purchase = started(&cluster, &json!({"definition": "purchase", "input": input})).await?;
    assert_eq!(purchase["status"], "AwaitingInput", "{purchase}");
    let id = purchase["id"].as_str().context("an id")?;
    let answer = cluster.api.post(&format!("/api/sagas/{id}/input?wait_seconds=30"));
    let refused: Value = answer
        .json(&json!({"data": {"ok": false}}))
        .send()
        .await?
        .json()
        .await?;
    assert_eq!(refused["status"], "Failed", "{refused}");
    let tasks = cluster.api.json(&format!("/api/tasks?saga_id={id}")).await?;
    let names: Vec<&Value> = tasks["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|task| &task["name"])
        .collect();
    assert_eq!(names, ["refund_payment", "process_payment"]);
    Ok(())
}

/// Started, and as it is when it waits for somebody or is over.
async fn started(cluster: &Cluster, saga: &Value) -> anyhow::Result<Value> {
    Ok(cluster
        .api
        .post("/api/sagas?wait_seconds=30")
        .json(saga)
        .send()
        .await?
        .json()
        .await?)
}
