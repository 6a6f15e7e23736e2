//! What a user would try first, over the published port.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::stack::RunningStack;
use crate::http;
use crate::stopwatch::wait_until;

const AUTHORITY: &str = "127.0.0.1:5000";
const TASK_LIMIT: Duration = Duration::from_secs(60);
/// Enough, at half a second each, that one worker alone could not be given all of them at once.
const SPREAD_TASKS: usize = 24;

pub(super) fn run(stack: &RunningStack<'_>) -> Result<()> {
    let api = Api {
        authorization: format!("ApiKey {}", stack.first_key()?),
    };

    println!("==> an echo task");
    let task = api.finished(&json!({"name": "echo", "input": {"hello": "containers"}}), "Completed")?;
    equal("the output", &task["output"], &json!({"hello": "containers"}))?;

    println!("==> a Python task");
    let code = "def main(input):\n    return sum(input)";
    let task = api.finished(
        &json!({"name": "python", "input": {"code": code, "input": [1, 2, 3]}}),
        "Completed",
    )?;
    equal("the result", &task["output"]["result"], &json!(6))?;

    println!("==> a task that outlives its ttl");
    let code = "import time\ntime.sleep(60)";
    api.finished(
        &json!({"name": "python", "input": {"code": code}, "ttl_seconds": 1}),
        "Expired",
    )?;

    println!("==> {SPREAD_TASKS} tasks over two workers");
    stack.scale_workers(2)?;
    spread(&api)
}

fn spread(api: &Api) -> Result<()> {
    let task = json!({"name": "python", "input": {"code": "import time\ntime.sleep(0.5)"}});
    let batch = json!({"tasks": vec![task; SPREAD_TASKS]});
    let created = api.call("POST", "/api/tasks/batch", Some(&batch), 201)?;
    let tasks = created["tasks"]
        .as_array()
        .context("the answer to a batch has no tasks")?;
    for task in tasks {
        api.wait_for(text(task, "id")?, "Completed")?;
    }
    let page = api.call("GET", &format!("/api/tasks?limit={SPREAD_TASKS}"), None, 200)?;
    let items = page["items"].as_array().context("a list has no items")?;
    let workers: BTreeSet<&str> = items.iter().filter_map(|task| task["worker_id"].as_str()).collect();
    if workers.len() != 2 {
        bail!("{SPREAD_TASKS} tasks were run by {} workers, not by 2", workers.len());
    }
    Ok(())
}

struct Api {
    authorization: String,
}

impl Api {
    /// Posts the task, waits for its end and returns it.
    fn finished(&self, task: &Value, status: &str) -> Result<Value> {
        let created = self.call("POST", "/api/tasks", Some(task), 201)?;
        self.wait_for(text(&created, "id")?, status)
    }

    fn wait_for(&self, id: &str, status: &str) -> Result<Value> {
        let mut task = Value::Null;
        let what = format!("task {id} is {status}");
        wait_until(&what, TASK_LIMIT, || {
            task = self.call("GET", &format!("/api/tasks/{id}"), None, 200)?;
            Ok(!["Pending", "InProgress"].contains(&text(&task, "status")?))
        })?;
        equal(
            &format!("the status of task {id} ({task})"),
            &task["status"],
            &json!(status),
        )?;
        Ok(task)
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>, expected_status: u16) -> Result<Value> {
        let body = body.map(Value::to_string);
        let answer = http::send(&http::Request {
            method,
            authority: AUTHORITY,
            path,
            authorization: &self.authorization,
            body: body.as_deref(),
        })?;
        if answer.status != expected_status {
            bail!(
                "{method} {path} answered {} and not {expected_status}: {}",
                answer.status,
                answer.body
            );
        }
        serde_json::from_str(&answer.body).with_context(|| format!("{method} {path} answered no JSON: {}", answer.body))
    }
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key]
        .as_str()
        .with_context(|| format!("`{key}` is missing in {value}"))
}

fn equal(what: &str, is: &Value, should_be: &Value) -> Result<()> {
    if is != should_be {
        bail!("{what} is {is} and should be {should_be}");
    }
    Ok(())
}
