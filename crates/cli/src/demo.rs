//! `orchestratum dev --demo`: samples that show what a task can do, each watched to its end.

mod orders;

use std::collections::BTreeSet;
use std::time::Duration;

use orchestratum_core::schedule::{Misfire, Overlap, ScheduleDraft};
use orchestratum_core::task::{BuiltIn, FollowUps, GroupDraft, GroupPolicy, Members, TaskDraft, TaskState, TaskStatus};
use orchestratum_core::{GroupId, JsonText, Origin, TaskId, TaskName};
use orchestratum_engine::groups::{CreateGroup, CreatedGroup};
use orchestratum_engine::schedules::{CreateSchedule, CreatedSchedule};
use orchestratum_engine::tasks::{CreateTasks, CreatedTasks};
use orchestratum_engine::{Engine, WorkerSettings};
use orchestratum_store::{AfterGroup, Task};
use orchestratum_worker::dotnet;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::output::{bounded, one_line};

/// Longer than any sample takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the sample of a schedule shows.
const SCHEDULED: &str = "a schedule makes it, with its slot";

/// Two seconds or three come in it.
const SCHEDULE_LASTS: Duration = Duration::from_secs(3);

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The most characters of what a sample left.
const RESULT_MAX: usize = 100;

struct Sample {
    name: BuiltIn,
    shows: &'static str,
    draft: TaskDraft,
}

fn sample(name: BuiltIn, shows: &'static str, input: &Value) -> Sample {
    let draft = TaskDraft {
        name: name.as_str().to_owned(),
        input: Some(plain(input)),
        description: Some(shows.to_owned()),
        ..TaskDraft::default()
    };
    Sample { name, shows, draft }
}

fn plain(json: &Value) -> JsonText {
    JsonText::of(json).expect("the samples are plain JSON")
}

/// The one that takes longest comes first: the others run beside it.
fn samples() -> Vec<Sample> {
    let mut expired = sample(
        BuiltIn::Python,
        "an endless loop ends with its time-to-live",
        &json!({"code": "def main(input):\n    while True:\n        pass"}),
    );
    expired.draft.ttl_seconds = Some(2.0);
    let mut retried = sample(
        BuiltIn::Python,
        "a failing attempt is retried",
        &json!({"code": "def main(input):\n    raise ValueError('always wrong')"}),
    );
    retried.draft.max_retries = Some(1);
    let mut greedy = sample(
        BuiltIn::Python,
        "a task that takes too much memory is ended",
        &json!({"code": "def main(input):\n    return len('x' * (1 << 30))"}),
    );
    greedy.draft.limits = Some(plain(&json!({"memory_mb": 256})));
    let mut order = sample(
        BuiltIn::Echo,
        "an order, which is paid and shipped after it",
        &json!({"order": 7, "total": 42}),
    );
    order.draft.follow_ups = FollowUps::on_success(vec![plain(&json!({
        "name": "echo",
        "description": "the payment follows the order, with its total",
        "input": {"order": "${ output.order }", "paid": "${ output.total }"},
        "on_success": [{
            "name": "echo",
            "description": "the shipping follows the payment",
            "input": "order ${ output.order } is on its way, ${ output.paid } was paid",
        }],
    }))]);
    vec![
        expired,
        retried,
        sample(BuiltIn::Echo, "answers its input", &json!({"hello": "world"})),
        sample(
            BuiltIn::Python,
            "runs main(input)",
            &json!({"code": "def main(input):\n    print('adding', input)\n    return sum(input)", "input": [1, 2, 3]}),
        ),
        sample(
            BuiltIn::Shell,
            "runs a script",
            &json!({"script": "echo \"hello from $(uname -s)\""}),
        ),
        greedy,
        order,
        sample(
            BuiltIn::Http,
            "may not call this machine",
            &json!({"url": "http://127.0.0.1/"}),
        ),
        sample(
            BuiltIn::CSharp,
            "compiles and runs statements",
            &json!({
                "code": "var words = Input.As<string[]>()!;\nreturn words.ToDictionary(word => word, word => word.Length);",
                "input": ["real", "Roslyn"],
            }),
        ),
        sample(
            BuiltIn::CSharp,
            "says where code is wrong",
            &json!({"code": "var words = Input.As<string[]>()!;\nreturn word.Length;"}),
        ),
    ]
}

