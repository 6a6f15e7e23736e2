//! `gitlab.…` tasks through a worker, in a GitLab with a real repository.

mod faults;
mod histories;

use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, ErrorCode, TaskState};
use orchestratum_store::Task;
use orchestratum_testkit::{Fault, FaultKind, GitlabDouble, OWNER_TOKEN, PROJECT, READER_TOKEN};
use serde_json::{Value, json};

use crate::support::{Bench, RunningWorker, error, output};

const COMMITS: &str = "repository/commits";

/// A GitLab and a worker that does tasks in it.
struct Lab {
    double: GitlabDouble,
    bench: Bench,
    worker: RunningWorker,
}

impl Lab {
    async fn start() -> Self {
        Self::with(OWNER_TOKEN, &[]).await
    }

    async fn with(token: &str, overrides: &[(&str, &str)]) -> Self {
        let double = GitlabDouble::start().expect("a GitLab");
        let gitlab = [
            ("gitlab.url", double.url()),
            ("gitlab.token", token),
            ("gitlab.tries", "3"),
        ];
        let bench = Bench::with(&[&gitlab, overrides].concat()).await;
        let worker = bench.worker().await;
        Self { double, bench, worker }
    }

    async fn task(&self, name: &str, input: &Value) -> Task {
        self.task_with(name, input, &json!({})).await
    }

    async fn task_with(&self, name: &str, input: &Value, fields: &Value) -> Task {
        let mut task = json!({"name": format!("gitlab.{name}"), "input": {"project": PROJECT}});
        for (name, value) in input.as_object().expect("an object") {
            task["input"][name] = value.clone();
        }
        for (name, value) in fields.as_object().expect("an object") {
            task[name] = value.clone();
        }
        self.bench.run(task).await
    }

    async fn done(&self, name: &str, input: Value) -> Value {
        output(&self.task(name, &input).await)
    }

    /// On `main`.
    async fn commit(&self, files: Value) -> Value {
        let input = json!({"branch": "main", "message": "Add files", "files": files});
        self.done("commit", input).await
    }

    async fn fail(&self, method: &str, path: &str, kind: FaultKind) {
        let fault = Fault::on(method, path, kind);
        self.double.control().fail(&fault).await.expect("the double takes it");
    }

    /// Requests of this method whose path ends so.
    async fn count(&self, method: &str, path: &str) -> usize {
        let seen = self.double.control().seen().await.expect("the double tells");
        let is_counted = |method_seen: &str, path_seen: &str| method_seen == method && path_seen.ends_with(path);
        seen.iter().filter(|seen| is_counted(&seen.method, &seen.path)).count()
    }

    async fn until_asked(&self, method: &str, path: &str) {
        orchestratum_testkit::eventually("it is asked for", || async {
            match self.count(method, path).await {
                0 => Err("not yet"),
                _ => Ok(()),
            }
        })
        .await;
    }

    async fn head(&self) -> Value {
        let look = self
            .done("file_exists", json!({"path": "no-such", "branch": "main"}))
            .await;
        look["commit"].clone()
    }
}

