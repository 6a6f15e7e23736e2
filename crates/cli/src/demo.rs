//! `orchestratum dev --demo`: samples that show what a task can do, each watched to its end.

use std::time::Duration;

use orchestratum_core::task::{TaskDraft, TaskStatus};
use orchestratum_core::{JsonText, Origin, TaskId};
use orchestratum_engine::Engine;
use orchestratum_engine::tasks::{CreateTasks, CreatedTasks};
use serde_json::json;

/// Longer than any sample takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct Sample {
    shows: &'static str,
    draft: TaskDraft,
}

fn sample(shows: &'static str, name: &str, input: &serde_json::Value) -> Sample {
    let input = JsonText::of(input).expect("the samples are plain JSON");
    let draft = TaskDraft {
        name: name.to_owned(),
        input: Some(input),
        description: Some(shows.to_owned()),
        ..TaskDraft::default()
    };
    Sample { shows, draft }
}

fn samples() -> Vec<Sample> {
    let mut samples = vec![
        sample("echo answers its input", "echo", &json!({"hello": "world"})),
        sample(
            "python runs main(input)",
            "python",
            &json!({"code": "def main(input):\n    print('adding', input)\n    return sum(input)", "input": [1, 2, 3]}),
        ),
        sample(
            "shell runs a script",
            "shell",
            &json!({"script": "echo \"hello from $(uname -s)\""}),
        ),
    ];
    let mut retried = sample(
        "a failing attempt is retried",
        "python",
        &json!({"code": "def main(input):\n    raise ValueError('always wrong')"}),
    );
    retried.draft.max_retries = Some(1);
    samples.push(retried);
    let mut expired = sample(
        "an endless loop ends with its time-to-live",
        "python",
        &json!({"code": "def main(input):\n    while True:\n        pass"}),
    );
    expired.draft.ttl_seconds = Some(2.0);
    samples.push(expired);
    samples
}

/// Submits the samples and prints how each one ends.
pub(crate) async fn run(engine: Engine) -> anyhow::Result<()> {
    let mut watched = Vec::new();
    for sample in samples() {
        let request = CreateTasks {
            drafts: vec![sample.draft],
            chosen_id: None,
            idempotency: None,
            indexed: false,
            origin: Origin::default(),
        };
        if let CreatedTasks::Created(tasks) = engine.create(request).await? {
            watched.extend(tasks.into_iter().map(|task| (sample.shows, task.spec.id)));
        }
    }
    let endings = watched.into_iter().map(|(shows, id)| show(&engine, shows, id));
    futures::future::try_join_all(endings).await?;
    println!("\nThe samples are done; the server goes on. Stop it with Ctrl-C.\n");
    Ok(())
}

async fn show(engine: &Engine, shows: &str, id: TaskId) -> anyhow::Result<()> {
    let task = engine.wait(id, PATIENCE).await?;
    let status = task.life.status();
    let result = match (status, &task.output) {
        (TaskStatus::Completed, Some(output)) => output.to_string(),
        _ => format!("after {} attempt(s)", task.life.attempt),
    };
    println!("  {status:<10}  {shows}: {result}");
    Ok(())
}