/// A group of three, and what adds them up.
fn pages() -> GroupDraft {
    GroupDraft {
        name: Some("pages".to_owned()),
        policy: GroupPolicy::Fail,
        members: Members::Inputs {
            template: Box::new(TaskDraft {
                name: BuiltIn::Echo.as_str().to_owned(),
                description: Some("counts the words of a page".to_owned()),
                ..TaskDraft::default()
            }),
            inputs: [120, 80, 55].map(|words| plain(&json!(words))).to_vec(),
        },
        on_complete: Some(plain(&json!({
            "name": "echo",
            "description": "one task follows a group of three, with all their outputs",
            "input": "${ group.completed } pages have ${ outputs[0] + outputs[1] + outputs[2] } words",
        }))),
        on_failure: None,
    }
}

/// Submits those samples whose names are offered, and prints how each one ends, until it is to stop.
pub(crate) async fn run(engine: Engine, offered: Vec<TaskName>, stop: CancellationToken) -> anyhow::Result<()> {
    let began = Instant::now();
    let services = orders::Services::begin(&engine);
    let shown = tokio::select! {
        // First: whoever waits for a sample is then sent away, and would tell of it as it is.
        biased;
        () = stop.cancelled() => Ok(false),
        shown = show_all(&engine, offered) => shown.map(|()| true),
    };
    services.end(&engine).await?;
    if shown? {
        println!(
            "\n  The samples are done after {:.1} s; the server goes on. Stop it with Ctrl-C.\n",
            began.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

async fn show_all(engine: &Engine, offered: Vec<TaskName>) -> anyhow::Result<()> {
    let is_offered = |sample: &Sample| offered.iter().any(|name| name.as_str() == sample.name.as_str());
    let (offered, missing): (Vec<Sample>, Vec<Sample>) = samples().into_iter().partition(is_offered);
    println!("  The samples, and how long each was under way:\n");
    let mut watched = Vec::new();
    for sample in offered {
        let request = CreateTasks {
            drafts: vec![sample.draft],
            chosen_id: None,
            idempotency: None,
            indexed: false,
            origin: Origin::default(),
        };
        if let CreatedTasks::Created(tasks) = engine.create(request).await? {
            watched.extend(tasks.into_iter().map(|task| (sample.name, sample.shows, task.spec.id)));
        }
    }
    watched.push((BuiltIn::Echo, SCHEDULED, first_of_a_schedule(engine).await?));
    let group = engine
        .create_group(CreateGroup {
            draft: pages(),
            chosen_id: None,
            idempotency: None,
            origin: Origin::default(),
        })
        .await?;
    let missing: BTreeSet<&str> = missing.iter().map(|sample| sample.name.as_str()).collect();
    for name in missing {
        let why = why_not(name, &engine.settings().worker).await;
        println!("{}", line("not run", name, None, &why));
    }
    let endings = watched
        .into_iter()
        .map(|(name, shows, id)| show(engine, name, shows, id));
    let of_group = async {
        match group {
            CreatedGroup::Created(state) => show_group(engine, state.group.spec.id).await,
            CreatedGroup::Replayed(_) | CreatedGroup::Existing(_) => Ok(()),
        }
    };
    let shown = futures::future::try_join3(futures::future::try_join_all(endings), of_group, orders::run(engine));
    shown.await.map(drop)
}

/// A schedule of each second, which ends soon: its first task.
async fn first_of_a_schedule(engine: &Engine) -> anyhow::Result<TaskId> {
    let draft = ScheduleDraft {
        name: "demo".to_owned(),
        cron: "* * * * * *".to_owned(),
        time_zone: "UTC".to_owned(),
        task: plain(&json!({"name": "echo", "description": SCHEDULED, "input": "${ schedule.slot }"})),
        overlap: Overlap::default(),
        misfire: Misfire::default(),
        start_at: None,
        end_at: Some(engine.clock().now() + SCHEDULE_LASTS),
        jitter_seconds: 0.0,
        paused: false,
    };
    let request = CreateSchedule {
        draft,
        idempotency: None,
        actor: None,
    };
    let (CreatedSchedule::Created(schedule) | CreatedSchedule::Replayed(schedule)) =
        engine.create_schedule(request).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(task) = engine.schedule(schedule.id).await?.last_task {
            return Ok(task.id);
        }
        anyhow::ensure!(Instant::now() < deadline, "no slot of the schedule became a task");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Why a worker here offers no tasks of this name.
async fn why_not(name: &str, settings: &WorkerSettings) -> String {
    let reason = if name == BuiltIn::CSharp.as_str() {
        dotnet::find(settings).await.err()
    } else {
        None
    };
    let reason = reason.unwrap_or_else(|| "`orchestratum doctor` says why".to_owned());
    format!("a worker here offers none: {reason}")
}

async fn show(engine: &Engine, name: BuiltIn, shows: &str, id: TaskId) -> anyhow::Result<()> {
    let task = engine.wait(id, PATIENCE).await?;
    print(&task, name.as_str(), shows);
    // What followed it was written with its end.
    let mut followed = engine.tree(id).await?.root.follow_ups;
    while let Some(next) = followed.pop() {
        let task = engine.wait(next.task.spec.id, PATIENCE).await?;
        let shows = task.spec.description.clone().unwrap_or_default();
        print(&task, task.spec.name.as_str(), &shows);
        followed.extend(engine.tree(task.spec.id).await?.root.follow_ups);
    }
    Ok(())
}

async fn show_group(engine: &Engine, group: GroupId) -> anyhow::Result<()> {
    let ended = engine.wait_for_group(group, PATIENCE).await?;
    if let Some(AfterGroup::Task(task)) = ended.group.after {
        let task = engine.wait(task, PATIENCE).await?;
        let shows = task.spec.description.clone().unwrap_or_default();
        print(&task, task.spec.name.as_str(), &shows);
    }
    Ok(())
}

fn print(task: &Task, name: &str, shows: &str) {
    let (took, left) = ending(task);
    let left = one_line(&left);
    let says = format!("{shows}: {}", bounded(&left, RESULT_MAX));
    println!("{}", line(task.life.status().as_str(), name, took, &says));
}

/// How long the task was under way, and what is left of it.
fn ending(task: &Task) -> (Option<Duration>, String) {
    match &task.life.state {
        TaskState::Pending { .. } | TaskState::InProgress { .. } => (None, "it is not over yet".to_owned()),
        TaskState::Completed { finished_at } => {
            let output = task.output.as_ref().map(ToString::to_string).unwrap_or_default();
            (Some(finished_at.saturating_since(task.spec.created_at)), output)
        }
        TaskState::Failed { finished_at, error }
        | TaskState::Expired { finished_at, error }
        | TaskState::Cancelled { finished_at, error } => {
            let attempts = match task.life.attempt {
                1 => "1 attempt".to_owned(),
                several => format!("{several} attempts"),
            };
            // Of a traceback it is the last line that says what went wrong.
            let message = error.message.trim_end().lines().next_back().unwrap_or_default();
            (
                Some(finished_at.saturating_since(task.spec.created_at)),
                format!("{} after {attempts}: {message}", error.kind),
            )
        }
    }
}

fn line(status: &str, name: &str, took: Option<Duration>, says: &str) -> String {
    const STATUS_WIDTH: usize = TaskStatus::Completed.as_str().len();
    const NAME_WIDTH: usize = BuiltIn::CSharp.as_str().len();
    let took = took.map_or_else(String::new, |took| format!("{:.1} s", took.as_secs_f64()));
    format!("  {status:<STATUS_WIDTH$}  {name:<NAME_WIDTH$}  {took:>6}  {says}")
}

#[cfg(test)]
mod tests {
    use orchestratum_core::Timestamp;
    use orchestratum_core::task::SpecLimits;
    use orchestratum_engine::identity;

    use super::*;

    #[test]
    fn every_built_in_name_has_a_sample_that_is_accepted() {
        let mut names = BTreeSet::new();
        for sample in samples() {
            let (id, now) = (identity::chosen_task_id(), Timestamp::from_micros(1));
            let checked = sample.draft.check("", id, &SpecLimits::default(), now);
            assert!(checked.is_ok(), "{}: {checked:?}", sample.shows);
            names.insert(sample.name.as_str());
        }
        assert_eq!(names, BTreeSet::from(["csharp", "echo", "http", "python", "shell"]));
    }

    #[test]
    fn the_lines_of_all_samples_begin_in_the_same_columns() {
        assert_eq!(
            line("Failed", "python", Some(Duration::from_millis(1_234)), "is retried"),
            "  Failed     python   1.2 s  is retried"
        );
        assert_eq!(
            line("not run", "csharp", None, "no runtime"),
            "  not run    csharp          no runtime"
        );
    }
}