fn code(task: &Task) -> &str {
    match &task.life.state {
        TaskState::Failed { error, .. } => error.code.as_ref().map_or("", ErrorCode::as_str),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_committed_looked_at_and_read() {
    let lab = Lab::start().await;
    let before = lab.head().await;
    let made = lab
        .commit(json!({"a b.json": {"z": [1.0, 2], "a": {}}, "t.txt": "é\n"}))
        .await;
    assert_eq!(
        (&made["is_new"], &made["existing"], &made["parents"], &made["drift"]),
        (&json!(true), &json!(false), &json!([before]), &Value::Null)
    );
    assert_eq!(made["files"], json!(["a b.json", "t.txt"]));
    assert!(
        made["web_url"].as_str().is_some_and(|url| url.starts_with("http")),
        "{made}"
    );
    let commit = &made["commit"];
    let look = lab
        .done(
            "file_exists",
            json!({"path": "t.txt", "branch": "main", "expected_commit": before}),
        )
        .await;
    assert_eq!(
        (&look["exists"], &look["commit"], &look["last_commit"], &look["size"]),
        (&json!(true), commit, commit, &json!(3))
    );
    assert_eq!(look["drift"], json!({"expected": before, "found": commit}));
    let absent = lab
        .done(
            "file_exists",
            json!({"path": "no-such", "branch": "main", "expected_commit": commit}),
        )
        .await;
    assert_eq!(absent, json!({"exists": false, "commit": commit, "drift": null}));
    let read = |path: &str, more: Value| {
        let mut input = json!({"path": path, "branch": "main"});
        for (name, value) in more.as_object().expect("an object") {
            input[name] = value.clone();
        }
        lab.done("get_file", input)
    };
    let text = read("a b.json", json!({})).await;
    let expected = "{\n  \"a\": {},\n  \"z\": [\n    1.0,\n    2\n  ]\n}\n";
    assert_eq!((&text["content"], &text["commit"]), (&json!(expected), commit));
    let schema = json!({"type": "object", "required": ["z"]});
    let json = read("a b.json", json!({"format": "json", "schema": schema})).await;
    assert_eq!(json["content"], json!({"z": [1.0, 2], "a": {}}));
    assert_eq!(read("t.txt", json!({"format": "base64"})).await["content"], "w6kK");
    let old = lab.task("get_file", &json!({"path": "t.txt", "commit": before})).await;
    assert_eq!(code(&old), "gitlab_not_found");
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_not_committed_and_who_came_between_is_told() {
    let lab = Lab::start().await;
    let start = lab.head().await;
    let first = lab.commit(json!({"a": "1", "b": "1"})).await["commit"].clone();
    let again = lab.commit(json!({"a": "1", "b": "1"})).await;
    assert_eq!(
        again,
        json!({"commit": first, "parents": [], "is_new": false, "existing": true, "files": [], "drift": null, "web_url": null})
    );
    // Nothing is committed where others were before.
    let with = |expected: &Value| {
        let input =
            json!({"branch": "main", "message": "m", "files": {"a": "1", "b": "2"}, "expected_commit": expected});
        lab.done("commit", input)
    };
    let drift = json!({"expected": start, "found": first});
    assert_eq!(
        with(&start).await,
        json!({"commit": first, "parents": [], "is_new": false, "existing": true, "files": [], "drift": drift, "web_url": null})
    );
    assert_eq!(lab.count("POST", COMMITS).await, 1);
    // Only what differs is changed.
    let second = with(&first).await;
    assert_eq!((&second["files"], &second["parents"]), (&json!(["b"]), &json!([first])));
    assert_eq!(second["drift"], Value::Null);
    assert_eq!(lab.count("POST", COMMITS).await, 2);
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_step_makes_one_commit_whichever_task_does_it() {
    let lab = Lab::start().await;
    let start = lab.head().await;
    let of_step = |content: &str, expected: Option<&Value>| {
        let input = json!({
            "branch": "main", "message": "m", "files": {"a": content}, "step": "saga-1:2", "expected_commit": expected,
        });
        lab.done("commit", input)
    };
    let made = of_step("1", Some(&start)).await;
    assert_eq!((&made["is_new"], &made["drift"]), (&json!(true), &Value::Null));
    // What it wrote is long something else when the step comes again.
    let other = lab.commit(json!({"a": "2"})).await["commit"].clone();
    for expected in [None, Some(&start)] {
        let found = of_step("1", expected).await;
        assert_eq!(
            (&found["commit"], &found["is_new"], &found["existing"]),
            (&made["commit"], &json!(false), &json!(false))
        );
        let drift = expected.map(|start| json!({"expected": start, "found": other}));
        assert_eq!(found["drift"], json!(drift), "our own commit is none");
    }
    assert_eq!(lab.count("POST", COMMITS).await, 2);
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_made_once() {
    let lab = Lab::start().await;
    lab.fail("POST", COMMITS, FaultKind::LoseAnswer).await;
    let found = lab.commit(json!({"a": "1", "b": "1"})).await;
    assert_eq!((&found["is_new"], &found["existing"]), (&json!(false), &json!(false)));
    // By the next attempt, where this one does not live to ask.
    let late = FaultKind::SlowAnswer { milliseconds: 60_000 };
    lab.fail("POST", COMMITS, late).await;
    let input = json!({"branch": "main", "message": "m", "files": {"a": "2", "b": "1"}});
    let fields = json!({"timeout_seconds": 2, "max_retries": 1});
    let task = lab.task_with("commit", &input, &fields).await;
    let outcomes = lab.bench.outcomes(task.spec.id).await;
    assert_eq!(outcomes, [AttemptOutcome::TimedOut, AttemptOutcome::Success]);
    let made = output(&task);
    assert_eq!(made["parents"], json!([found["commit"]]));
    assert_eq!((&made["is_new"], &made["commit"]), (&json!(false), &lab.head().await));
    assert_eq!(made["files"], json!(["a", "b"]), "all of the task");
    assert_eq!(lab.count("POST", COMMITS).await, 2);
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_finds_what_one_has_made_that_was_stopped() {
    let lab = Lab::start().await;
    lab.fail("POST", COMMITS, FaultKind::SlowAnswer { milliseconds: 60_000 })
        .await;
    let input = json!({"project": PROJECT, "branch": "main", "message": "m", "files": {"a": "1"}});
    let id: TaskId = lab.bench.create(json!({"name": "gitlab.commit", "input": input})).await;
    lab.until_asked("POST", COMMITS).await;
    lab.worker.kill.cancel();
    lab.worker.stop.cancel();
    let second = lab.bench.worker().await;
    let task = lab.bench.ended(id).await;
    let made = output(&task);
    assert_eq!((&made["is_new"], &made["existing"]), (&json!(false), &json!(false)));
    assert_eq!(lab.count("POST", COMMITS).await, 1);
    second.stopped().await;
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_overtaken_looks_again_and_commits_upon_what_is_there() {
    let lab = Lab::start().await;
    // It is told late what it has seen.
    let late = FaultKind::SlowAnswer { milliseconds: 6_000 };
    lab.fail("GET", "repository/branches", late).await;
    let input = json!({"project": PROJECT, "branch": "main", "message": "m", "files": {"a": "slow"}});
    let slow: TaskId = lab.bench.create(json!({"name": "gitlab.commit", "input": input})).await;
    lab.until_asked("GET", "branches/main").await;
    let fast = lab.commit(json!({"a": "fast"})).await["commit"].clone();
    let made = output(&lab.bench.ended(slow).await);
    assert_eq!((&made["parents"], &made["is_new"]), (&json!([fast]), &json!(true)));
    let read = lab.done("get_file", json!({"path": "a", "branch": "main"})).await;
    assert_eq!(read["content"], "slow");
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_others_overtake_is_made_and_tells_of_them() {
    let lab = Lab::start().await;
    let start = lab.head().await;
    lab.double.control().forget().await.expect("it does");
    // It is told late where the branch stood, which goes on meanwhile.
    let late = FaultKind::SlowAnswer { milliseconds: 6_000 };
    lab.fail("GET", "repository/branches", late).await;
    let input =
        json!({"project": PROJECT, "branch": "main", "message": "m", "files": {"a": "1"}, "expected_commit": start});
    let slow: TaskId = lab.bench.create(json!({"name": "gitlab.commit", "input": input})).await;
    lab.until_asked("GET", "branches/main").await;
    let other = lab.commit(json!({"b": "1"})).await["commit"].clone();
    let made = output(&lab.bench.ended(slow).await);
    assert_eq!(
        (&made["is_new"], &made["existing"], &made["parents"]),
        (&json!(true), &json!(false), &json!([other]))
    );
    assert_eq!(made["drift"], json!({"expected": start, "found": other}));
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_while_many_files_are_looked_at_is_looked_at_again() {
    let lab = Lab::start().await;
    let files: serde_json::Map<String, Value> = (0..9).map(|number| (format!("f{number}"), json!("ours"))).collect();
    lab.commit(json!(files)).await;
    // As many as are looked at at a time; the last one is looked at later.
    let late = FaultKind::SlowAnswer { milliseconds: 6_000 };
    let late = orchestratum_testkit::Fault::on("HEAD", "repository/files", late).times(8);
    lab.double.control().fail(&late).await.expect("the double takes it");
    let input = json!({"project": PROJECT, "branch": "main", "message": "m", "files": files});
    let slow: TaskId = lab.bench.create(json!({"name": "gitlab.commit", "input": input})).await;
    orchestratum_testkit::eventually("eight are looked at", || async {
        match lab.count("HEAD", "repository/files/f7").await {
            0 | 1 => Err("not yet"),
            _ => Ok(()),
        }
    })
    .await;
    let theirs = lab.commit(json!({"f0": "theirs"})).await["commit"].clone();
    let made = output(&lab.bench.ended(slow).await);
    assert_eq!(
        (&made["parents"], &made["files"]),
        (&json!([theirs]), &json!(["f0"])),
        "{made}"
    );
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_begins_with_its_first_commit() {
    let lab = Lab::start().await;
    let start = lab.head().await;
    lab.commit(json!({"a": "1"})).await;
    let on = |branch: &str, content: &str, expected: Option<&Value>| {
        let input = json!({
            "branch": branch, "start_branch": "main", "message": "m", "files": {"a": content}, "expected_commit": expected,
        });
        lab.done("commit", input)
    };
    let head = lab.head().await;
    let moved = on("issue/1", "2", Some(&start)).await;
    assert_eq!(
        (&moved["existing"], &moved["drift"]),
        (&json!(true), &json!({"expected": start, "found": head}))
    );
    let first = on("issue/1", "2", Some(&head)).await;
    assert_eq!((&first["is_new"], &first["parents"]), (&json!(true), &json!([head])));
    assert_eq!(first["drift"], Value::Null);
    let second = on("issue/1", "3", None).await;
    assert_eq!(second["parents"], json!([first["commit"]]), "it is there by now");
    let same = on("issue/2", "1", Some(&head)).await;
    assert_eq!(
        (&same["existing"], &same["commit"], &same["drift"]),
        (&json!(true), &head, &Value::Null)
    );
    let look = lab.done("file_exists", json!({"path": "a", "branch": "issue/2"})).await;
    assert_eq!(look["commit"], head);
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_and_merge_requests_are_made_found_and_taken_back() {
    let lab = Lab::start().await;
    let main = lab.head().await;
    let branch = json!({"branch": "issue/1", "from": "main"});
    lab.fail("POST", "repository/branches", FaultKind::LoseAnswer).await;
    let made = lab.done("create_branch", branch.clone()).await;
    assert_eq!(made, json!({"branch": "issue/1", "commit": main, "existing": false}));
    let found = lab.done("create_branch", branch).await;
    assert_eq!(found, json!({"branch": "issue/1", "commit": main, "existing": true}));
    let id = "0198c0de-0000-7000-8000-000000000001";
    let own = json!({"branch": format!("{id}/work"), "from": main, "step": format!("{id}/branch")});
    for _ in 0..2 {
        assert_eq!(
            lab.done("create_branch", own.clone()).await["existing"],
            false,
            "by its name"
        );
    }
    let request = json!({
        "source_branch": "issue/1", "target_branch": "main", "title": "T", "description": "D", "issue_iid": 7, "step": "s:1",
    });
    let made = lab.done("create_merge_request", request.clone()).await;
    assert_eq!(
        (&made["iid"], &made["state"], &made["existing"]),
        (&json!(1), &json!("opened"), &json!(false))
    );
    assert_eq!(
        lab.done("create_merge_request", request).await,
        made,
        "by another task of the same step"
    );
    let other = json!({"source_branch": "issue/1", "target_branch": "main", "title": "T"});
    let other = lab.done("create_merge_request", other).await;
    assert_eq!((&other["iid"], &other["existing"]), (&json!(1), &json!(true)));

    let kept = lab
        .done("close_merge_request", json!({"iid": 1, "existing": true}))
        .await;
    assert_eq!(kept["closed"], false);
    for _ in 0..2 {
        let closed = lab.done("close_merge_request", json!({"iid": 1})).await;
        assert_eq!(closed, json!({"closed": true, "state": "closed"}));
    }
    let delete = |only_at: &Value, existing: bool| {
        lab.done(
            "delete_branch",
            json!({"branch": "issue/1", "only_at": only_at, "existing": existing}),
        )
    };
    assert_eq!(
        delete(&main, true).await,
        json!({"deleted": false, "reason": "it was there before"})
    );
    let input = json!({"branch": "issue/1", "message": "m", "files": {"a": "1"}});
    let commit = lab.done("commit", input).await["commit"].clone();
    let moved = delete(&main, false).await;
    assert_eq!(moved["deleted"], false);
    assert!(
        moved["reason"]
            .as_str()
            .is_some_and(|reason| reason.starts_with("somebody has worked on it")),
        "{moved}"
    );
    assert_eq!(delete(&commit, false).await, json!({"deleted": true}));
    assert_eq!(
        delete(&commit, false).await,
        json!({"deleted": false, "reason": "it is gone already"})
    );
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_taken_back_once() {
    let lab = Lab::start().await;
    let commit = lab.commit(json!({"a": "1"})).await["commit"].clone();
    let revert = |branch: &str, existing: bool| {
        lab.done(
            "revert_commit",
            json!({"branch": branch, "commit": commit, "existing": existing}),
        )
    };
    assert_eq!(
        revert("main", true).await,
        json!({"reverted": false, "reason": "the files were there before", "drift": null})
    );
    let reverted = revert("main", false).await;
    assert_eq!(
        reverted,
        json!({"reverted": true, "commit": lab.head().await, "drift": null})
    );
    assert_eq!(
        revert("main", false).await,
        reverted,
        "by another task of the same compensation"
    );
    let look = lab.done("file_exists", json!({"path": "a", "branch": "main"})).await;
    assert_eq!(look["exists"], false);
    assert_eq!(
        revert("no-such", false).await,
        json!({"reverted": false, "reason": "the branch is gone", "drift": null})
    );
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn issues_are_listed_for_who_has_them() {
    let lab = Lab::start().await;
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("{}/api/v4/projects/1/issues", lab.double.url());
    for (title, assignee) in [("one", 1), ("two", 2)] {
        let body = json!({"title": title, "assignee_ids": [assignee]});
        let sent = http.post(&url).bearer_auth(OWNER_TOKEN).json(&body).send().await;
        sent.and_then(reqwest::Response::error_for_status).expect("an issue");
    }
    let titles = |listed: &Value| -> Vec<String> {
        let issues = listed["issues"].as_array().expect("a list");
        issues
            .iter()
            .map(|issue| issue["title"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let all = lab.done("list_issues", json!({"state": "opened"})).await;
    assert_eq!(
        (titles(&all), &all["has_more"]),
        (vec!["two".to_owned(), "one".to_owned()], &json!(false))
    );
    assert_eq!(all["issues"][0]["assignees"], json!(["bob"]));
    assert_eq!(
        titles(&lab.done("list_issues", json!({"assignee": "@me"})).await),
        ["one"]
    );
    assert_eq!(
        titles(&lab.done("list_issues", json!({"assignee": "bob"})).await),
        ["two"]
    );
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_has_a_code_and_only_what_may_go_better_uses_a_retry() {
    let lab = Lab::start().await;
    lab.commit(json!({"text": "a", "json": {"n": 1}})).await;
    let get = |path: &str, format: &str, schema: Value| json!({"path": path, "branch": "main", "format": format, "schema": schema});
    let retries = json!({"max_retries": 2});
    let content = json!({"type": "object", "properties": {"n": {"type": "string"}}});
    for (name, input, expected, told) in [
        (
            "get_file",
            get("no-such", "text", Value::Null),
            "gitlab_not_found",
            "404 File Not Found",
        ),
        (
            "get_file",
            get("text", "json", Value::Null),
            "gitlab_content",
            "cannot be read as JSON",
        ),
        (
            "get_file",
            get("json", "json", content),
            "gitlab_content",
            "does not meet the schema: /n ",
        ),
        (
            "create_branch",
            json!({"branch": "b", "from": "no-such"}),
            "gitlab_refused",
            "GitLab refuses it",
        ),
        ("close_merge_request", json!({"iid": 99}), "gitlab_not_found", "404"),
    ] {
        let task = lab.task_with(name, &input, &retries).await;
        assert_eq!((code(&task), task.life.attempt), (expected, 1), "{}", error(&task));
        assert!(error(&task).contains(told), "{}", error(&task));
    }
    let page = FaultKind::bad_gateway();
    let fault = Fault::on("HEAD", "repository/files", page).times(6);
    lab.double.control().fail(&fault).await.expect("the double takes it");
    let input = json!({"path": "text", "branch": "main"});
    let task = lab.task_with("file_exists", &input, &json!({"max_retries": 1})).await;
    assert_eq!(
        (code(&task), task.life.attempt),
        ("gitlab_unavailable", 2),
        "{}",
        error(&task)
    );
    assert_eq!(output(&lab.task("file_exists", &input).await)["exists"], true);
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_token_may_not_do_is_told_without_the_token() {
    const WRONG: &str = "glpat-31337-wrong";
    for (token, expected) in [(READER_TOKEN, "gitlab_forbidden"), (WRONG, "gitlab_unauthorized")] {
        let lab = Lab::with(token, &[]).await;
        // Such as a proxy that shows what it was asked.
        let echo = format!(r#"{{"message":"400 PRIVATE-TOKEN {token}"}}"#);
        let input = json!({"branch": "main", "message": "m", "files": {"a": "1"}});
        let refused = lab.task("commit", &input).await;
        assert_eq!(code(&refused), expected);
        lab.fail(
            "GET",
            "repository/files",
            FaultKind::answer(400, "application/json", &echo),
        )
        .await;
        let echoed = lab.task("get_file", &json!({"path": "a", "branch": "main"})).await;
        assert_eq!(code(&echoed), "gitlab_refused");
        for task in [refused, echoed] {
            let logs = lab.bench.logs(task.spec.id).await;
            let told = format!("{} {logs} {task:?}", error(&task));
            assert!(!told.contains(token), "{told}");
        }
        lab.worker.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gitlab_no_such_task_is_offered_and_an_input_of_another_version_is_refused() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    bench.run(json!({"name": "echo"})).await;
    let workers = format!("{:?}", bench.engine.workers().await.expect("they are read"));
    assert!(workers.contains("echo") && !workers.contains("gitlab."), "{workers}");
    worker.stopped().await;
    let lab = Lab::start().await;
    let input = json!({"project": PROJECT, "path": "../31337", "branch": "main"});
    let id = lab
        .bench
        .store_unchecked("gitlab.get_file", json!({"name": "gitlab.get_file", "input": input}))
        .await;
    let task = lab.bench.ended(id).await;
    let message = error(&task);
    assert!(
        message.contains("/path must not have a segment `.` or `..`") && !message.contains("31337"),
        "{message}"
    );
    assert_eq!(lab.double.control().seen().await.expect("the double tells").len(), 0);
    lab.worker.stopped().await;
}
