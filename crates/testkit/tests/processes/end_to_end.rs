//! The main job on real servers: posted over HTTP, distributed by RabbitMQ, run by worker processes, kept by PostgreSQL.

use std::time::Duration;

use orchestratum_testkit::{Broker, Cluster, Database, processes_with_environment};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

async fn a_python_task_completes_one_expires_and_one_is_retried(cluster: &Cluster) -> anyhow::Result<()> {
    let api = &cluster.api;
    let sum = json!({
        "name": "python",
        "input": {"code": "def main(input):\n    print('adding')\n    return sum(input)", "input": [1, 2, 3]},
        "ttl_seconds": 60
    });
    let completed = api.create(&sum).await?;
    let endless = json!({"name": "python", "input": {"code": "while True:\n    pass"}, "ttl_seconds": 1.5});
    let expired = api.create(&endless).await?;
    let failing = json!({
        "name": "python",
        "input": {"code": "def main(input):\n    raise ValueError('no luck')"},
        "max_retries": 1,
        "backoff": {"kind": "fixed", "delay_seconds": 0.1}
    });
    let failed = api.create(&failing).await?;

    let task = api.until(&completed, "Completed", PATIENCE).await;
    assert_eq!(task["output"]["result"], 6);
    assert_eq!(task["output"]["stdout"], "adding\n");
    assert_eq!(task["attempt"], 1);

    let task = api.until(&expired, "Expired", PATIENCE).await;
    assert_eq!(task["error"]["kind"], "Expired");
    assert_eq!(
        processes_with_environment(&format!("ORCHESTRATUM_TASK_ID={expired}")),
        Vec::<u32>::new(),
        "its processes are dead when it is Expired"
    );

    let task = api.until(&failed, "Failed", PATIENCE).await;
    assert!(
        task["error"]["message"]
            .as_str()
            .is_some_and(|message| message.contains("ValueError: no luck")),
        "{task}"
    );
    let attempts = api.attempts(&failed).await?;
    let outcomes: Vec<&Value> = attempts.iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["Failed", "Failed"]);

    let edit = json!({"input": {"code": "def main(input):\n    return 'at last'"}});
    let answer = api
        .post(&format!("/api/tasks/{failed}/retry"))
        .json(&edit)
        .send()
        .await?;
    assert_eq!(answer.status().as_u16(), 202);
    let task = api.until(&failed, "Completed", PATIENCE).await;
    assert_eq!(
        (&task["run"], &task["output"]["result"]),
        (&json!(2), &json!("at last"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_and_rabbitmq_with_two_workers() -> anyhow::Result<()> {
    let cluster = Cluster::builder().workers(2).start().await?;
    a_python_task_completes_one_expires_and_one_is_retried(&cluster).await?;
    assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_without_a_broker() -> anyhow::Result<()> {
    let cluster = Cluster::builder().broker(Broker::None).workers(2).start().await?;
    a_python_task_completes_one_expires_and_one_is_retried(&cluster).await?;
    assert_eq!(cluster.broken_invariants().await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqlite_in_one_process() -> anyhow::Result<()> {
    let cluster = Cluster::builder()
        .database(Database::Sqlite)
        .broker(Broker::None)
        .start()
        .await?;
    a_python_task_completes_one_expires_and_one_is_retried(&cluster).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_task_prints_the_trace_of_the_request_that_created_it() -> anyhow::Result<()> {
    let cluster = Cluster::builder().start().await?;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let code = "import os\nprint(os.environ['TRACEPARENT'], os.environ['ORCHESTRATUM_REQUEST_ID'])";
    let task = json!({"name": "python", "input": {"code": code}, "ttl_seconds": 60});
    for (path, body, id) in [
        ("/api/tasks", task.clone(), "/id"),
        ("/api/tasks/batch", json!({"tasks": [task]}), "/tasks/0/id"),
    ] {
        let request = cluster.api.post(path).json(&body);
        let answer = request
            .header("traceparent", trace)
            .header("x-request-id", "caller-1")
            .send()
            .await?;
        assert_eq!(answer.headers()["traceparent"], trace);
        let created: Value = answer.json().await?;
        let id = created.pointer(id).and_then(Value::as_str).expect("an id");
        let task = cluster.api.until(id, "Completed", PATIENCE).await;
        assert_eq!(task["output"]["stdout"], json!(format!("{trace} caller-1\n")));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_spread_over_the_workers() -> anyhow::Result<()> {
    let cluster = Cluster::builder()
        .workers(2)
        .setting("WORKER__CONCURRENCY", "1")
        .start()
        .await?;
    let nap = json!({"name": "shell", "input": {"command": "sleep 0.2"}});
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.push(cluster.api.create(&nap).await?);
    }
    let mut workers = std::collections::BTreeSet::new();
    for id in &ids {
        let task = cluster.api.until(id, "Completed", PATIENCE).await;
        workers.insert(task["worker_id"].to_string());
    }
    assert_eq!(workers.len(), 2, "both workers had a share");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_is_cancelled_and_its_processes_die() -> anyhow::Result<()> {
    let cluster = Cluster::builder().start().await?;
    let stubborn = json!({
        "name": "shell",
        "input": {"script": "trap '' TERM; (setsid sleep 600 &) ; while :; do sleep 0.1; done"}
    });
    let id = cluster.api.create(&stubborn).await?;
    cluster.api.until(&id, "InProgress", PATIENCE).await;
    let answer = cluster
        .api
        .post(&format!("/api/tasks/{id}/cancel"))
        .json(&json!({"reason": "enough"}))
        .send()
        .await?;
    assert_eq!(answer.status().as_u16(), 202);
    let task = cluster.api.until(&id, "Cancelled", PATIENCE).await;
    assert_eq!(task["error"], json!({"kind": "Cancelled", "message": "enough"}));
    let attempts = cluster.api.json(&format!("/api/tasks/{id}/attempts")).await?;
    assert_eq!(attempts["items"][0]["error"], task["error"]);
    assert_eq!(
        processes_with_environment(&format!("ORCHESTRATUM_TASK_ID={id}")),
        Vec::<u32>::new()
    );
    Ok(())
}
