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

/// The names that a container with everything in it offers.
const OFFERED: [&str; 5] = ["csharp", "echo", "http", "python", "shell"];

pub(super) fn run(stack: &RunningStack<'_>) -> Result<()> {
    let api = Api {
        authorization: format!("ApiKey {}", stack.first_key()?),
    };
    println!("==> what the worker offers");
    offers(&api, 1)?;
    what_completes(&api)?;
    what_is_ended(&api)?;
    what_harms_others(stack, &api)?;
    println!("==> {SPREAD_TASKS} tasks over two workers");
    stack.scale_workers(2)?;
    offers(&api, 2)?;
    spread(&api)
}

/// Without a privilege, code is kept apart as well as an engine permits.
fn offers(api: &Api, workers: usize) -> Result<()> {
    for worker in &live_workers(api, workers)? {
        equal("what the worker offers", &worker["names"], &json!(OFFERED))?;
        let level = text(worker, "isolation")?;
        if !["full", "landlock"].contains(&level) {
            bail!("the worker's isolation is `{level}`: code is not kept apart");
        }
        println!("    isolation: {level}");
    }
    Ok(())
}

fn live_workers(api: &Api, workers: usize) -> Result<Vec<Value>> {
    let mut live = Vec::new();
    wait_until(&format!("{workers} live workers"), TASK_LIMIT, || {
        live = items(&api.call("GET", "/api/workers", None, 200)?)?;
        live.retain(|worker| worker["state"] == "Live");
        Ok(live.len() == workers)
    })?;
    Ok(live)
}

fn what_completes(api: &Api) -> Result<()> {
    println!("==> an echo task");
    let task = api.finished(&json!({"name": "echo", "input": {"hello": "containers"}}), "Completed")?;
    equal("the output", &task["output"], &json!({"hello": "containers"}))?;

    println!("==> a Python task");
    let code = "def main(input):\n    return sum(input)";
    let input = json!({"code": code, "input": [1, 2, 3]});
    let task = api.finished(&json!({"name": "python", "input": input}), "Completed")?;
    equal("the result", &task["output"]["result"], &json!(6))?;

    println!("==> a C# task");
    let code = "var numbers = Input.As<int[]>()!;\nreturn numbers.Sum();";
    let input = json!({"code": code, "input": [1, 2, 3]});
    let task = api.finished(&json!({"name": "csharp", "input": input}), "Completed")?;
    equal("the result", &task["output"]["result"], &json!(6))?;

    println!("==> a shell task");
    let input = json!({"script": "cat /etc/hostname 2>/dev/null || echo hidden"});
    let task = api.finished(&json!({"name": "shell", "input": input}), "Completed")?;
    equal("what it printed", &task["output"]["stdout"], &json!("hidden\n"))
}

fn what_is_ended(api: &Api) -> Result<()> {
    for (name, code) in [("python", "while True: pass"), ("csharp", "while (true) { }")] {
        println!("==> an endless loop in `{name}`");
        let task = json!({"name": name, "input": {"code": code}, "ttl_seconds": 2});
        let task = api.finished(&task, "Expired")?;
        equal("its attempts", &task["attempt"], &json!(1))?;
    }
    println!("==> a task that wants more memory than it has");
    let input = json!({"code": "print(len('x' * (1 << 30)))"});
    let task = json!({"name": "python", "input": input, "limits": {"memory_mb": 256}});
    let task = api.finished(&task, "Failed")?;
    equal("the kind of error", &task["error"]["kind"], &json!("OutOfMemory"))?;

    println!("==> a request to a neighbour of the worker");
    let task = api.finished(&json!({"name": "http", "input": {"url": "http://rabbitmq/"}}), "Failed")?;
    let message = text(&task["error"], "message")?;
    if !message.contains("is refused") {
        bail!("the request was not refused: {message}");
    }
    Ok(())
}

/// What has the user of the worker may change the mode of its folder, and the priority of its processes, unless it is kept
/// from it.
const AFTER_THE_WORKER: &str = r#"
import os

def main():
    holes = []
    def possible(what, action):
        try:
            action()
        except OSError:
            return
        holes.append(what)
    folder = os.path.dirname(os.path.dirname(os.environ["HOME"]))
    possible("mode", lambda: os.chmod(folder, 0))
    possible("time", lambda: os.utime(folder, (0, 0)))
    possible("priority", lambda: os.setpriority(os.PRIO_USER, 0, 19))
    possible("environment", lambda: open("/proc/1/environ").close())
    possible("program", lambda: open("/usr/local/bin/orchestratum-worker", "ab").close())
    return holes
"#;

/// What the walls are for, and the bounds of the container: code that is after the worker, and code that uses up what the
/// sandbox cannot bound there. The same worker goes on.
fn what_harms_others(stack: &RunningStack<'_>, api: &Api) -> Result<()> {
    let before = live_workers(api, 1)?;
    println!("==> code that is after the worker");
    let input = json!({"code": AFTER_THE_WORKER});
    let task = api.finished(&json!({"name": "python", "input": input}), "Completed")?;
    equal("what was possible", &task["output"]["result"], &json!([]))?;
    what_completes_afterwards(api)?;
    if stack.engine_keeps("PidsLimit") {
        println!("==> a fork bomb");
        let code = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass";
        let bomb = json!({"name": "python", "input": {"code": code}, "ttl_seconds": 5});
        api.finished(&bomb, "Expired")?;
        what_completes_afterwards(api)?;
    } else {
        // It would have all processes of this machine.
        println!("    no fork bomb: the engine says that it cannot limit processes");
    }
    println!("==> a task that fills its disk");
    let input = json!({"script": "cat /dev/zero > zeros"});
    let task = api.finished(&json!({"name": "shell", "input": input, "ttl_seconds": 30}), "Failed")?;
    let message = text(&task["error"], "message")?;
    if !message.contains("No space left on device") {
        bail!("the disk was not full: {message}");
    }
    what_completes_afterwards(api)?;
    let after = live_workers(api, 1)?;
    equal("the worker that lives", &after[0]["id"], &before[0]["id"])
}

/// As if nothing had been, with a program that writes a file.
fn what_completes_afterwards(api: &Api) -> Result<()> {
    let input = json!({"script": "echo unharmed > file && cat file"});
    let task = api.finished(&json!({"name": "shell", "input": input}), "Completed")?;
    equal("what it printed", &task["output"]["stdout"], &json!("unharmed\n"))
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
    let listed = items(&api.call("GET", &format!("/api/tasks?limit={SPREAD_TASKS}"), None, 200)?)?;
    let workers: BTreeSet<&str> = listed.iter().filter_map(|task| task["worker_id"].as_str()).collect();
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

fn items(page: &Value) -> Result<Vec<Value>> {
    page["items"].as_array().cloned().context("a list has no items")
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
